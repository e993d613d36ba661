"""An image goes in and its tracks come out in its own pixels, whatever its size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdtrack_model import checkpoints, networks
from qdtrack_model.checkpoints import CheckpointError
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.config import (
    GREY,
    ConfigError,
    ModelConfig,
    OneShotConfig,
    QDTrackConfig,
    QuasiDenseConfig,
    TaoConfig,
    TrackerConfig,
)
from qdtrack_model.fitting import Letterbox, Preprocessor
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, Runtime
from qdtrack_model.sensors.registration import Registration
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking import QuasiDenseTracker, TaoTracker

Scene = Callable[..., tuple[Array, Array]]
CONFIG = QuasiDenseConfig(init_score=0.8, object_score=0.5, memory_span=1.0, backdrop_span=0.1)


NETWORK = OneShotConfig(input_size=(96, 160))


def fit(image: Array, network: ModelConfig = NETWORK) -> tuple[Array, Letterbox]:
    batch, [letterbox] = Preprocessor(network)([image])
    return batch, letterbox


def found(boxes: object) -> Detections:
    count = len(np.atleast_2d(np.asarray(boxes)))
    return Detections(boxes, np.full(count, 0.9), np.zeros(count), np.ones((count, 2)))


@settings(deadline=None)
@given(
    width=st.integers(8, 3000), height=st.integers(8, 3000),
    corners=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)  # fmt: skip
def test_the_way_there_and_back_is_exact(width: int, height: int, corners: list[float]) -> None:
    _, letterbox = fit(np.zeros((height, width), np.uint8))
    a, b, c, d = corners
    source = np.array([[min(a, c) * width, min(b, d) * height, max(a, c) * width, max(b, d) * height]])
    source[:, 2:] = np.minimum(source[:, 2:] + 1, [width, height])
    source[:, :2] = np.maximum(source[:, 2:] - np.maximum(source[:, 2:] - source[:, :2], 1), 0)
    there = source * np.array([*letterbox.scale, *letterbox.scale])
    np.testing.assert_allclose(letterbox.to_source(found(there)).boxes, source, atol=1e-5 * max(width, height))


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((1280, 720), (160, 90)), ((160, 96), (160, 96)), ((100, 400), (24, 96)), ((33, 20), (158, 96))],
)
def test_aspect_is_kept_and_the_rest_is_padding(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    network = OneShotConfig(input_size=(96, 160), padding=(1, 2, 3))
    batch, letterbox = fit(np.full((size[1], size[0], 3), 250, np.uint8), network)
    assert batch.shape == (1, 96, 160, 3)
    inside = np.zeros((96, 160), bool)
    inside[: fitted[1], : fitted[0]] = True
    assert (batch[0][inside] == 250).all()
    assert (batch[0][~inside] == (1, 2, 3)).all()
    assert letterbox.scale == (fitted[0] / size[0], fitted[1] / size[1])


def test_a_pixel_lands_where_its_box_does() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    image[100:140, 300:360] = 255
    batch, letterbox = fit(image)
    rows, columns = np.nonzero(batch[0, :96, :144, 0] > 127)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(letterbox.to_source(found([box])).boxes, [[300, 100, 360, 140]], atol=4.2)


def test_sizes_may_change_and_leave_nothing_behind() -> None:
    preprocess = Preprocessor(NETWORK)
    preprocess([np.full((96, 160, 3), 9, np.uint8)])
    small, _ = preprocess([np.full((96, 40, 3), 7, np.uint8)])
    assert set(np.unique(small)) == {7, *GREY}


@pytest.mark.parametrize("name", ["mot17", "dancetrack", "bdd100k", "waymo", "lvis", "tao"])
def test_public_checkpoints_see_zeros_beside_the_image_after_normalisation(name: str) -> None:
    network = read_preset(name).model
    batch, _ = fit(np.full((1, 9, 3), 250, np.uint8), network)
    colour = batch[0, -1, 0].astype(float)
    normalised = (colour if network.channel_order == "bgr" else colour[::-1]) - network.mean
    assert np.abs(normalised).max() <= 0.5


def test_weights_from_before_the_padding_was_stored_pad_grey() -> None:
    for name in checkpoints.SHIPPED:
        assert checkpoints.load(name).config.padding == (114, 114, 114)


@pytest.mark.parametrize("kind", [OneShotConfig, QDTrackConfig])
@pytest.mark.parametrize(
    ("clip", "boxes"),
    [(True, [[0, 0, 20, 20], [100, 80, 160, 90]]), (False, [[-5, -5, 20, 20], [100, 80, 200, 95]])],
)
def test_boxes_end_at_the_border_where_the_weights_say_so(kind: type[Any], clip: bool, boxes: list[list[int]]) -> None:
    _, letterbox = fit(np.zeros((90, 160, 3), np.uint8), kind(input_size=(96, 160), clip_boxes=clip))
    kept = letterbox.to_source(found([[-5, -5, 20, 20], [10, 91, 30, 96], [100, 80, 200, 95]]))
    np.testing.assert_allclose(kept.boxes, boxes)  # never what is in the padding alone


def test_grey_equals_its_three_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 255, (70, 110), np.uint8)
    one = fit(grey)[0]
    three = fit(np.repeat(grey[:, :, None], 3, axis=2))[0]
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\) with 4 channels.*drop the alpha"),
        (np.zeros((4, 5, 1), np.uint8), r"\(4, 5, 1\)"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"\(1, 4, 5, 3\)"),
        (np.zeros((4, 5, 3), np.float32), r"dtype float32 with shape \(4, 5, 3\)"),
        (np.zeros((4, 5), np.uint16), "dtype uint16"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\), which holds no pixels"),
        (np.zeros((4, 0), np.uint8), "holds no pixels"),
        (None, "got NoneType"),
        ([[1, 2]], "got list"),
    ],
)
def test_what_is_no_image_is_refused_by_name(blobs: Runtime, blob_image: Scene, image: object, message: str) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    with pytest.raises(ValueError, match=message) as caught:
        pipeline.process(image, 0.0)
    assert "expected uint8 of shape (height, width, 3)" in str(caught.value)
    assert len(pipeline.process(blob_image(1)[0], 0.0)) == 3, "the pipeline stays usable"


def test_ids_stay_with_their_objects(blobs: Runtime, blob_image: Scene) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    for index in range(1, 16):
        image, boxes = blob_image(index)
        tracks = pipeline.process(image, index / 10)
        order = np.argsort(tracks.boxes[:, 1])
        if index == 1:
            ids = tracks.ids[order].tolist()
        assert tracks.ids[order].tolist() == ids
        np.testing.assert_allclose(tracks.boxes[order], boxes, atol=2.5)
    assert sorted(ids) == [0, 1, 2]


def test_images_together_are_detected_as_alone(blobs: Runtime, blob_image: Scene) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    sizes = [(320, 192), (640, 192), (100, 300)]
    images = [np.ascontiguousarray(blob_image(1 + n, size)[0]) for n, size in enumerate(sizes)]
    for order in ([0, 1, 2], [2, 0], [1]):
        together = pipeline.detect([images[n] for n in order])
        for n, found in zip(order, together, strict=True):
            alone = Pipeline(blobs, QuasiDenseTracker(CONFIG)).detect([images[n]])[0]
            np.testing.assert_array_equal(found.boxes, alone.boxes)
            assert len(found) > 0


def test_images_are_fitted_in_while_those_before_are_detected(blobs: Runtime, blob_image: Scene) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    images = [np.ascontiguousarray(blob_image(n, (320, 192))[0]) for n in range(1, 6)]
    expected = [pipeline.detect([image])[0].boxes.copy() for image in images]
    ahead = pipeline.fit(images[:1])
    for n in range(len(images)):
        now, ahead = ahead, pipeline.fit(images[n + 1 : n + 2])
        np.testing.assert_array_equal(pipeline.infer(now)[0].boxes, expected[n])
        assert pipeline.timings["preprocess"] == now.seconds


def test_a_new_tracker_is_set_alike_and_remembers_nothing(blobs: Runtime, blob_image: Scene) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    pipeline.process(blob_image(1)[0], 0.0)
    tracker = pipeline.new_tracker()
    assert tracker.config == pipeline.tracker.config
    assert tracker.update(pipeline.detect([blob_image(2)[0]])[0], 0.0).ids.tolist() == [0, 1, 2]


def test_odd_shapes_do_not_break_it(blobs: Runtime) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    for n, shape in enumerate([(1, 1, 3), (1, 4000, 3), (3000, 2), (97, 161, 3)]):
        assert len(pipeline.process(np.zeros(shape, np.uint8), n)) == 0
    view = np.zeros((200, 300, 3), np.uint8)[::2, ::-1]
    assert len(pipeline.process(view, 9)) == 0


def test_timings_classes_and_reset(blobs: Runtime, blob_image: Scene) -> None:
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    first = pipeline.process(blob_image(1)[0], 0.0)
    assert set(pipeline.timings) == {"preprocess", "network", "track"}
    assert all(seconds > 0 for seconds in pipeline.timings.values())
    assert pipeline.classes == ("pedestrian",)
    pipeline.process(blob_image(2, count=2)[0], 0.1)
    pipeline.reset()
    again = pipeline.process(blob_image(1)[0], 0.0)
    assert again.ids.tolist() == first.ids.tolist()


def test_tracks_are_followed_beside_a_camera_that_turns(blobs: Runtime) -> None:
    wall = (
        np.random.default_rng(0).integers(0, 256, (24, 80, 1)).astype(np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2)
    )
    speeds = []
    for registration in (None, Registration()):
        pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG), registration)
        for index in range(5):
            image = wall[:, 20 * index : 20 * index + 320].copy()
            image[80:120, 200 - 20 * index : 240 - 20 * index] = (0, 0, 255)  # it stands before the wall
            tracks = pipeline.process(image, index / 10)
        assert len(tracks) == 1
        speeds.append(abs(float(tracks.velocities[0, 0])))
    assert speeds[0] > 150 and speeds[1] < 15  # of 200 pixels a second
    assert pipeline.timings["register"] > 0
    pipeline.reset()
    np.testing.assert_allclose(pipeline.process(wall[:, :320], 0.0).velocities, np.zeros((0, 2)))


def save_tiny(folder: Path, tracker: TrackerConfig) -> str:
    """A weights file of a tiny network that knows nothing."""
    config = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, head_width=16, embedding_size=8)
    path = folder / "tiny.safetensors"
    checkpoints.save(path, networks.build(config), config, tracker, {"data": "none"})
    return str(path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("weights"), CONFIG)


def test_load_with_tracker_values_replaced(weights: str) -> None:
    pipeline = Pipeline.load(weights, Options("torch", threads=1), tracker={"memory_span": 3})
    assert pipeline.tracker.config.memory_span == 3.0
    assert pipeline.tracker.config.init_score == CONFIG.init_score
    assert pipeline.process(np.zeros((48, 64, 3), np.uint8), 0.0).embeddings.shape[1] in (0, 8)
    pipeline.close()


def test_load_says_what_is_wrong(weights: str) -> None:
    with pytest.raises(ConfigError, match="frame_rate: not set"):
        Pipeline.load(weights, Options("torch"), time="frames")
    with pytest.raises(ConfigError, match="unknown key 'memory_spam'; did you mean 'memory_span'"):
        Pipeline.load(weights, tracker={"memory_spam": 3})
    with pytest.raises(CheckpointError, match="'nobody': neither a file nor a name that `qdtrack weights` lists"):
        Pipeline.load("nobody")


def test_values_are_in_the_unit_of_the_time_that_is_asked_for(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path, QuasiDenseConfig(memory_span=3.0, backdrop_span=0.5, frame_rate=10.0))
    pipeline = Pipeline.load(weights, Options("torch", threads=1), {"backdrop_span": 7}, time="frames")
    assert (pipeline.tracker.config.memory_span, pipeline.tracker.config.backdrop_span) == (30.0, 7.0)


def test_weights_bring_their_kind_of_tracker(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path, TaoConfig(memory_span=4.0))
    pipeline = Pipeline.load(weights, Options("torch", threads=1), tracker={"match_score": 0.4})
    assert isinstance(pipeline.tracker, TaoTracker)
    assert pipeline.tracker.config == TaoConfig(memory_span=4.0, match_score=0.4)
    pipeline.process(np.zeros((48, 64, 3), np.uint8), 0.0)
    for values, message in [
        ({"gate": 1.0}, r"tracker \(tao\): unknown key 'gate'"),
        ({"kind": "sort"}, "tracker.kind: got 'sort', expected one of quasi_dense, tao, fairmot"),
    ]:
        with pytest.raises(ConfigError, match=message):
            Pipeline.load(weights, Options("torch"), values)


def test_half_of_the_images_are_scored_as_half(
    blobs: Runtime, blob_folder: Path, benchmark: Callable[[str], ModuleType]
) -> None:
    """What benchmarks/half_rate.py compares; memory and motion count seconds, so both track."""
    pipeline = Pipeline(blobs, QuasiDenseTracker(CONFIG))
    full, half = benchmark("half_rate").scores_of(blob_folder, pipeline, (1, 2))
    assert (full.objects, half.objects) == (60, 30)
    assert (full.mota, full.idf1) == (half.mota, half.idf1) == (1.0, 1.0)
    [start] = benchmark("half_rate").scores_of(blob_folder, pipeline, (1,), frames=3)
    assert (start.objects, start.mota) == (9, 1.0)
