"""Public weights by name, from a real server: fetched once, checked, converted, kept; and what goes wrong."""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qdtrack_model import checkpoints
from qdtrack_model.cache import CacheError
from qdtrack_model.checkpoints import PUBLIC, CheckpointError, FetchError, cached
from qdtrack_model.checkpoints.catalogue import PublicWeights
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.networks import QDTrack
from qdtrack_model.pipeline import Pipeline

from .published import CONFIG, Mirror, canonical, laid_out, packed, published, write_preset

TENSORS = canonical()
CONTENT = packed({"meta": {"CLASSES": CONFIG.classes}, "state_dict": laid_out(TENSORS, "mm")})
HALF = len(CONTENT) // 2
# Loads the weights ``seeded`` in a process of its own; the limit of a file's size stands for the end of the disk.
PROGRAM = """
import json, resource, sys
from qdtrack_model import checkpoints
from qdtrack_model.checkpoints.catalogue import PUBLIC, PublicWeights
PUBLIC["seeded"] = PublicWeights(**json.loads(sys.argv[1]))
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    print(checkpoints.resolve("seeded"))
except (ValueError, RuntimeError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def seeded(mirror: Mirror, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicWeights:
    """Weights of this name, which the mirror has in their first place."""
    public = published(CONTENT, write_preset(tmp_path / "tiny.yaml"))
    monkeypatch.setitem(PUBLIC, "seeded", public)
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", f"{mirror.url}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror.files[public.places[0]] = CONTENT
    return public


def check_whole(folder: Path, public: PublicWeights) -> None:
    """The weights are in the cache as they were published, and nothing else is."""
    checkpoint = checkpoints.load("seeded")
    tensors = load_file(checkpoint.path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(value, TENSORS[name]) for name, value in tensors.items())
    path = cached("seeded", public)
    assert path == checkpoint.path
    assert sorted(one.name for one in folder.iterdir()) == [path.name, f"{path.name}.json", f"{path.name}.lock"]


def left(folder: Path) -> list[str]:
    """What is in the cache but for locks."""
    return sorted(one.name for one in folder.iterdir() if one.suffix != ".lock")


def test_the_first_use_fetches_and_the_next_does_not(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    assert cached("seeded", seeded) is None
    check_whole(folder, seeded)
    checkpoint = checkpoints.load("seeded")
    assert (checkpoint.config, checkpoint.tracker.init_score) == (read_preset(seeded.preset).model, 0.9)
    assert checkpoint.provenance["converted_from"] == f"{mirror.url}/{seeded.places[0]}"
    assert checkpoint.provenance["sha256"].startswith(seeded.digest)
    assert mirror.requests == [(f"/{seeded.places[0]}", "")]


def test_it_is_told_what_happens(seeded: PublicWeights, mirror: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        checkpoints.load("seeded")
    size = f"0.0 of {len(CONTENT) / 1e6:.1f} MB"
    assert f"weights seeded: fetching {mirror.url}/{seeded.places[0]}, {size}, once" in caplog.messages
    assert "weights seeded: converting" in caplog.messages


def test_the_second_place_is_tried(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.files = {seeded.places[1]: CONTENT}
    check_whole(folder, seeded)
    assert [path for path, _ in mirror.requests] == [f"/{place}" for place in seeded.places]


def test_nowhere(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.files.clear()
    with pytest.raises(
        FetchError, match=r"'seeded' cannot be fetched from .*/new/.* and .*/old/.*: not there \(HTTP 404"
    ):
        checkpoints.load("seeded")
    assert left(folder) == []


def test_no_network(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.close()
    with pytest.raises(FetchError) as caught:
        checkpoints.load("seeded")
    text = str(caught.value)
    assert f"from {mirror.url}/{seeded.places[0]}: [Errno 111] Connection refused; try again" in text
    assert "QDTRACK_WEIGHTS_URL" in text and "`qdtrack weights fetch seeded --output FILE`" in text
    assert "\n" not in text
    assert left(folder) == []


def test_another_file_is_thrown_away(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.files[seeded.places[0]] = bytes(len(CONTENT))
    with pytest.raises(FetchError, match=rf"not the published file: its SHA-256 begins with .*, not {seeded.digest};"):
        checkpoints.load("seeded")
    assert left(folder) == []
    mirror.files[seeded.places[0]] = CONTENT
    check_whole(folder, seeded)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_breaks_off_goes_on(seeded: PublicWeights, mirror: Mirror, folder: Path, ranges: bool) -> None:
    mirror.send, mirror.ranges = HALF, ranges
    with pytest.raises(FetchError, match=r"cannot be fetched from .*try again"):
        checkpoints.load("seeded")
    assert left(folder) == [f"{seeded.file}.partial"]
    kept = (folder / f"{seeded.file}.partial").stat().st_size
    assert 0 < kept <= HALF
    mirror.send = None
    check_whole(folder, seeded)
    assert [wanted for _, wanted in mirror.requests] == ["", f"bytes={kept}-"]


def test_silence_is_given_up(
    seeded: PublicWeights, mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdtrack_model.checkpoints.fetching.TIMEOUT", 0.2)
    mirror.send = HALF
    mirror.patience.clear()
    with pytest.raises(FetchError, match="timed out; try again"):
        checkpoints.load("seeded")
    mirror.patience.set()
    mirror.send = None
    check_whole(folder, seeded)


@pytest.mark.parametrize("partial", [CONTENT + b"more", bytes(len(CONTENT))], ids=["longer", "another"])
def test_what_cannot_be_gone_on_with_starts_anew(
    seeded: PublicWeights, mirror: Mirror, folder: Path, partial: bytes
) -> None:
    folder.mkdir()
    (folder / f"{seeded.file}.partial").write_bytes(partial)
    check_whole(folder, seeded)
    assert [wanted for _, wanted in mirror.requests] == [f"bytes={len(partial)}-", ""]


def test_a_web_page_instead_is_said_to_be_one(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.kind = "text/html; charset=utf-8"
    mirror.files[seeded.places[0]] = b"<html>Please log in</html>"
    with pytest.raises(FetchError, match=r"the answer is a web page: a proxy or a login in between\?"):
        checkpoints.load("seeded")
    assert left(folder) == []


def test_an_error_of_the_server_is_named(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.status = 503
    with pytest.raises(FetchError, match="HTTP 503 Service Unavailable; try again"):
        checkpoints.load("seeded")
    assert left(folder) == []


def test_an_address_that_is_none_is_named(seeded: PublicWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", "mirror.local/weights")
    with pytest.raises(FetchError, match=r"from mirror.local/weights/new/.*No scheme supplied.*QDTRACK_WEIGHTS_URL"):
        checkpoints.load("seeded")


def test_a_file_with_the_right_name_that_cannot_be_converted_is_not_kept(
    seeded: PublicWeights, mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed({"weight": torch.zeros(3)})
    other = published(content, Path(seeded.preset))
    monkeypatch.setitem(PUBLIC, "seeded", other)
    mirror.files[other.places[0]] = content
    with pytest.raises(CheckpointError, match="unknown layout"):
        checkpoints.load("seeded")
    assert left(folder) == []


def test_only_the_conversion_is_repeated_where_it_alone_was_killed(
    seeded: PublicWeights, mirror: Mirror, folder: Path
) -> None:
    folder.mkdir()
    (folder / f"{seeded.file}.partial").write_bytes(CONTENT)
    check_whole(folder, seeded)
    assert mirror.requests == []


def start(public: PublicWeights, *more: str) -> subprocess.Popen[str]:
    """Load the weights in another process."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(dataclasses.asdict(public)), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_named_and_gets_its_space_back(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    _, error = start(seeded, str(HALF)).communicate(timeout=300)
    assert error.startswith(f"CacheError: {folder}: cannot keep seeded-")
    assert "File too large" in error and "free some space, or set QDTRACK_CACHE" in error
    assert len(error.splitlines()) == 1
    assert left(folder) == []
    check_whole(folder, seeded)


def test_killed_in_the_middle_the_next_one_goes_on(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.send = HALF
    mirror.patience.clear()
    process, partial = start(seeded), folder / f"{seeded.file}.partial"
    while process.poll() is None and not (partial.is_file() and partial.stat().st_size > 0):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    mirror.patience.set()
    mirror.send = None
    assert cached("seeded", seeded) is None
    kept = partial.stat().st_size
    check_whole(folder, seeded)
    assert mirror.requests[-1][1] == f"bytes={kept}-"


def test_two_at_once_fetch_once(seeded: PublicWeights, mirror: Mirror, folder: Path) -> None:
    mirror.patience.clear()
    processes = [start(seeded) for _ in range(2)]
    while not mirror.requests:
        time.sleep(0.01)
    mirror.patience.set()
    paths = {process.communicate(timeout=300)[0] for process in processes}
    assert paths == {f"{cached('seeded', seeded)}\n"}
    assert len(mirror.requests) == 1
    check_whole(folder, seeded)


def test_a_folder_that_cannot_be_written_is_named(
    seeded: PublicWeights, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="set QDTRACK_CACHE to a folder that can be written"):
        checkpoints.load("seeded")
    assert mirror.requests == []


def test_weights_to_start_from_do_not_track(
    seeded: PublicWeights, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed({"meta": {"CLASSES": ("bus", "person", "car")}, "state_dict": three_classes()})
    public = published(content, Path(seeded.preset), classes=("person", "car"), start=True)
    monkeypatch.setitem(PUBLIC, "begin", public)
    mirror.files[public.places[0]] = content
    checkpoint = checkpoints.load("begin")
    assert checkpoint.fresh == ("embedding_head",)
    assert checkpoint.config.classes == CONFIG.classes  # the recipe's names, not the file's
    with pytest.raises(CheckpointError, match=r"begin: a start for training \(--init\), no more: embedding_head"):
        Pipeline.load("begin")


def three_classes() -> dict[str, torch.Tensor]:
    """A plain detector of three classes."""
    config = dataclasses.replace(CONFIG, classes=("bus", "person", "car"))
    return laid_out(QDTrack(config).state_dict(), "mmdet")


@pytest.mark.parametrize(
    ("name", "file", "classes"),
    [
        ("qdtrack-mot17", "qdtrack_faster-rcnn_r50_fpn_4e_mot17_20220315_145635-76f295ef.pth", 1),
        ("qdtrack-crowdhuman-mot17", "qdtrack_faster-rcnn_r50_fpn_4e_crowdhuman_mot17_20220315_163453-68899b0a.pth", 1),
        ("qdtrack-lvis", "qdtrack_faster-rcnn_r101_fpn_24e_lvis_20220430_024513-88911daf.pth", 482),
        ("qdtrack-tao", "qdtrack_faster-rcnn_r101_fpn_12e_tao_20220613_211934-7cbf4062.pth", 482),
        ("faster-rcnn-coco-person", "faster_rcnn_r50_fpn_1x_coco-person_20201216_175929-d022e227.pth", 1),
        ("resnet50-imagenet", "resnet50-0676ba61.pth", 8),
        ("resnet101-imagenet", "resnet101-63fe2227.pth", 482),
    ],
)
def test_the_published_names(name: str, file: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDTRACK_WEIGHTS_URL", raising=False)
    public = PUBLIC[name]
    assert {url.rpartition("/")[2] for url in public.urls} == {file}
    backbone = name.startswith("resnet")
    site = "https://download.pytorch.org/models/" if backbone else "https://download.openmmlab.com/mm"
    assert all(url.startswith(site) for url in public.urls)
    assert len(public.urls) == (2 if classes == 482 and not backbone else 1)
    assert public.digest == file[-12:-4] and int(public.digest, 16)
    assert len(read_preset(public.preset).model.classes) == classes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qdtrack-mot17", "qdtrack-lvis", "faster-rcnn-coco-person"])
def test_real_sizes_come_through(
    name: str, mirror: Mirror, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded tensors in the place of the published ones, at their size and with their keys."""
    model = read_preset(PUBLIC[name].preset).model
    torch.manual_seed(0)
    state = laid_out(QDTrack(model).state_dict(), "mmdet" if PUBLIC[name].start else "mm")
    content = packed({"meta": {"CLASSES": PUBLIC[name].classes or model.classes}, "state_dict": state})
    public = dataclasses.replace(PUBLIC[name], places=published(content, tmp_path).places)
    monkeypatch.setitem(PUBLIC, name, public)
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", mirror.url)
    mirror.files[public.places[1]] = content
    checkpoint = checkpoints.load(name)
    assert checkpoint.config == model
    assert checkpoint.fresh == (("embedding_head",) if public.start else ())
    assert abs(len(content) / 1e6 - public.megabytes) < 2
    name, value = next(iter(checkpoint.network().state_dict().items()))
    assert torch.equal(value, state[name if public.start else f"detector.{name}"])
