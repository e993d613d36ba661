"""The shipped weights end to end: figures that must not fall."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model import checkpoints
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join, read_mot
from qdtrack_model.data.sources import open_source
from qdtrack_model.evaluation import evaluate
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import mot_rows

CLIPS = Path(__file__).parents[3] / "shared" / "data"
# Least MOTA and IDF1. Below what was read, by what another version of a library may move: two points of MOTA; five of
# IDF1, where a single switch in the middle of a long track costs as much.
LEAST = {
    "street": (0.82, 0.89),  # read: .844, .918
    "street_qdtrack": (0.56, 0.7),  # read: .584, .733
    "plaza": (0.92, 0.92),  # read: .944, .973
}


def test_they_are_shipped_small_and_with_a_card() -> None:
    assert set(checkpoints.SHIPPED) == {"street", "plaza", "street_qdtrack"}
    for name, path in checkpoints.SHIPPED.items():
        assert path.stat().st_size <= (40e6 if name == "street_qdtrack" else 15e6)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert checkpoints.load(name).provenance["command"] in card
        assert all(word in card for word in ("MOTA", "IDF1", "HOTA", "seed"))


def check(weights: str, images: Iterable[tuple[int, float, np.ndarray]], truth: MotBoxes) -> None:
    """Track (frame, seconds, image) with shipped weights; the scores must not fall below LEAST."""
    pipeline = Pipeline.load(weights)
    columns = class_columns(pipeline.runtime.config)
    parts = [from_tracks(pipeline.process(image, time), frame, columns) for frame, time, image in images]
    scores = evaluate(truth, join(parts))
    mota, idf1 = LEAST[weights]
    assert scores.mota > mota
    assert scores.idf1 > idf1


@pytest.fixture(scope="module")
def street() -> list[tuple[int, float, np.ndarray, MotBoxes]]:
    """A scene that no weights have seen and that chose no settings: frame, seconds, image, what is in it."""
    config = SceneConfig(seed=50, frames=24)
    return [
        (frame, frame / config.frame_rate, f.image, mot_rows(config, f.truth, frame))
        for frame, f in enumerate(Scene(config), start=1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "frames"), [("street", 24), ("street_qdtrack", 16)])
def test_a_street_they_never_saw(
    weights: str, frames: int, street: list[tuple[int, float, np.ndarray, MotBoxes]]
) -> None:
    check(weights, (seen[:3] for seen in street[:frames]), join([seen[3] for seen in street[:frames]]))


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"the clips are not at {CLIPS}")
def test_plaza_on_its_clip() -> None:
    with open_source(CLIPS / "plaza") as source:
        images = [(f.index, f.time, f.image) for f in source if 129 <= f.index <= 171]
    check("plaza", images, read_mot(CLIPS / "plaza" / "gt" / "gt.txt").between(129, 171))
