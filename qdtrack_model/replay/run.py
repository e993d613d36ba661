"""A run: a folder of replayed sequences and ``run.json``, which says how they were made and what came out.

``run.json`` holds nothing that differs between two lockstep runs of the same bags: no times of the clock and no place
it was written to. Reports, comparisons and tuning read a run, and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdtrack_model.atomic import atomic_write
from qdtrack_model.config import TrackerConfig, to_mapping
from qdtrack_model.evaluation.scores import Scores, combine
from qdtrack_model.fleet.places import below, local_copy, read_text
from qdtrack_model.replay.measures import measured
from qdtrack_model.replay.sequence import OVERLAY, ReplayedSequence, RunError
from qdtrack_model.tracker_config import read_tracker

RUN, REPORT = "run.json", "report.html"
FORMAT = 1
WAYS = ("lockstep", "live", "cached")


@dataclass(frozen=True)
class Settings:
    """What a run was made with.

    Args:
        way: ``lockstep``, ``live``, or ``cached`` where the detections are those of another run.
        weights: as they were named.
        runtime: what ran the network, and on which device.
        tracker: its configuration.
        classes: number in the column of classes -> name, of those that the network knows.
    """

    way: str
    weights: str
    runtime: str
    tracker: TrackerConfig
    classes: Mapping[int, str]

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "way": self.way, "weights": self.weights, "runtime": self.runtime, "tracker": to_mapping(self.tracker),
            "classes": {str(number): name for number, name in self.classes.items()},
        }  # fmt: skip


class Collected:
    """What was replayed, in any number of parts that are put together.

    Args:
        folder: of the run.
        settings: of the run.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self._sequences: list[dict[str, Any]] = []
        self._left_out: list[dict[str, str]] = []
        self._scores: list[dict[str, Scores]] = []  # of each sequence

    @property
    def sequences(self) -> Sequence[Mapping[str, Any]]:
        """What is told of each."""
        return self._sequences

    def add(self, name: str, more: Mapping[str, Any]) -> None:
        """Score what was written of a sequence, with what else is to be told of it."""
        told, scores = measured(self.folder / name, self.settings.classes)
        self._scores.append(scores)
        self._sequences.append({"name": name, **more, "truth": more.get("truth"), **told})

    def leave_out(self, bag: Path | str, reason: str) -> None:
        """Remember a bag that could not be replayed, and why."""
        self._left_out.append({"bag": str(bag), "reason": reason})

    def hold(self, parts: Sequence[Collected]) -> None:
        """Hold what these hold, in their order, and nothing else."""
        self._sequences = [sequence for part in parts for sequence in part._sequences]
        self._left_out = [told for part in parts for told in part._left_out]
        self._scores = [scores for part in parts for scores in part._scores]

    def to_state(self) -> dict[str, Any]:
        """What it holds, ready for JSON."""
        scores = [{kind: one.to_state() for kind, one in kinds.items()} for kinds in self._scores]
        return {"sequences": self._sequences, "left_out": self._left_out, "scores": scores}

    @classmethod
    def from_state(cls, folder: Path, settings: Settings, state: Mapping[str, Any]) -> Collected:
        """What :meth:`to_state` gave; arguments as of the class.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        collected = cls(folder, settings)
        collected._sequences, collected._left_out = list(state["sequences"]), list(state["left_out"])
        collected._scores = [{kind: Scores.from_state(one) for kind, one in kinds.items()} for kinds in state["scores"]]
        return collected

    def content(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        content = {
            "format": FORMAT, **self.settings.to_mapping(), "sequences": self._sequences,
            "total": _together(self._scores), "left_out": self._left_out,
        }  # fmt: skip
        groups = self._groups()
        return content | ({"groups": groups} if groups else {})

    def _groups(self) -> dict[str, dict[str, Any]]:
        """Tag -> its value -> the scores of all sequences that have it; by camera where there are tags at all."""
        found: dict[str, dict[str, list[int]]] = {}
        tagged = any(sequence.get("tags") for sequence in self._sequences)
        for place, sequence in enumerate(self._sequences):
            tags = dict(sequence.get("tags", {}))
            if tagged:
                tags.setdefault("camera", sequence["name"].rpartition("/")[2])
            for tag, value in tags.items():
                found.setdefault(tag, {}).setdefault(value, []).append(place)
        return {
            tag: {
                value: {
                    "sequences": len(places),
                    "seconds": round(sum(self._sequences[place]["seconds"] for place in places), 6),
                    "scores": _together([self._scores[place] for place in places]),
                }
                for value, places in sorted(values.items())
            }
            for tag, values in found.items()
        }  # fmt: skip


def _together(scores: Sequence[Mapping[str, Scores]]) -> dict[str, Any]:
    """The scores of sequences together, by class."""
    kinds = dict.fromkeys(kind for one in scores for kind in one)
    return {kind: combine([one[kind] for one in scores if kind in one]).to_mapping() for kind in kinds}


class RunWriter(Collected):
    """Collects what was replayed and writes ``run.json`` anew after each bag, so that what is done stays.

    Args:
        folder: of the run, made where missing; one that holds anything else than an older run is refused.
        settings: of the run.

    Raises:
        RunError: the folder holds something else.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / RUN).is_file())):
            raise RunError(f"{folder}: is there already and is no run (no {RUN}); choose another place or remove it")
        super().__init__(folder, settings)
        self.write()  # also after an interruption this is a run, which the next one may replace

    def write(self) -> dict[str, Any]:
        """Write ``run.json``, and give what it holds."""
        content = self.content()
        with atomic_write(self.folder / RUN) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return content


@dataclass(frozen=True, eq=False)
class Run:
    """A run that was written.

    Args:
        place: folder of the run, or a URL.
        content: of ``run.json``.
        settings: with which it was made.
    """

    place: Path | str
    content: Mapping[str, Any]
    settings: Settings

    @classmethod
    def read(cls, place: str | Path) -> Run:
        """Read ``run.json``.

        Raises:
            RunError: it is missing, broken, or of another version.
            PlaceError: the URL cannot be read.
        """
        told = below(place, RUN)
        try:
            content = json.loads(read_text(told))
            if content["format"] != FORMAT:
                raise RunError(f"{told}: format {content['format']!r}, expected {FORMAT}: replay the bags again")
            if content["way"] not in WAYS:
                raise RunError(f"{told}: way {content['way']!r}, expected one of {', '.join(WAYS)}")
            tracker = read_tracker(content["tracker"], "tracker")
            classes = {int(number): str(name) for number, name in content["classes"].items()}
            settings = Settings(content["way"], content["weights"], content["runtime"], tracker, classes)
            for name in (sequence["name"] for sequence in content["sequences"]):
                if os.path.isabs(name) or ".." in Path(name).parts:
                    raise RunError(f"{told}: sequence {name!r}, expected a place below the run")
        except FileNotFoundError:
            raise RunError(f"{place}: no run here (no {RUN}); `qdtrack replay BAG --output RUN` makes one") from None
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunError(f"{told}: broken ({type(error).__name__}: {error})") from None
        return cls(place, content, settings)

    @property
    def folder(self) -> Path:
        """Of a run that lies here."""
        return Path(self.place)

    @property
    def names(self) -> Sequence[str]:
        """Names of its sequences."""
        return [sequence["name"] for sequence in self.content["sequences"]]

    def bags(self) -> list[Run]:
        """Each bag by itself; totals are still of all."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for told in self.content["sequences"]:
            found.setdefault(told["bag"], []).append(told)
        return [Run(self.place, {**self.content, "sequences": told}, self.settings) for told in found.values()]

    @contextmanager
    def sequence(self, name: str) -> Iterator[ReplayedSequence]:
        """The files of a sequence; those of a run at a URL are copied here for the block, but for its pictures."""
        with local_copy(below(self.place, name), (OVERLAY, ".jpg", ".html")) as folder:
            yield ReplayedSequence.read(folder)

    def sequences(self) -> Iterator[tuple[Mapping[str, Any], ReplayedSequence]]:
        """What ``run.json`` tells of each sequence, and its files."""
        for told in self.content["sequences"]:
            with self.sequence(told["name"]) as sequence:
                yield told, sequence
