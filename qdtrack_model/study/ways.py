"""What the one-shot study compares, on what terms, and what was published of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qdtrack_model.config import OneShotConfig, require
from qdtrack_model.data.loading import DataConfig, SetConfig
from qdtrack_model.data.pairs import PairConfig
from qdtrack_model.training.config import OF_VIEWS, Frozen, Objective, OneShotTraining

TRAINED = (1, 128)  # frames of plaza; what follows is held out


@dataclass(frozen=True)
class Published:
    """A row of the report "One-shot MOT using contrastive learning" (MOT17 02 and 11): per cent but for switches."""

    idf1: float
    switches: int
    mota: float
    tpr: float  # at FAR .1, ten largest people


@dataclass(frozen=True)
class Way:
    """One way to learn embeddings.

    Args:
        name: in files.
        title: in tables.
        embeddings: the loss.
        frozen: what stays as the start left it.
        identities: it needs to know who is who from frame to frame.
        published: its row, where there is one.
    """

    name: str
    title: str
    embeddings: Objective
    frozen: Frozen = "none"
    identities: bool = True
    published: Published | None = None


# Where all ways of one kind of data begin, as all published ones began with one file of COCO's or ImageNet's weights.
START = Way("start", "the start (embeddings untrained)", "cosine", identities=False)
WAYS = (
    Way("baseline", "baseline (identity classes)", "identity", published=Published(39.5, 245, 29.5, 82.84)),
    Way("class_fr", "class. fr.", "identity", "backbone", published=Published(37.6, 372, 28.5, 69.62)),
    Way("class_frdet", "class. fr.det.", "identity", "detector", published=Published(40.8, 216, 29.9, 85.86)),
    Way("euclidean_fr", "Euclidean fr. (m 10)", "euclidean", "backbone", published=Published(14.2, 817, -104.3, 57.64)),
    Way("cosine_fr", "cosine fr. (m .5)", "cosine", "backbone", published=Published(36.5, 303, 29.1, 67.02)),
    Way("euclidean_frdet", "Euclidean fr.det.", "euclidean", "detector", published=Published(38.4, 302, 29.7, 74.89)),
    Way("cosine_frdet", "cosine fr.det.", "cosine", "detector", published=Published(38.4, 258, 29.5, 79.33)),
    Way("clmot", "CL-MOT (NT-Xent)", "contrastive", identities=False),
    Way("triplet_all", "triplet, all", "triplet_all", identities=False),
    Way("triplet_hard", "triplet, hard", "triplet_hard", identities=False),
    Way("each_box", "each box a class", "each_box", identities=False),
    Way("quasi_dense", "QDTrack's loss", "quasi_dense"),
)
# Of stills, which know no identities; QDTrack's loss compares two views of one still.
STILL_WAYS = (
    *(way for way in WAYS if not way.identities),
    Way("euclidean", "Euclidean (m 10)", "euclidean", identities=False),
    Way("cosine", "cosine (m .5)", "cosine", identities=False),
    Way("quasi_dense", "QDTrack's loss, two views", "quasi_dense", identities=False),
)


def ways_of(kind: str) -> tuple[Way, ...]:
    """What is compared on data of a kind (street, plaza, photos)."""
    return STILL_WAYS if kind == "photos" else WAYS


@dataclass(frozen=True)
class Terms:
    """What all ways have in common: network, data and budget.

    Args:
        model: the network.
        start: weights whose detector all ways begin with; None: one is learned for each kind of data.
        start_steps: of learning one, detection alone.
        steps: of each way, from the start on.
        batch: pairs of images a step.
        places: of an image at which boxes are learned.
        crop_size: height and width of the images that are learned.
        still_size: the same of stills, whose people are taller.
        scenes: synthetic scenes to train on, and as many again, up to two, that are held out.
        frames: of a scene.
        tracked: frames of a clip that are tracked and scored at most; None: all.
    """

    model: OneShotConfig = field(
        default_factory=lambda: OneShotConfig(
            classes=("pedestrian",), input_size=(320, 576), width=0.375, max_detections=100, score_floor=0.2
        )
    )  # fmt: skip
    start: str | None = "street"
    start_steps: int = 600
    steps: int = 600
    batch: int = 2
    places: int = 64
    crop_size: tuple[int, int] = (128, 224)
    still_size: tuple[int, int] = (256, 256)
    scenes: int = 4
    frames: int = 40
    tracked: int | None = 25

    def __post_init__(self) -> None:
        require(self.start_steps > 0, "start_steps", self.start_steps, "1 or more")
        require(self.steps > 0, "steps", self.steps, "1 or more")
        require(self.scenes > 0, "scenes", self.scenes, "1 or more")


REDUCED = Terms(
    OneShotConfig(
        classes=("pedestrian",), input_size=(64, 128), width=0.125, head_width=16, embedding_size=8, max_detections=20,
        score_floor=0.05,
    ),
    start=None, start_steps=2, steps=1, batch=1, crop_size=(64, 96), still_size=(64, 96), scenes=1, frames=8, tracked=6,
)  # fmt: skip
FULL = Terms(
    OneShotConfig(classes=("pedestrian",), input_size=(352, 640), width=0.25, score_floor=0.2),
    start=None, start_steps=2000, steps=150, batch=12, places=192, crop_size=(256, 448), still_size=(352, 352),
    scenes=8, frames=60, tracked=None,
)  # fmt: skip


def data_config(kind: str) -> DataConfig:
    """How the data of a kind (street, plaza, photos) are used."""
    if kind == "plaza":
        return DataConfig(others=SetConfig(frames=TRAINED))
    if kind == "photos":
        people: tuple[str, ...] = ("person", "people")
        return DataConfig(categories={"pedestrian": people}, others=SetConfig(mosaic=0.2))
    return DataConfig()


def scale_range(kind: str) -> tuple[float, float]:
    """Of crops to learn from, of images that fit the network's input: about the size at which the network sees them,
    rather less, so that there are several people in a crop; of stills, whose people have all sizes, a wide range.

    Crops have to hold whole people as tall as those of the clips: with 128 rows instead of 256, scales of .5 to 1.2 and
    more mosaics the detector unlearned them (IDF1 on TUD-Campus 18 to 33 instead of 66).
    """
    return (0.6, 1.4) if kind == "photos" else (0.6, 1.1)


def recipe(way: Way, terms: Terms, kind: str, seed: int) -> OneShotTraining:
    """How a way is trained on data of a kind; the balance of losses as published with each."""
    views, start = way.embeddings in OF_VIEWS, way is START
    crop = terms.still_size if kind == "photos" else terms.crop_size
    pairs = PairConfig(crop, scale_range=scale_range(kind), reference_range=8, rotation=5.0, shear=2.0)
    if views:
        pairs = replace(pairs, reference_range=0, identities="frame", mirrored=True)
    plain = start or way.embeddings == "quasi_dense"
    steps = terms.start_steps if start else terms.steps
    return OneShotTraining(
        model=terms.model,
        seed=seed,
        steps=steps,
        batch=terms.batch,
        places=terms.places,
        pairs=pairs,
        data=data_config(kind),
        embeddings=way.embeddings,
        embedding_weight=0.0 if start else 1.0,
        off_centre=views,
        balance="weights" if plain else "fixed" if views else "learned",
        frozen=way.frozen,
        learning_rate=2e-3 if start else 2e-4,
        warm_up=min(50, steps // 10),
        weight_decay=0.0,
        ema_decay=0.99,
    )
