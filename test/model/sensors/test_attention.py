"""Classes, regions and rates by which images are looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from qdtrack_model.sensors.attention import Ignored, Pace, Region, class_scores, least_scores, regions_of
from qdtrack_model.structures import Detections

BONNET = "0,60 100,60 100,100 0,100"
FAR = "0,0 99999999999,0 5,99999999999"  # OpenCV would draw it for a minute
SIZE = (100, 100)


def boxes(*corners: tuple[float, float, float, float]) -> Detections:
    count = len(corners)
    return Detections(np.array(corners), np.ones(count), np.arange(count), np.zeros((count, 0)))


def left(regions: list[Region], *corners: tuple[float, float, float, float]) -> list[int]:
    return Ignored(regions).without(boxes(*corners), SIZE).labels.tolist()


def test_classes_with_and_without_a_score() -> None:
    assert class_scores(["pedestrian", " vehicle:0.5", "a:b:0.25", ""]) == {
        "pedestrian": 0.0, "vehicle": 0.5, "a:b": 0.25,
    }  # fmt: skip
    assert least_scores({}, ["a", "b"]).tolist() == [0, 0]
    assert least_scores({"b": 0.5}, ["a", "b"]).tolist() == [np.inf, 0.5]


@pytest.mark.parametrize("entry", ["vehicle:", "vehicle:much", "vehicle:1.5", ":0.5", "vehicle:nan"])
def test_a_class_that_cannot_be_read_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=f"got '{entry}', expected the name of a class"):
        class_scores([entry])


def test_a_class_that_the_network_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="got 'car', expected some of pedestrian, vehicle"):
        least_scores({"car": 0.0}, ["pedestrian", "vehicle"])


def test_what_lies_by_half_in_a_polygon_is_ignored() -> None:
    inside, across, foot, above = (10, 70, 30, 90), (40, 45, 60, 85), (70, 10, 80, 69), (10, 10, 30, 50)
    assert left([Region(BONNET)], inside, across, foot, above) == [2, 3]


def test_boxes_that_reach_beyond_the_image_count_by_their_part_in_it() -> None:
    assert left([Region(BONNET)], (-50, 70, 10, 300), (90, -50, 150, 40), (20, 100, 30, 140)) == [1, 2]


def test_a_mask_of_any_size(tmp_path: Path) -> None:
    mask = np.full((10, 10), 255, np.uint8)
    mask[6:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    region = Region(str(tmp_path / "mask.png"))
    assert left([region], (10, 70, 30, 90), (10, 10, 30, 50)) == [1]
    everything = Ignored([region, Region("0,0 200,0 200,200 0,200")])
    assert len(everything.without(boxes((10, 10, 30, 50)), SIZE)) == 0
    assert len(everything.without(boxes((250, 10, 270, 50)), (400, 100))) == 1  # another size from the same camera


@pytest.mark.parametrize("text", ["0,60 100,60", "0,60 100,60 x,y", "/nowhere/mask.png", "0 60 100 60 100 100", FAR])
def test_a_region_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"got '{text}', expected three corners or more"):
        Region(text)


def test_each_camera_has_its_own_and_those_of_all() -> None:
    entries = [f"front:{BONNET}", "0,0 10,0 0,10", ""]
    assert [len(regions_of(name, entries, ["front", "left"])) for name in ("front", "left")] == [2, 1]
    assert len(regions_of("", ["0,0 10,0 0,10"], [""])) == 1


@pytest.mark.parametrize(("rate", "taken"), [(0, 30), (10, 10), (20, 20), (25, 25), (30, 30), (100, 30), (0.5, 1)])
def test_a_rate_is_kept_on_the_average(rate: float, taken: int) -> None:
    pace = Pace()
    jitter = np.random.default_rng(0).integers(-3_000_000, 3_000_000, 30)
    stamps = 10**18 + np.arange(30) * 33_333_333 + jitter
    assert abs(sum(pace.takes(int(stamp), rate) for stamp in stamps) - taken) <= 1


def test_after_a_gap_or_a_clock_set_back_the_next_image_is_taken_and_no_burst_follows() -> None:
    second, pace = 10**9, Pace()
    assert [pace.takes(stamp * second // 10, 1.0) for stamp in (0, 5, 10, 95, 100, 105, 20, 25, 30)] == [
        True, False, True, True, False, True, True, False, True,
    ]  # fmt: skip
