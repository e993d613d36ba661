"""How much worse an int8 graph tracks than the weights it was made from, and how much worse it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdtrack_model.evaluation.scores import Scores

TOLERANCE = 2.0  # points of MOTA or IDF1 that int8 may lose against ground truth ...
TOLERANCE_OF_TRACKS = 10.0  # ... and against the tracks of fp32, where every box that appears a frame later counts


class AccuracyError(ValueError):
    """An int8 graph that tracks too much worse than the weights it was made from."""


@dataclass(frozen=True)
class Report:
    """How int8 tracks, beside fp32 where there is ground truth, against the tracks of fp32 otherwise."""

    truth: str
    frames: tuple[int, int]
    fp32: Scores | None
    int8: Scores

    def losses(self) -> dict[str, float]:
        """Points that int8 loses."""
        return {
            name: 100 * ((getattr(self.fp32, key) if self.fp32 else 1.0) - getattr(self.int8, key))
            for name, key in (("MOTA", "mota"), ("IDF1", "idf1"))
        }

    def table(self) -> str:
        """The scores for people."""
        rows = [("fp32", self.fp32)] if self.fp32 else []
        lines = [f"{'':6}{'MOTA':>8}{'IDF1':>8}   frames {self.frames[0]}-{self.frames[1]} against {self.truth}"]
        lines += [f"{name:6}{100 * s.mota:8.2f}{100 * s.idf1:8.2f}" for name, s in [*rows, ("int8", self.int8)] if s]
        return "\n".join([*lines, "loss  " + "".join(f"{loss:8.2f}" for loss in self.losses().values())])

    def check(self, tolerance: float | None) -> None:
        """Raise AccuracyError where MOTA or IDF1 falls by more than ``tolerance`` points."""
        allowed = tolerance if tolerance is not None else TOLERANCE if self.fp32 else TOLERANCE_OF_TRACKS
        if any(loss > allowed for loss in self.losses().values()):
            told = ", ".join(f"{name} {loss:.2f}" for name, loss in self.losses().items())
            raise AccuracyError(
                f"int8 loses more than {allowed:g} points against {self.truth} ({told}): nothing is written; calibrate "
                "with more typical images, or allow it with --tolerance"
            )

    def to_mapping(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "truth": self.truth,
            "tracked_frames": list(self.frames),
            "fp32": self.fp32.to_mapping() if self.fp32 else None,
            "int8": self.int8.to_mapping(),
            "loss": {name: round(loss, 4) for name, loss in self.losses().items()},
        }
