"""What several tests share: the real clips, a small untrained network, and a runtime that needs no weights."""

from __future__ import annotations

import colorsys
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cache import keep
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic import Scene, SceneConfig

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def clips() -> Path:
    """The folder of real clips; a test that asks for it is skipped where it is absent."""
    if not CLIPS.is_dir():
        pytest.skip(f"the real clips are not at {CLIPS}")
    return CLIPS


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    """Weights of a one-shot network for images (64, 96), all of whose 20 detections count."""
    config = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(config), config, QuasiDenseConfig(init_score=0.6), {"seed": 0})
    return checkpoints.load(path)


@pytest.fixture
def street_image(cache: Path) -> Array:
    """A synthetic street (720, 1280, 3) with a dozen people and cars; painted once for all processes."""

    def paint(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, Scene(SceneConfig(seed=9)).frame(80).image)

    return np.asarray(np.load(keep("street", ".npy", {"seed": 9, "frame": 80}, paint)))


@pytest.fixture(scope="session")
def benchmark() -> Callable[[str], ModuleType]:
    """A function that gives ``benchmarks/NAME.py`` as a module."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).resolve().parents[2] / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def small_preset(
    benchmark: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], checkpoints.Checkpoint]:
    """A function of a QDTrack preset's name: its seeded weights for images (96, 160), always the same bytes.

    Narrow and with fewer proposals, which makes the graph no other. The bottlenecks of MOT17 are those of all: others
    have the shallow backbone, whose graph is shorter.
    """

    def make(name: str) -> checkpoints.Checkpoint:
        torch.set_num_threads(1)  # sums of several threads differ in their last digits
        small = {"input_size": (96, 160), "channels": 32, "proposals": 300, "proposals_per_level": 300}
        shallow = {} if name == "mot17" else {"depth": 18}
        return benchmark("models").seeded(name, tmp_path_factory.mktemp("weights"), **small, **shallow)

    return make


class BlobRuntime:
    """A whole runtime without a network: finds saturated blobs; their hue is their appearance."""

    name = "blobs"
    device = "cpu"
    on_gpu = takes_gpu_images = False

    def __init__(self, input_size: tuple[int, int] = (96, 160)) -> None:
        self.config = OneShotConfig(classes=("pedestrian",), input_size=input_size, embedding_size=2)

    def warm_up(self) -> None:
        self.infer(np.zeros((1, *self.config.input_size, 3), np.uint8))

    def infer(self, images: Array) -> list[Detections]:
        return [self._find(image) for image in images]

    def _find(self, image: Array) -> Detections:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        _, _, stats, centres = cv2.connectedComponentsWithStats((hsv[..., 1] > 128).astype(np.uint8))
        stats, centres = stats[1:], centres[1:].round().astype(int)
        boxes = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1)
        angles = hsv[centres[:, 1], centres[:, 0], 0] * (np.pi / 90)
        embeddings = 8 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return Detections(boxes, np.full(len(boxes), 0.95), np.zeros(len(boxes)), embeddings)

    def close(self) -> None:
        pass


@pytest.fixture
def blobs() -> BlobRuntime:
    return BlobRuntime()


def _blob_image(index: int, size: tuple[int, int] = (320, 192), count: int = 3) -> tuple[Array, Array]:
    """Frame ``index`` (from 1) of a scene of ``count`` squares that move to the right, and their boxes."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    boxes = np.array([[10 + 4 * index, 20 + 56 * i, 34 + 4 * index, 52 + 56 * i] for i in range(count)], float)
    for i, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        image[y1:y2, x1:x2] = [round(255 * c) for c in colorsys.hsv_to_rgb(i / count, 1, 1)]
    return image, boxes


@pytest.fixture
def blob_image() -> Callable[..., tuple[Array, Array]]:
    """A function of (index, size, count): an image of moving squares and their boxes."""
    return _blob_image


@pytest.fixture
def blob_folder(tmp_path: Path) -> Path:
    """A MOTChallenge sequence of 20 frames at 10 frames/s, with three moving squares and their ground truth."""
    from qdtrack_model.data.readers.mot import MotBoxes, SequenceInfo, write_mot, write_seqinfo

    folder = tmp_path / "squares"
    (folder / "img1").mkdir(parents=True)
    frames = []
    for index in range(1, 21):
        image, boxes = _blob_image(index)
        cv2.imwrite(str(folder / "img1" / f"{index:06d}.png"), image)
        frames.append(MotBoxes(np.full(3, index), np.arange(1, 4), boxes, np.ones(3), np.ones(3), np.ones(3)))
    columns = ("frames", "ids", "boxes", "confidences", "classes", "visibilities")
    write_mot(folder / "gt" / "gt.txt", MotBoxes(*(np.concatenate([getattr(f, c) for f in frames]) for c in columns)))
    write_seqinfo(folder, SequenceInfo("squares", 10.0, 20, 320, 192, "img1", ".png"))
    return folder
