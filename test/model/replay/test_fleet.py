"""Many bags: workers that share them give the bytes that one gives, also where one is killed; stores; tags; pages."""

from __future__ import annotations

import errno
import json
import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.commands import replay
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay import worker
from qdtrack_model.replay.run import Run

Bags = Callable[..., Path]


@pytest.fixture
def drives(squares_bag: Bags, tmp_path: Path) -> Path:
    """A list of three bags with tags; one that it names is not there."""
    rows = [f"{squares_bag(name, frames=10)},{day}\n" for name, day in (("a", "monday"), ("b", "monday"), ("c", ""))]
    (tmp_path / "drives.csv").write_text("bag,day\n" + "".join(rows) + "gone,friday\n")
    return tmp_path / "drives.csv"


def files_of(folder: Path) -> dict[str, bytes]:
    """What is to be the same in two runs."""
    names = ("run.json", "tracks.txt", "frames.csv", "truth.txt", "scored.txt", "detections.npz", "results.parquet")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in names}


def kill_one(folder: Path) -> None:
    """Kill the worker that begins first."""
    end = time.monotonic() + 60
    while not list(folder.glob("*/camera/frames.csv")) and time.monotonic() < end:
        time.sleep(0.002)
    multiprocessing.active_children()[0].kill()


@pytest.mark.slow
def test_a_network_gives_the_same_bytes_in_one_process_and_in_two_of_which_one_is_killed(
    drives: Path, checkpoint: checkpoints.Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(replay, "write_report", lambda run, apart: run.folder / "report.html")  # of no concern here
    command = ["replay", str(drives), "--weights", str(checkpoint.path), "--runtime", "onnxruntime", "--threads", "1",
               "--no-pictures", "--tracker", "init_score=0.005", "object_score=0.005"]  # fmt: skip
    assert main([*command, "--output", str(tmp_path / "alone")]) == 1
    killer = threading.Thread(target=kill_one, args=(tmp_path / "shared",))
    killer.start()
    assert main([*command, "--output", str(tmp_path / "shared"), "--jobs", "2"]) == 1
    killer.join()
    alone, shared = files_of(tmp_path / "alone"), files_of(tmp_path / "shared")
    assert alone == shared
    assert len(alone) == 3 * 5 + 1 + ("results.parquet" in alone)
    assert len(alone["a/camera/tracks.txt"]) > 500, "the network sees something"
    told = capsys.readouterr()
    assert told.out.count("cost of an hour of bag: ") == 2
    assert "left out" in told.err
    assert main([*command, "--output", str(tmp_path / "live"), "--live", "--jobs", "2"]) == 2


def test_tags_make_groups_a_table_and_a_page(
    drives: Path, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    monkeypatch.setattr(replay, "ON_ONE_PAGE", 2)
    assert main(["replay", str(drives), "--output", str(tmp_path / "run")]) == 1
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    days = content["groups"]["day"]
    assert {day: told["sequences"] for day, told in days.items()} == {"": 1, "monday": 2}
    assert days["monday"]["scores"]["all"]["objects"] == 2 * days[""]["scores"]["all"]["objects"] == 60
    assert list(content["groups"]) == ["day", "camera"]
    for given in (["--ground-truth", "none"], ["--jobs", "2"], ["--weights", "plaza"]):
        assert main(["replay", str(tmp_path / "run"), "--output", str(tmp_path / "again"), *given]) == 2
        assert f"{given[0]}: {tmp_path / 'run'} is a run" in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "By day" in page
    assert 'href="a/report.html"' in page
    assert "overlay.mp4" not in page
    assert 'src="camera/overlay.mp4"' in (tmp_path / "run" / "a" / "report.html").read_text()
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install -e '.[fleet]'")
    rows = parquet.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert [(row["sequence"], row["class"], row["tag_day"]) for row in rows[:3]] == [
        ("a/camera", "all", "monday"), ("a/camera", "pedestrian", "monday"), ("b/camera", "all", "monday"),
    ]  # fmt: skip
    assert rows[0]["mota"] == content["sequences"][0]["scores"]["all"]["mota"]


def test_a_tag_may_be_called_camera(
    squares_bag: Bags, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drives.csv").write_text(f"bag,camera\n{squares_bag(frames=4)},wide\n")
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    assert main(["replay", str(tmp_path / "drives.csv"), "--output", str(tmp_path / "run"), "--no-pictures"]) == 0
    assert list(Run.read(tmp_path / "run").content["groups"]["camera"]) == ["wide"]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty store."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield "memory:///fleet"
        return
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[fleet]'")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.mkdir("s3://fleet")
    system.call_s3("put_object", Bucket="fleet", Key="bags/a/", Body=b"")  # as a console makes a folder by hand
    yield "s3://fleet"
    server.stop()


def test_bags_and_runs_may_lie_in_a_store(
    store: str, squares_bag: Bags, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    import fsspec

    for name, hidden in (("a", range(0)), ("b", range(4, 8))):
        bag = squares_bag(name, frames=12, hidden=hidden)
        fsspec.get_mapper(f"{store}/bags/{name}").setitems({file.name: file.read_bytes() for file in bag.iterdir()})
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    assert main(["replay", f"{store}/bags/*", "--output", f"{store}/first"]) == 0
    first = Run.read(f"{store}/first")
    assert first.names == ["a/camera", "b/camera"]
    assert [told["bag"] for told in first.content["sequences"]] == [f"{store}/bags/a", f"{store}/bags/b"]
    assert main(["replay", f"{store}/first", "--output", str(tmp_path / "again"), "--no-pictures"]) == 0
    assert Run.read(tmp_path / "again").content["total"] == first.content["total"]
    assert main(["compare", f"{store}/first", str(tmp_path / "again"), "--output", f"{store}/compared"]) == 0
    assert "24 images of 2 sequences, the same in both runs" in capsys.readouterr().out
    with fsspec.open(f"{store}/compared/comparison.json") as file:
        assert {each["difference"] for each in json.load(file)["differences"].values()} == {0.0}
    assert main(["tune", f"{store}/first", "--output", str(tmp_path / "tuning"), "--trials", "2"]) == 0
    none = ["--ground-truth", "none", "--no-pictures", "--output", f"{store}/first"]
    assert main(["replay", f"{store}/bags/*", *none]) == 0
    with Run.read(f"{store}/first").sequence("a/camera") as sequence:
        assert sequence.truth is None, "nothing stays of the older run"


def test_an_error_in_the_middle_leaves_a_run_in_the_store(
    squares_bag: Bags, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")
    fsspec.filesystem("memory").store.clear()
    bags = [str(squares_bag(name, frames=4)) for name in ("a", "b")]
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    replay_bag = worker.replay_bag

    def full(bag: Listed, *rest: Any) -> list[str]:
        if bag.name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replay_bag(bag, *rest)

    monkeypatch.setattr(worker, "replay_bag", full)
    assert main(["replay", *bags, "--output", "memory://fleet/run", "--no-pictures"]) == 2
    assert "No space left" in capsys.readouterr().err
    run = Run.read("memory://fleet/run")
    assert run.names == ["a/camera"]
    with run.sequence("a/camera") as sequence:
        assert len(sequence.frames) == 4


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline) -> list[str]:
    """The names of the bags that are replayed from now on; the first time that ``c`` is, Ctrl-C comes."""
    replayed: list[str] = []
    stops, replay_bag = ["c"], worker.replay_bag

    def replaying(bag: Listed, *rest: Any) -> list[str]:
        replayed.append(bag.name)
        names = replay_bag(bag, *rest)
        if bag.name in stops:
            stops.remove(bag.name)
            raise KeyboardInterrupt
        return names

    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    monkeypatch.setattr(worker, "replay_bag", replaying)
    return replayed


@pytest.mark.parametrize("remote", [False, True])
def test_an_interrupted_replay_goes_on(
    remote: bool, drives: Path, interrupted: list[str], squares_bag: Bags, tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    if remote:
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")
        fsspec.filesystem("memory").store.clear()
    output = "memory:///fleet/run" if remote else str(tmp_path / "run")
    command = ["replay", str(drives), "--no-pictures", "--output", output]
    assert main(command) == 130
    assert Run.read(output).names == ["a/camera", "b/camera"], "what is done is a run"
    shutil.rmtree(tmp_path / "b")
    squares_bag("b", frames=10, hidden=range(3))  # recorded again
    interrupted.clear()
    capsys.readouterr()
    assert main(command) == 1
    assert interrupted == ["b", "c", "gone"]
    assert "goes on with a replay that was interrupted: 1 of 4 bags are done" in capsys.readouterr().out
    assert main([*command[:-1], str(tmp_path / "other")]) == 1
    went_on, at_once = Run.read(output), Run.read(tmp_path / "other")
    assert went_on.content == at_once.content
    for name in at_once.names:
        with went_on.sequence(name) as one, at_once.sequence(name) as other:
            assert (one.folder / "tracks.txt").read_bytes() == (other.folder / "tracks.txt").read_bytes()
    assert not list((tmp_path / "other").glob(".*"))
    interrupted.clear()
    assert main(command) == 1
    assert interrupted == ["a", "b", "c", "gone"], "one that was finished begins anew"


def test_an_interrupted_replay_with_other_settings_is_refused(
    drives: Path, interrupted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["replay", str(drives), "--no-pictures", "--output", str(tmp_path / "run")]
    assert main(command) == 130
    assert main([*command, "--ground-truth", "none"]) == 2
    assert main(["replay", str(tmp_path / "run"), "--output", str(tmp_path / "run")]) == 2
    assert interrupted == ["a", "b", "c"]
    told = capsys.readouterr().err
    assert f"--output {tmp_path / 'run'}: holds an interrupted replay with other settings (ground-truth)" in told
    assert Run.read(tmp_path / "run").names == ["a/camera", "b/camera"], "nothing is lost"
    assert main(command) == 1
    assert interrupted == ["a", "b", "c", "c", "gone"]


def test_a_bag_whose_results_were_removed_or_changed_is_replayed_again(
    drives: Path, interrupted: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ["replay", str(drives), "--no-pictures", "--output", str(run)]
    assert main(command) == 130
    shutil.rmtree(run / "a")
    (run / "b" / "camera" / "tracks.txt").write_text("")
    assert main(command) == 1
    assert interrupted == ["a", "b", "c", "a", "b", "c", "gone"]
    assert Run.read(run).names == ["a/camera", "b/camera", "c/camera"]


def test_live_plays_what_lies_here(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "drives.csv").write_text("bag\nx\n")
    for bag in ("s3://fleet/bag.mcap", str(tmp_path / "drives.csv")):
        assert main(["replay", bag, "--live", "--output", str(tmp_path / "run")]) == 2
        assert f"--live: got {bag}, expected bags" in capsys.readouterr().err
