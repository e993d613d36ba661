"""Bags as data: ground truth, a detector's output and tracks; stamps that do not meet; images read when drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from qdtrack_model.config import OneShotConfig
from qdtrack_model.data import bags
from qdtrack_model.data.bags import BagError, BagFrame, write_bag
from qdtrack_model.data.loading import DataConfig, find_sets, load_sets
from qdtrack_model.data.readers import bag
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.data.reading import Reading
from qdtrack_model.data.samples import IGNORED, SampleError

Ask = Callable[..., Reading]


def frame(number: int) -> BagFrame:
    boxes = np.array([[-4, 2, 12, 30], [20, 5, 60, 47], [0, 0, 5, 5]])
    truth = MotBoxes(*map(np.array, ([number] * 3, [4, 0, 2], boxes, [1, 1, 0], [1, 3, 8], [0.9, -1, 0.1])))
    return BagFrame(np.full((48, 64, 3), 20 * number, np.uint8), truth if number < 4 else None)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four images, the last one without ground truth."""
    write_bag(tmp_path / "bag", (frame(number) for number in range(1, 5)), 20)
    return tmp_path / "bag"


def test_ground_truth_is_joined_by_stamps(recording: Path, asked: Ask) -> None:
    assert bag.recognises(recording)
    [found], odd = bag.read(recording, asked())
    assert (found.still, found.frame_rate, len(found.samples)) == (False, pytest.approx(20), 3)
    first, second = (sample.objects for sample in found.samples[:2])
    assert first.boxes[0].tolist() == [-4, 2, 12, 30]
    assert first.labels.tolist() == [0, 1, IGNORED]
    assert first.ids.tolist() == second.ids.tolist()
    assert len(set(first.ids.tolist())) == 3
    assert odd == {"images without a message of objects: left out": 1}
    assert [round(float(sample.read().image.mean())) for sample in found.samples] == [20, 40, 60]


def test_a_bag_is_a_set_among_others(recording: Path) -> None:
    model, config = OneShotConfig(classes=("pedestrian",), input_size=(96, 96)), DataConfig()
    for path in (recording.parent, recording, next(recording.glob("*.mcap"))):
        [part] = load_sets(find_sets([path], config), model, config)
        assert part.samples[0].read().image.shape == (48, 64, 3)


def test_an_image_that_is_gone_is_told_when_it_is_drawn(recording: Path, asked: Ask) -> None:
    [found], _ = bag.read(recording, asked())
    moved = recording.rename(recording.with_name("moved"))
    sample = found.samples[0]
    bag._reader.cache_clear()
    with pytest.raises(SampleError, match="image of stamp"):
        sample.read()
    assert moved.exists()


def detection(name: str, score: float, identity: str = "") -> Any:
    types = bags.typestore().types
    truth = MotBoxes(*map(np.array, ([1], [1], [[1, 2, 11, 22]], [1], [1], [score])))
    made = bags._truth_array(truth, {1: name}, bags._header(0)).detections[0]
    return types["vision_msgs/msg/Detection2D"](made.header, made.results, made.bbox, identity)


@pytest.fixture
def other(recording: Path) -> Callable[..., Path]:
    """A function that writes a bag with the images and, for the second one, these messages on these topics."""

    def write(**messages: Any) -> Path:
        path = recording.with_name("other")
        images = [record for record in bags.read_raw(recording) if record[0] == bags.IMAGE_TOPIC]
        records = list(images)
        for topic, message in messages.items():
            kind = message.__msgtype__
            data = bytes(bags.typestore().serialize_cdr(message, kind))
            records.append((f"/{topic}", kind, images[1][2], data))
        bags.write_raw(path, records)
        return path

    return write


def test_detections_and_tracks(other: Callable[..., Path], asked: Ask) -> None:
    types, stamp = bags.typestore().types, bags.START_NANOSECONDS + 50_000_000
    header = bags._header(stamp)
    found = [detection("car", 0.9), detection("pedestrian", 0.2), detection("pedestrian", 0.7, "a-7")]
    nothing = types["vision_msgs/msg/Detection2D"](header, [], found[0].bbox, "")
    track = types["qdtrack/msg/TrackedDetection"]
    tracks = [
        track(7, 0, "pedestrian", 0.9, 6.0, 12.0, 10.0, 20.0, 1.0, 0.0, 0.0, 0.0, state, np.zeros(2, np.float32))
        for state in (1, 2)
    ]
    path = other(
        detections=types[bags.ARRAY](header, [*found, nothing]),
        tracks=types[bag.TRACKS](header, 5, 64, 48, tracks),
    )
    with pytest.raises(BagError, match=r"several of objects .* may name one as `annotations`; topics: .*/detections"):
        bag.read(path, asked())
    with pytest.raises(BagError, match="no objects on '/gone'"):
        bag.read(path, asked(annotations="/gone"))
    [seen], odd = bag.read(path, asked({"vehicle": ("car",)}, annotations="/detections"))
    [sample] = seen.samples
    assert sample.objects.labels.tolist() == [1, IGNORED, 0], "what the detector is not sure of is ignored"
    assert sample.objects.ids.tolist() == [-1, -1, 0]
    assert sample.objects.boxes[0].tolist() == [1, 2, 11, 22]
    assert round(float(sample.read().image.mean())) == 40
    assert odd == {"images without a message of objects: left out": 3}
    [followed], _ = bag.read(path, asked(annotations="/tracks"))
    assert followed.samples[0].objects.boxes.tolist() == [[1, 2, 11, 22]], "a lost track is not in the image"
    assert followed.samples[0].objects.open_labels.tolist() == [1]


def test_a_bag_without_objects_is_told(other: Callable[..., Path], asked: Ask) -> None:
    with pytest.raises(BagError, match="no topic of objects"):
        bag.read(other(), asked())
