"""Frame pairs: which frames are drawn, and that a pair is always the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import LabelledImage, Objects, SampleError, SampleSet, StoredImage

SPAN = 3


def frames(count: int) -> list[LabelledImage]:
    """Frames whose one object has the number of the frame as its id."""
    image = np.full((64, 64, 3), 90, np.uint8)
    box = np.array([[16.0, 16, 48, 48]])
    return [LabelledImage(image, Objects(box, np.array([number]), np.zeros(1, int))) for number in range(count)]


def drawn(counts: list[int], span: int, pairs: int = 1200) -> Counter[tuple[int, int]]:
    """How often each pair of key and reference frame comes in sequences of so many frames."""
    config = PairConfig((32, 32), (1.0, 1.0), reference_range=span)
    dataset = FramePairs([SampleSet(frames(count)) for count in counts], config, seed=0, count=pairs)
    return Counter(
        (int(key.objects.ids[0]), int(reference.objects.ids[0]))
        for key, reference in (dataset[i] for i in range(pairs))
    )


def test_the_reference_is_any_other_frame_in_range() -> None:
    pairs = drawn([8], SPAN)
    assert pairs.keys() == {(k, r) for k in range(8) for r in range(8) if 0 < abs(k - r) <= SPAN}
    for key in range(8):
        times = [count for (k, _), count in pairs.items() if k == key]
        assert min(times) > 0.4 * max(times), f"frame {key} has favourites: {times}"


def test_repeated_images_are_drawn_more_often() -> None:
    repeats = np.array([1.0, 1.0, 6.0])
    sets = [SampleSet(frames(3), repeats=repeats), SampleSet(frames(8))]
    dataset = FramePairs(sets, PairConfig((32, 32), (1.0, 1.0), reference_range=0), seed=0, count=1600)
    keys = Counter(int(dataset[i][0].objects.ids[0]) for i in range(1600))
    assert sum(keys[i] for i in range(3, 8)) == pytest.approx(500, rel=0.2), (
        "16 shares, five of them of the last frames"
    )
    assert keys[2] == pytest.approx(700, rel=0.2)
    assert keys[0] == pytest.approx(200, rel=0.3)


@pytest.mark.parametrize(("count", "span"), [(8, 0), (1, SPAN)])
def test_the_same_frame_where_there_is_no_other(count: int, span: int) -> None:
    assert drawn([count], span, 200).keys() == {(k, k) for k in range(count)}


@pytest.mark.parametrize(("count", "span", "local"), [(8, 0, True), (1, SPAN, True), (8, SPAN, False)])
def test_unknown_identities_get_numbers_of_their_own_within_one_frame(count: int, span: int, local: bool) -> None:
    boxes = np.array([[0.0, 0, 20, 20], [20, 0, 40, 20], [0, 30, 20, 60], [30, 30, 60, 60]])
    frame = LabelledImage(frames(1)[0].image, Objects(boxes, np.array([-1, 4, -1, 0]), np.zeros(4, int)))
    config = PairConfig((64, 64), (1.0, 1.0), reference_range=span)
    for key, reference in FramePairs([SampleSet([frame] * count)], config, seed=0, count=9):
        for view in (key.objects, reference.objects):
            assert len(view.ids) == 4
            assert view.ids[[1, 3]].tolist() == [4, 0]
            assert len(set(view.ids.tolist())) == (4 if local else 3)
            assert (view.ids.min() >= 0) == local
        np.testing.assert_array_equal(key.objects.ids, reference.objects.ids)
    assert frame.objects.ids.tolist() == [-1, 4, -1, 0], "the data stay as they are"


def test_a_pair_of_a_seed_is_always_the_same() -> None:
    config = PairConfig((32, 32), reference_range=SPAN)
    first, again = (FramePairs([SampleSet(frames(6))], config, seed=5, count=9) for _ in range(2))
    for number in (8, 0, 4):
        for one, other in zip(first[number], again[number], strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.objects.boxes, other.objects.boxes)
            np.testing.assert_array_equal(one.objects.ids, other.objects.ids)
    other_seed = FramePairs([SampleSet(frames(6))], config, seed=6, count=9)
    assert any(not np.array_equal(first[i][0].objects.boxes, other_seed[i][0].objects.boxes) for i in range(9))


@pytest.mark.parametrize("how", [{}, {"mosaic": 1.0}, {"mixup": 1.0}])
def test_ids_that_are_classes_stay_what_they_are(how: dict[str, float]) -> None:
    box, grey, ids = np.array([[16.0, 16, 48, 48]]), np.full((64, 64, 3), 90, np.uint8), [7, -1, 40]
    images = [LabelledImage(grey, Objects(box, np.array([number]), np.zeros(1, int))) for number in ids]
    dataset = FramePairs([SampleSet(images, still=True, **how)], PairConfig((64, 64)), 0, 40, classes=True)  # type: ignore[arg-type]
    views = [view.objects.ids for item in range(40) for view in dataset[item]]
    assert set(np.concatenate(views).tolist()) == set(ids)


def stills(count: int, weight: float = 1.0, mosaic: float = 0.0, mixup: float = 0.0) -> SampleSet:
    return SampleSet(frames(count), still=True, weight=weight, mosaic=mosaic, mixup=mixup)


def test_a_pair_of_stills_is_two_views_of_one() -> None:
    dataset = FramePairs([stills(5)], PairConfig((32, 32), (1.0, 1.0), reference_range=3), seed=0, count=200)
    seen = Counter((int(k.objects.ids[0]), int(r.objects.ids[0])) for k, r in (dataset[i] for i in range(200)))
    assert seen.keys() == {(i, i) for i in range(5)}
    assert any(not np.array_equal(k.image, r.image) for k, r in (dataset[i] for i in range(5)))


def test_sets_are_drawn_by_their_weights() -> None:
    box, image = np.array([[16.0, 16, 48, 48]]), np.zeros((64, 64, 3), np.uint8)
    other = [LabelledImage(image, Objects(box, np.array([0]), np.ones(1, int)))] * 10
    dataset = FramePairs([stills(20, 0.5), SampleSet(other, weight=3.0)], PairConfig((32, 32)), seed=1, count=800)
    part = np.mean([dataset[i][0].objects.labels[0] for i in range(800)])
    assert abs(part - 30 / 40) < 0.05


def test_both_views_of_a_mosaic_call_an_object_by_one_number() -> None:
    dataset = FramePairs([stills(9, mosaic=1.0)], PairConfig((64, 96)), seed=0, count=30)
    counts = []
    for key, reference in (dataset[i] for i in range(30)):
        counts.append(len(key.objects.ids))
        assert len(set(key.objects.ids.tolist())) == len(key.objects.ids), "ids of the stills would repeat"
        shared = set(key.objects.ids.tolist()) & set(reference.objects.ids.tolist())
        assert shared
        assert key.image.shape == reference.image.shape == (64, 96, 3)
    assert max(counts) >= 4


def test_both_views_of_a_mixed_pair_call_an_object_by_one_number() -> None:
    config = PairConfig((64, 64), (1.0, 1.0))
    alone = FramePairs([stills(9)], config, seed=0, count=40)
    mixed = FramePairs([stills(9, mixup=1.0)], config, seed=0, count=40)
    more = 0
    for one, two in ((alone[i], mixed[i]) for i in range(40)):
        key, reference = two
        assert len(set(key.objects.ids.tolist())) == len(key.objects.ids)
        assert set(key.objects.ids.tolist()) & set(reference.objects.ids.tolist())
        more += len(key.objects.ids) - len(one[0].objects.ids)
    assert more > 10


def test_an_image_that_cannot_be_read_is_told_and_another_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    cv2.imwrite(str(good), np.full((64, 64, 3), 90, np.uint8))
    bad.write_bytes(good.read_bytes()[:60])
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
    both = [StoredImage(path, nothing, (64, 64)) for path in (good, bad)]
    dataset = FramePairs([SampleSet(both, still=True)], PairConfig((32, 32)), seed=0, count=20)
    assert all(key.image.shape == (32, 32, 3) for key, _ in (dataset[i] for i in range(20)))
    told = capsys.readouterr().err
    assert told.count("left out") == 1 and str(bad) in told
    hopeless = FramePairs([SampleSet(both[1:], still=True)], PairConfig((32, 32)), seed=0, count=1)
    with pytest.raises(SampleError, match=r"bad\.png"):
        hopeless[0]
