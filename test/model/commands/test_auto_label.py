"""``qdtrack auto-label``: what is written is a set to train on, in both forms, from a folder, a video and a bag."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model import checkpoints, tracking
from qdtrack_model.cli import main
from qdtrack_model.commands import auto_label
from qdtrack_model.commands.auto_label import around_switches, run
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_model.data.loading import DataConfig, find_sets, load_sets
from qdtrack_model.data.readers.mot import MotBoxes, join, read_mot, read_seqinfo
from qdtrack_model.data.sources import Source, SourceError, open_source
from qdtrack_model.evaluation import evaluate
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.run import Run, RunWriter, Settings
from qdtrack_model.replay.sequence import SequenceWriter, TruthWriter

MODEL = OneShotConfig(classes=("pedestrian",), input_size=(96, 160))


@pytest.fixture
def pipeline(blobs: Any) -> Pipeline:
    return Pipeline(blobs, tracking.build(QuasiDenseConfig(memory_span=1.0, backdrop_span=0.1)))


@pytest.fixture
def loaded(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command tracks with ``pipeline``."""
    monkeypatch.setattr(auto_label, "load_pipeline", lambda args: pipeline)


def test_a_sequence_is_labelled_for_training(blob_folder: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    with open_source(blob_folder) as source:
        done = run(source, pipeline, tmp_path / "labels")
    assert (done.frames, done.objects, done.boxes, done.interpolated) == (20, 3, 60, 0)
    scores = evaluate(read_mot(blob_folder / "gt" / "gt.txt"), read_mot(tmp_path / "labels" / "gt" / "gt.txt"))
    assert (scores.mota, scores.idf1) == (1, 1)
    assert read_seqinfo(tmp_path / "labels").frame_rate == 10
    [part] = load_sets(find_sets([tmp_path / "labels"], DataConfig()), MODEL, DataConfig())
    assert len(part.samples) == 20
    assert part.samples[3].objects.labels.tolist() == [0, 0, 0]


def test_cocovid(blob_folder: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    with open_source(blob_folder) as source:
        run(source, pipeline, tmp_path / "labels", "cocovid", frames=(3, 15))
    [part] = load_sets(find_sets([tmp_path / "labels"], DataConfig()), MODEL, DataConfig())
    assert not part.still
    assert len(part.samples) == 13
    first, last = part.samples[0].objects, part.samples[-1].objects
    assert sorted(first.ids.tolist()) == sorted(last.ids.tolist()) == [0, 1, 2]
    assert part.samples[0].read().image.shape == (96, 160, 3)


def test_a_missed_object_is_interpolated(blob_folder: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    image = cv2.imread(str(blob_folder / "img1" / "000010.png"))
    image[:] = 40
    cv2.imwrite(str(blob_folder / "img1" / "000010.png"), image)
    with open_source(blob_folder) as source:
        done = run(source, pipeline, tmp_path / "labels")
    assert (done.objects, done.boxes, done.interpolated) == (3, 60, 3)
    labels = read_mot(tmp_path / "labels" / "gt" / "gt.txt")
    assert set(labels.visibilities[labels.frames == 10]) == {0}


@pytest.mark.parametrize("known", [True, False], ids=["ground truth", "none"])
def test_the_seconds_around_switches_are_labelled(
    tmp_path: Path, pipeline: Pipeline, loaded: None, blob_image: Any, known: bool
) -> None:
    """Of 80 frames at 10 a second: an object has another id from frame 30 on, or is away until then."""
    write_bag(tmp_path / "drive", (BagFrame(blob_image(1 + index % 8)[0]) for index in range(80)), 10)
    settings = Settings("lockstep", "blobs", "here", QuasiDenseConfig(), {1: "pedestrian"})
    writer, name = RunWriter(tmp_path / "run", settings), "drive/camera"
    with SequenceWriter(writer.folder / name, [], detections=False) as files:
        for frame in range(1, 81):
            seen = known or not 15 <= frame < 30
            identity = 9 if known and frame >= 30 else 1
            found = one_box(frame, identity) if seen else join([])
            files.write(frame, 1e9 + frame / 10, found, {}, None)
    if known:
        boxes = join([one_box(frame, 1) for frame in range(1, 81)])
        with TruthWriter(writer.folder / name) as truth:
            truth.write(boxes)
            truth.finish(np.arange(1, 81))
    writer.add(
        name, {"bag": str(tmp_path / "drive"), "topic": "/camera/image/compressed", "size": (160, 96), "left_out": {}}
    )
    writer.write()
    [done] = around_switches(Run.read(tmp_path / "run"), name, pipeline, tmp_path / "labels")
    first = 9 if known else 1  # two seconds before frame 29, or before frame 14 the begin
    assert done.frames == 50 - first + 1
    [part] = load_sets(find_sets([tmp_path / "labels"], DataConfig()), MODEL, DataConfig())
    assert len(part.samples) == done.frames
    labels = read_mot(tmp_path / "labels" / f"drive_camera-{first:06d}" / "gt" / "gt.txt")
    assert (labels.frames.min(), labels.frames.max()) == (first, 50)
    [again] = around_switches(Run.read(tmp_path / "run"), name, pipeline, tmp_path / "labels")
    assert again == done, "whoever takes it over from a worker that died writes it anew"
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    runs = [str(tmp_path / "run"), str(tmp_path / "other")]
    assert main(["auto-label", *runs, "--around", "switches", "--output", str(tmp_path / "both")]) == 0
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        f"{run}_drive_camera-{first:06d}" for run in ("run", "other")
    }


def one_box(frame: int, identity: int) -> MotBoxes:
    return MotBoxes(*(np.array([one]) for one in (frame, identity, (10.0, 10, 30, 40), 1, 1, 1)))


def test_a_bag_is_labelled(tmp_path: Path, pipeline: Pipeline, blob_image: Any) -> None:
    write_bag(tmp_path / "bag", (BagFrame(blob_image(index)[0]) for index in range(1, 13)), 8)
    with open_source(tmp_path / "bag") as source:
        done = run(source, pipeline, tmp_path / "labels")
    assert (done.frames, done.objects) == (12, 3)
    assert read_seqinfo(tmp_path / "labels").frame_rate == pytest.approx(8, rel=1e-3)
    with open_source(tmp_path / "bag") as source, pytest.raises(SourceError, match="no frame in frames 50-60"):
        run(source, pipeline, tmp_path / "none", frames=(50, 60))
    assert not (tmp_path / "none").exists()


def test_a_recording_that_cannot_be_read_is_left_out_and_the_others_are_labelled(
    blob_folder: Path, tmp_path: Path, loaded: None, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "broken.mcap").write_bytes(b"no bag")
    command = ["auto-label", "--output", str(tmp_path / "labels"), str(tmp_path / "broken.mcap")]
    assert main([*command, str(blob_folder)]) == 1
    assert [path.name for path in (tmp_path / "labels").iterdir()] == [blob_folder.name]
    assert f"warning: left out: {tmp_path / 'broken.mcap'}" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "labels")
    assert main(command) == 2
    assert f"error: {tmp_path / 'broken.mcap'}" in capsys.readouterr().err


def test_labels_that_were_interrupted_go_on(
    blob_folder: Path, tmp_path: Path, loaded: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    labelled: list[str] = []
    stops = ["second"]

    def labelling(source: Source, pipeline: Pipeline, output: Path, *rest: Any) -> auto_label.Summary:
        labelled.append(output.name)
        done = run(source, pipeline, output, *rest)
        if output.name in stops:
            stops.remove(output.name)
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(auto_label, "run", labelling)
    sources = [blob_folder.rename(tmp_path / "first"), tmp_path / "second"]
    shutil.copytree(*sources)
    labels = tmp_path / "labels"
    command = ["auto-label", *map(str, sources), "--output", str(labels)]
    assert main(command) == 130
    assert main([*command, "--format", "cocovid"]) == 2
    told = capsys.readouterr().err
    assert f"--output {labels}: holds labels of an interrupted command with other settings (format)" in told
    (labels / ".second-ab12_cde").mkdir()  # as after a kill
    assert main(command) == 0
    assert labelled == ["first", "second", "second"]
    assert "goes on with labels that were interrupted: 1 of 2 recordings are done" in (out := capsys.readouterr().out)
    assert "2 recordings, 40 frames, 6 objects, 120 boxes" in out
    assert sorted(path.name for path in labels.iterdir()) == ["first", "second"]


def test_the_command(
    checkpoint: checkpoints.Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "auto-label",
        str(blob_folder),
        "--weights",
        str(checkpoint.path),
        "--runtime",
        "torch",
        "--threads",
        "1",
    ]
    assert main([*command, "--output", str(tmp_path / "labels")]) == 0
    assert "20 frames, 0 objects" in capsys.readouterr().out
    assert main([*command, "--output", str(tmp_path / "labels")]) == 2
    assert "labels: is there already" in capsys.readouterr().err
