"""Comparisons say what differs and how sure that is; conditions for CI hold or fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.cli import main
from qdtrack_model.data.readers.mot import read_mot, write_mot
from qdtrack_model.replay.comparison import Limit, compare, differences
from qdtrack_model.replay.pages.comparison import differing
from qdtrack_model.replay.run import Run, RunError, RunWriter

Bags, Replayed = Callable[..., Path], Callable[..., Run]
TRACKS = Path("squares/camera/tracks.txt")


def worsened(run: Run, every: int, name: str = "worse") -> Run:
    """A copy of a run without the second track in every so many frames."""
    writer = RunWriter(run.folder.parent / name, run.settings)
    for file in (run.folder / "squares" / "camera").iterdir():
        target = writer.folder / "squares" / "camera" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    tracks = read_mot(run.folder / TRACKS)
    write_mot(writer.folder / TRACKS, tracks[(tracks.ids != 2) | (tracks.frames % every != 0)])
    told = run.content["sequences"][0]
    writer.add(told["name"], {key: told[key] for key in ("bag", "topic", "size", "left_out", "truth")})
    writer.write()
    return Run.read(writer.folder)


@pytest.fixture
def run(squares_bag: Bags, replayed: Replayed) -> Run:
    return replayed(squares_bag(frames=60))


def test_the_same_run_differs_in_nothing(run: Run) -> None:
    found = compare(run, run, 1.0)
    assert found.segments == 6
    assert {each.difference for each in found.differences} == {0.0}
    assert {each.verdict for each in found.differences} == {"not sure"}


def test_a_loss_everywhere_is_sure_and_one_in_a_single_place_is_not(run: Run) -> None:
    everywhere = {each.name: each for each in compare(run, worsened(run, 3), 1.0).differences}
    assert everywhere["mota"].difference == pytest.approx(-100 * 20 / 180)
    assert everywhere["mota"].low < everywhere["mota"].difference < everywhere["mota"].high < 0
    assert (everywhere["mota"].verdict, everywhere["false_negatives"].verdict) == ("worse", "worse")
    back = {each.name: each for each in compare(worsened(run, 3), run, 1.0).differences}
    assert back["mota"].verdict == "better"
    once = {each.name: each for each in compare(run, worsened(run, 50), 1.0).differences}
    assert once["mota"].difference == pytest.approx(-100 / 180)
    assert once["mota"].verdict == "not sure"


@pytest.mark.parametrize(("segments", "least", "most"), [(3, 0, 0), (6, 4, 40), (40, 2, 20)])
def test_two_trackers_that_are_equally_good_are_seldom_called_different(segments: int, least: int, most: int) -> None:
    """Of 200 judgements 5 in 100 say that they differ; more of few segments, and of very few none."""
    rng = np.random.default_rng(0)
    sure = 0
    for _ in range(50):
        first, second = (np.insert(rng.poisson(20, (segments, 4)), 0, 1, axis=1).astype(float) for _ in range(2))
        sure += sum(each.verdict != "not sure" for each in differences(first, second, False, True))
    assert least <= sure <= most


def test_a_clock_that_was_set_back_does_not_stop_time(run: Run) -> None:
    """As of a bag that is played twice: its second half has the stamps of the first."""
    looped = worsened(run, 3)
    for one in (run, looped):
        path = (one.folder / TRACKS).with_name("frames.csv")
        head, *rows = path.read_text().splitlines()
        stamps = [row.split(",")[1] for row in rows]
        rows = [
            ",".join([number, stamps[place % 30], *more])
            for place, (number, _, *more) in enumerate(row.split(",") for row in rows)
        ]
        path.write_text("\n".join([head, *rows]) + "\n")
    found = compare(run, looped, 1.0)
    assert found.segments == 6
    assert {each.name: each for each in found.differences}["mota"].verdict == "worse"


def test_without_ground_truth_rates_are_compared(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag(frames=60), truth="none")
    found = {each.name: each for each in compare(run, worsened(run, 4), 1.0).differences}
    assert found["boxes per minute"].difference == pytest.approx(-150)
    assert found["fragments per minute"].difference == pytest.approx(140)
    assert found["fragments per minute"].verdict == "worse"


def test_a_run_that_dropped_images_is_not_praised_for_fewer_mistakes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Live runs of which the second lost every second image, and with it the mistakes there."""
    tracks = read_mot(run.folder / TRACKS)
    switching = tracks[np.arange(len(tracks))]
    odd = (switching.ids == 2) & (switching.frames % 2 == 1)
    switching.ids[odd] = 9  # an ID switch with every image
    first = worsened(run, 1000, "first")
    write_mot(first.folder / TRACKS, switching)
    second = worsened(run, 1000, "second")
    write_mot(second.folder / TRACKS, switching[switching.frames % 2 == 0])
    for one, lost in ((first, 0), (second, 1)):
        rows = [f"{frame},{'nan' if lost and frame % 2 else 0.01}" for frame in range(1, 61)]
        (one.folder / TRACKS).with_name("timing.csv").write_text("\n".join(["frame,latency", *rows]) + "\n")
    found = compare(first, second, 1.0)
    assert (found.images, found.same_images) == ((60, 30, 30), False)
    by_name = {each.name: each for each in found.differences}
    assert by_name["id_switches"].difference < -50
    assert by_name["id_switches"].verdict == "other images"
    assert by_name["mota"].verdict in ("worse", "not sure", "better"), "misses are held against it"
    assert by_name["false_negatives"].verdict == "worse"
    assert main(["compare", str(first.folder), str(second.folder), "--output", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "the baseline tracked 60 images, the run 30, 30 of them in both" in told.err
    assert "cannot be compared" in (tmp_path / "out" / "comparison.html").read_text()


def test_the_command_judges_for_ci(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    worse = worsened(run, 3)
    folders, output = [str(run.folder), str(worse.folder)], ["--output", str(tmp_path / "out"), "--segment", "1"]
    assert main(["compare", *folders, *output]) == 0
    assert main(["compare", *folders, *output, "--fail-if", "mota < baseline - 20"]) == 0
    assert main(["compare", *folders, *output, "--fail-if", "mota < baseline - 0.5", "--fail-if", "idf1 < 10"]) == 1
    told = capsys.readouterr()
    assert "FAILED: mota < baseline - 0.5" in told.err
    assert "idf1 < 10" not in told.err
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["failed"] == ["mota < baseline - 0.5"]
    assert content["differences"]["mota"]["verdict"] == "worse"
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "worse against run" in page
    assert "Where they differ most" in page


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("mota < baseline", True),
        ("mota < baseline - 11.2", False),
        ("mota<baseline-11", True),
        ("mota < 89", True),
        ("false_negatives > baseline + 19", True),
        ("false_negatives > 20", False),
    ],
)
def test_conditions(run: Run, text: str, fails: bool) -> None:
    differences = {each.name: each for each in compare(run, worsened(run, 3), 1.0).differences}
    assert Limit.parse(text).fails(differences) is fails


@pytest.mark.parametrize(
    "text", ["", "mota", "mota <", "speed < 3", "mota < baseline - ", "mota = 3", "mota < baseline 3"]
)
def test_a_condition_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="--fail-if"):
        Limit.parse(text)


def test_runs_that_cannot_be_compared(run: Run, squares_bag: Bags, replayed: Replayed) -> None:
    with pytest.raises(RunError, match="share no sequence"):
        compare(run, replayed(squares_bag("others", frames=3), "other"))
    with pytest.raises(RunError, match="one run has ground truth"):
        compare(run, replayed(run.folder.parent / "squares", "without", "none"))


def test_moments_of_difference_are_apart() -> None:
    seconds = np.arange(50) / 10
    before, after = np.zeros(50), np.zeros(50)
    after[[10, 11, 12, 40]] = 2, 5, 1, 3
    assert differing(seconds, (before, after)) == [(1.1, 0.0, 5.0), (4.0, 0.0, 3.0)]
