"""The trainings of the one-shot study and what each is worth, a file each: what is there is not done again."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from qdtrack_model import checkpoints, tracking
from qdtrack_model.atomic import atomic_write
from qdtrack_model.cache import cache_folder
from qdtrack_model.config import FairMotConfig, QuasiDenseConfig, TrackerConfig, to_mapping
from qdtrack_model.data.held_out import HeldOut, HeldOutSequence, load_held_out
from qdtrack_model.data.loading import find_sets, load_sets
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join
from qdtrack_model.data.samples import SampleSet, fingerprint
from qdtrack_model.evaluation.embeddings import FARS, score_both
from qdtrack_model.evaluation.scores import Scores, combine, evaluate
from qdtrack_model.networks import build
from qdtrack_model.object_embeddings import embed_sequence
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, usable_cores
from qdtrack_model.structures import Detections
from qdtrack_model.study.ways import START, Terms, Way, data_config, recipe, ways_of
from qdtrack_model.synthetic import SceneConfig
from qdtrack_model.synthetic.scene import Scene
from qdtrack_model.synthetic.writer import write_sequence
from qdtrack_model.training.config import OneShotTraining
from qdtrack_model.training.loop import Network, train

FIRST_SCENE, FIRST_HELD_OUT = 100, 900  # seeds of scenes
START_SEED = 0  # of the one start of each kind of data
FRESH = ("embedding",)  # parts of the network that each way begins by itself


@dataclass(frozen=True)
class Data:
    """What is learned and what is tracked afterwards, by the kind of data (street, plaza, photos)."""

    trained: Mapping[str, Sequence[Path]]
    tracked: Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Job:
    """One training: the way, the kind of data and the seed."""

    way: Way
    kind: str
    seed: int

    def path(self, folder: Path, ending: str) -> Path:
        """Of one of its files."""
        return folder / self.kind / str(self.seed) / f"{self.way.name}.{ending}"


def jobs(kinds: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """All trainings, those of one seed after those of another: early on there is a row of each.

    Each kind of data begins with its start.
    """
    found = [Job(way, kind, seed) for seed in seeds for kind in kinds for way in ways_of(kind)]
    starts = [next(i for i, job in enumerate(found) if job.kind == kind) for kind in kinds]
    for kind, place in reversed(list(zip(kinds, starts, strict=True))):
        found.insert(place, Job(START, kind, START_SEED))
    return found


def street(terms: Terms) -> tuple[list[Path], list[Path]]:
    """The synthetic scenes to train on and those held out, kept in the cache and made where they are not there yet."""
    height, width = terms.model.input_size

    def made(seed: int) -> Path:
        path = cache_folder() / "scenes" / f"{width}x{height}x{terms.frames}" / f"street-{seed}"
        if not path.exists():
            scene = Scene(SceneConfig(seed, terms.frames, 12.5, (width, height), pedestrians=14, vehicles=0))
            with atomic_write(path) as partial:
                write_sequence(scene, partial, None)
        return path

    count = terms.scenes
    trained = [made(FIRST_SCENE + i) for i in tqdm(range(count), desc="street", leave=False, disable=None)]
    return trained, [made(FIRST_HELD_OUT + i) for i in range(min(count, 2))]


class Study:
    """Trains and scores what is missing.

    Args:
        folder: of all files.
        terms: network, data and budget.
        data: folders.
        device: of training and inference.
    """

    def __init__(self, folder: Path, terms: Terms, data: Data, device: torch.device) -> None:
        self._folder, self._terms, self._data, self._device = folder, terms, data, device
        self._sets: dict[str, list[SampleSet]] = {}
        self._held_out: dict[str, HeldOut] = {}

    def check(self, kinds: Sequence[str]) -> None:
        """Keep what the study is made of, and see that each kind of data can be learned and tracked.

        Raises:
            ValueError: its folder holds a study of other data, terms or weights, or nobody is to be tracked in a clip.
        """
        terms = self._terms
        settings: dict[str, Any] = {"terms": to_mapping(terms)}
        settings["start"] = terms.start and checkpoints.load(terms.start).digest
        settings["data"] = {kind: fingerprint(self._learned_from(kind)) for kind in kinds}
        for kind in kinds:
            for name, sequence in self._sequences(kind).items():
                last = last_frame(sequence, terms)
                if not (sequence.truth.between(sequence.stretches[0][0], last).confidences > 0).any():
                    raise ValueError(f"{name}: nobody to be tracked up to frame {last}")
        settings["tracked"] = {kind: self._held_out[kind].fingerprint() for kind in kinds}
        path = self._folder / "settings.json"
        if path.exists():
            settings = _together(path, json.loads(json.dumps(settings)))
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def run(self, wanted: Sequence[Job], seconds: float | None) -> bool:
        """Do all jobs, or what can be begun in so many seconds; whether all are done."""
        end = None if seconds is None else time.monotonic() + seconds
        for number, job in enumerate(wanted, start=1):
            if job.path(self._folder, "json").exists():
                continue
            if end is not None and time.monotonic() > end:
                return False
            print(f"{number} of {len(wanted)}: {job.kind}, seed {job.seed}, {job.way.title}", flush=True)
            weights = self._trained(job)
            scores = self._scored(job, weights)
            with atomic_write(job.path(self._folder, "json")) as partial:
                partial.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
            if job.way is not START:
                weights.unlink()
        return True

    def _trained(self, job: Job) -> Path:
        path = job.path(self._folder, "safetensors")
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        config = recipe(job.way, self._terms, job.kind, job.seed)
        torch.manual_seed(job.seed)
        network = build(config.model)
        if job.way is START and self._terms.start is not None:
            take_detector(network, config.model.classes, self._terms.start)
        else:
            network = self._learned(job, network, config)
        checkpoints.save(path, network, config.model, config.tracker, {"seed": job.seed})
        job.path(self._folder, "state.pt").unlink(missing_ok=True)
        return path

    def _learned(self, job: Job, network: Network, config: OneShotTraining) -> Network:
        if job.way is not START:
            start = Job(START, job.kind, START_SEED).path(self._folder, "safetensors")
            take_detector(network, config.model.classes, start)
        state = job.path(self._folder, "state.pt")
        workers = usable_cores() - 1 if self._device.type == "cuda" else 0  # a GPU would wait for one
        return train(config, self._learned_from(job.kind), network, state, self._device, workers, resume=True)

    def _scored(self, job: Job, weights: Path) -> dict[str, Any]:
        pipeline = Pipeline.load(weights, Options("torch", threads=torch.get_num_threads()))
        model = checkpoints.load(weights).network().to(self._device)
        found: dict[str, Any] = {"tracking": {}, "embeddings": {}}
        parts: dict[str, list[Scores]] = {}
        for name, sequence in self._sequences(job.kind).items():
            frames = list(self._detections(pipeline, sequence))
            for tracker, config in trackers(job.way).items():
                parts.setdefault(tracker, []).append(_track(frames, sequence, config, pipeline, tracker == "control"))
            objects = embed_sequence(model, sequence, name, last_frame(sequence, self._terms))
            both = score_both(objects.frames, objects.ids, objects.sizes, objects.embeddings)
            found["embeddings"][name] = {which: s and dataclasses.asdict(s) for which, s in both.items()}
        pipeline.close()
        found["tracking"] = {tracker: combine(scores).to_mapping() for tracker, scores in parts.items()}
        for which in ("largest", "all"):
            told = [both[which]["tpr"][FARS.index(0.1)] for both in found["embeddings"].values() if both[which]]
            found.setdefault("tpr", {})[which] = float(np.mean(told)) if told else None
        return found

    def _learned_from(self, kind: str) -> list[SampleSet]:
        if kind not in self._sets:
            config = data_config(kind)
            self._sets[kind] = load_sets(find_sets(self._data.trained[kind], config), self._terms.model, config)
        return self._sets[kind]

    def _sequences(self, kind: str) -> dict[str, HeldOutSequence]:
        if kind not in self._held_out:
            config = data_config("street" if kind == "photos" else kind)  # of clips that were not learned from: all
            folders = find_sets(self._data.tracked[kind], config)
            self._held_out[kind] = load_held_out(folders, self._terms.model, config)
        return self._held_out[kind].sequences

    def _detections(self, pipeline: Pipeline, sequence: HeldOutSequence) -> Iterator[tuple[int, float, Detections]]:
        """Number, time and detections of the frames that are held out."""
        last = last_frame(sequence, self._terms)
        with sequence.images() as source:
            for frame in source:
                if frame.index > last:
                    return
                if any(first <= frame.index <= end for first, end in sequence.stretches):
                    yield frame.index, frame.time, pipeline.detect([frame.image])[0]


def _together(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a study that is there, with those of other kinds of data."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        before = {part: dict(known[part]) for part in ("terms", "data", "tracked")}
        start = known["start"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: broken ({type(error).__name__}: {error}); choose another --output") from None
    terms = settings["terms"]
    differ = [key for key in terms if before["terms"].get(key) != terms[key]]
    differ += ["start"] if start != settings["start"] else []  # other weights of that name
    for part in ("data", "tracked"):
        differ += [f"{part} of {kind}" for kind, now in settings[part].items() if before[part].get(kind, now) != now]
    if differ:
        raise ValueError(
            f"{path.parent}: holds a study with other settings ({', '.join(differ)}); choose another --output"
        )
    return {**settings, **{part: before[part] | settings[part] for part in ("data", "tracked")}}


def last_frame(sequence: HeldOutSequence, terms: Terms) -> int:
    """The number of the last frame of a sequence that is looked at."""
    first, last = sequence.stretches[0][0], sequence.stretches[-1][1]
    return last if terms.tracked is None else min(last, first - 1 + terms.tracked)


def take_detector(network: nn.Module, classes: Sequence[str], name_or_path: str | Path) -> None:
    """Copy everything but the head of the embeddings of weights with the network's shapes, of their classes its own."""
    given = checkpoints.load(name_or_path)
    rows = [given.config.classes.index(name) for name in classes]
    tensors = {
        name: value[rows] if name.startswith("heat.") else value
        for name, value in given.network().state_dict().items()
        if not name.startswith(FRESH)
    }
    network.load_state_dict(tensors, strict=False)


def trackers(way: Way) -> dict[str, TrackerConfig]:
    """By name: FairMOT's with the embeddings, the same without any, and the quasi-dense one; times in seconds."""
    metric = "euclidean" if way.embeddings == "euclidean" else "cosine"
    fairmot = FairMotConfig(min_score=0.3, embedding_limit=0.7, memory_span=1.0, metric=metric)  # type: ignore[arg-type]
    quasi_dense = QuasiDenseConfig(
        init_score=0.4, object_score=0.3, memory_span=1.0, backdrop_span=0.1, metric="cosine"
    )
    return {"fairmot": fairmot, "control": fairmot, "quasi_dense": quasi_dense}


def _track(
    frames: Sequence[tuple[int, float, Detections]],
    sequence: HeldOutSequence,
    config: TrackerConfig,
    pipeline: Pipeline,
    blind: bool,
) -> Scores:
    """Scores of a tracker on detections, whose embeddings it does not see where it is ``blind``."""
    tracker, columns = tracking.build(config), class_columns(pipeline.runtime.config)
    rows: list[MotBoxes] = []
    for number, moment, found in frames:
        if blind:
            found = dataclasses.replace(found, embeddings=found.embeddings[:, :0])
        rows.append(from_tracks(tracker.update(found, moment), number, columns))
    results = join(rows)
    return evaluate(sequence.truth.between(frames[0][0], frames[-1][0]), results)
