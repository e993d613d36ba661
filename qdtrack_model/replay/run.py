"""A run: a folder of replayed sequences and ``run.json``, which says how they were made and what came out.

``run.json`` holds nothing that differs between two lockstep runs of the same bags: no times of the clock and no place
it was written to. Reports, comparisons and tuning read a run, and nothing else.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdtrack_model.atomic import atomic_write
from qdtrack_model.config import TrackerConfig, to_mapping
from qdtrack_model.evaluation.scores import Scores, combine
from qdtrack_model.replay.measures import described, scored_classes, truth_described
from qdtrack_model.replay.sequence import ReplayedSequence, RunError
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


class RunWriter:
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
        self.folder, self._settings = folder, settings
        self._sequences: list[dict[str, Any]] = []
        self._left_out: list[dict[str, str]] = []
        self._scores: dict[str, list[Scores]] = {}
        self.write()  # also after an interruption this is a run, which the next one may replace

    def name_of(self, bag: Path, camera: str) -> str:
        """A name that no sequence has yet: BAG/CAMERA."""
        stem = bag.stem if bag.is_file() else bag.resolve().name
        taken = {sequence["name"] for sequence in self._sequences}
        names = (f"{stem}{f'-{number}' if number > 1 else ''}/{camera}" for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def add(self, name: str, more: Mapping[str, Any]) -> None:
        """Score what was written of a sequence, with what else is to be told of it."""
        sequence = ReplayedSequence.read(self.folder / name)
        scored = scored_classes(sequence, self._settings.classes)
        for kind, parts in scored.items():
            self._scores.setdefault(kind, []).append(parts.whole)
        rate = sequence.frame_rate
        self._sequences.append({
            "name": name, **more, "frames": len(sequence.frames),
            "frame_rate": round(rate, 3) if math.isfinite(rate) else None,
            "seconds": round(float(sequence.seconds[-1]), 6) if len(sequence.frames) else 0.0,
            "truth": more.get("truth") or truth_described(sequence.truth),
            **described(sequence, scored, self._settings.classes),
        })  # fmt: skip

    def leave_out(self, bag: Path, reason: str) -> None:
        """Remember a bag that could not be replayed, and why."""
        self._left_out.append({"bag": str(bag), "reason": reason})

    def write(self) -> dict[str, Any]:
        """Write ``run.json``, and give what it holds."""
        total = {kind: combine(parts).to_mapping() for kind, parts in self._scores.items()}
        content = {
            "format": FORMAT, **self._settings.to_mapping(), "sequences": self._sequences, "total": total,
            "left_out": self._left_out,
        }  # fmt: skip
        with atomic_write(self.folder / RUN) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return content


@dataclass(frozen=True, eq=False)
class Run:
    """A run that was written.

    Args:
        folder: of the run.
        content: of ``run.json``.
        settings: with which it was made.
    """

    folder: Path
    content: Mapping[str, Any]
    settings: Settings

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Read ``run.json``.

        Raises:
            RunError: it is missing, broken, or of another version.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / RUN).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise RunError(
                    f"{folder / RUN}: format {content['format']!r}, expected {FORMAT}: replay the bags again"
                )
            if content["way"] not in WAYS:
                raise RunError(f"{folder / RUN}: way {content['way']!r}, expected one of {', '.join(WAYS)}")
            tracker = read_tracker(content["tracker"], "tracker")
            classes = {int(number): str(name) for number, name in content["classes"].items()}
            settings = Settings(content["way"], content["weights"], content["runtime"], tracker, classes)
            for name in (sequence["name"] for sequence in content["sequences"]):
                if os.path.isabs(name) or ".." in Path(name).parts:
                    raise RunError(f"{folder / RUN}: sequence {name!r}, expected a place below the run")
        except FileNotFoundError:
            raise RunError(f"{folder}: no run here (no {RUN}); `qdtrack replay BAG --output RUN` makes one") from None
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunError(f"{folder / RUN}: broken ({type(error).__name__}: {error})") from None
        return cls(folder, content, settings)

    @property
    def names(self) -> Sequence[str]:
        """Names of its sequences."""
        return [sequence["name"] for sequence in self.content["sequences"]]

    def sequences(self) -> Iterator[tuple[Mapping[str, Any], ReplayedSequence]]:
        """What ``run.json`` tells of each sequence, and its files."""
        for told in self.content["sequences"]:
            yield told, ReplayedSequence.read(self.folder / told["name"])
