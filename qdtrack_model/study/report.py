"""The tables, the figure and the page of the one-shot study, of the results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.study.runs import jobs
from qdtrack_model.study.ways import START, STILL_WAYS, WAYS, Terms, Way

KINDS = {
    "street": "Synthetic street, scenes that were not learned from",
    "plaza": "plaza, frames 129 to 171 after learning from 1 to 128",
    "photos": "Learned from still photographs alone, without identities; tracked on real clips",
}
GOOD = 50.0  # MOTA from which on a detector is worth its name
Results = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]  # kind -> way -> of each seed


def read_results(folder: Path, kinds: Sequence[str], seeds: Sequence[int]) -> Results:
    """What has been scored so far."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {kind: {} for kind in kinds}
    for job in jobs(kinds, seeds):
        path = job.path(folder, "json")
        if job.way is not START and path.exists():
            found[job.kind].setdefault(job.way.name, []).append(json.loads(path.read_text(encoding="utf-8")))
    return found


def cell(values: Sequence[float], digits: int = 1) -> str:
    """Mean, and lowest and highest where there are several; a dash without any."""
    if not values:
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _values(runs: Sequence[Mapping[str, Any]], tracker: str, key: str) -> list[float]:
    scale = 100 if key in ("mota", "idf1", "motp") else 1
    return [scale * run["tracking"][tracker][key] for run in runs]


def _published(way: Way) -> list[str]:
    row = way.published
    return ["", "", "", ""] if row is None else [f"{row.idf1}", f"{row.switches}", f"{row.mota}", f"{row.tpr:.1f}"]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def table(kind: str, results: Results) -> str:
    """The report's table: by FairMOT's tracker with the embeddings, and by the same without any."""
    header = ["way", "IDF1", "IDs", "MOTA", "TPR@.1 largest", "TPR@.1 all", "IDF1 without", "IDs without",
              "IDF1 quasi-dense"]  # fmt: skip
    if kind == "street":
        header += ["published: IDF1", "IDs", "MOTA", "TPR@.1"]
    rows = []
    for way in STILL_WAYS if kind == "photos" else WAYS:
        runs = results[kind].get(way.name, [])
        row = [way.title, *(cell(_values(runs, "fairmot", key)) for key in ("idf1", "id_switches", "mota"))]
        row += [cell([100 * run["tpr"][which] for run in runs]) for which in ("largest", "all")]
        row += [cell(_values(runs, "control", key)) for key in ("idf1", "id_switches")]
        row.append(cell(_values(runs, "quasi_dense", "idf1")))
        rows.append(row + (_published(way) if kind == "street" else []))
    if kind != "photos":
        blind = [
            cell(_values(results[kind].get("baseline", []), "control", k)) for k in ("idf1", "id_switches", "mota")
        ]
        rows.append(["IoU only (the baseline's boxes)", *blind, *["-"] * (len(header) - 4)])
    return markdown(header, rows)


def clmot_table(kind: str, results: Results) -> str:
    """CL-MOT's table, whose cells were published empty."""
    keys = ("mota", "motp", "idf1", "id_switches", "mostly_tracked", "mostly_lost")
    rows = []
    for way in STILL_WAYS if kind == "photos" else WAYS:
        runs = results[kind].get(way.name, [])
        if way.name in ("baseline", "clmot", "triplet_all", "triplet_hard", "each_box"):
            rows.append([way.title, *(cell(_values(runs, "fairmot", key)) for key in keys)])
    return markdown(["way", "MOTA", "MOTP", "IDF1", "IDSW", "MT", "ML"], rows)


@dataclass(frozen=True)
class Claim:
    """A published conclusion: a number of one way is larger than that of another.

    Args:
        text: the conclusion.
        first: name of the way that should have more.
        second: name of the other.
        value: of a run.
        slack: by how much the first may be less.
    """

    text: str
    first: str
    second: str
    value: Callable[[Mapping[str, Any]], float]
    slack: float = 0.0

    def verdict(self, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        """Whether it holds, with the numbers that show it."""
        ours, theirs = ([self.value(run) for run in results.get(name, [])] for name in (self.first, self.second))
        if not ours or not theirs:
            return "not run yet"
        shown = f"{self.first} {cell(ours)}, {self.second} {cell(theirs)}"
        ahead = float(np.mean(ours)) - float(np.mean(theirs)) + self.slack
        apart = min(ours) + self.slack > max(theirs) or max(ours) + self.slack < min(theirs)
        if len(ours) < 2 or len(theirs) < 2:
            return f"{'so it is' if ahead > 0 else 'not so'} in the one run: {shown}"
        if not apart:
            return f"not decided, the seeds overlap: {shown}"
        return f"{'holds' if ahead > 0 else 'does not hold'}: {shown}"


def _idf1(run: Mapping[str, Any]) -> float:
    return 100 * float(run["tracking"]["fairmot"]["idf1"])


def _gain(run: Mapping[str, Any]) -> float:
    return 100 * float(run["tracking"]["fairmot"]["idf1"] - run["tracking"]["control"]["idf1"])


CLAIMS = (
    Claim("Freezing all but the identity head beats freezing the backbone: classification (IDF1)", "class_frdet",
          "class_fr", _idf1),
    Claim("... Euclidean (IDF1)", "euclidean_frdet", "euclidean_fr", _idf1),
    Claim("... cosine (IDF1)", "cosine_frdet", "cosine_fr", _idf1),
    Claim("With a frozen backbone cosine beats Euclidean (IDF1)", "cosine_fr", "euclidean_fr", _idf1),
    Claim("class. fr.det. beats the baseline (IDF1)", "class_frdet", "baseline", _idf1),
    Claim("CL-MOT is on par with identities: at most 2 points below the baseline (IDF1)", "clmot", "baseline", _idf1,
          slack=2.0),
    Claim("CL-MOT's contrastive loss beats the triplet loss, all (IDF1)", "clmot", "triplet_all", _idf1),
    Claim("... and hard (IDF1)", "clmot", "triplet_hard", _idf1),
    Claim("... and a class for each box (IDF1)", "clmot", "each_box", _idf1),
    Claim("QDTrack's loss beats the baseline on the same network (IDF1)", "quasi_dense", "baseline", _idf1),
)  # fmt: skip


def conclusions(kind: str, results: Results) -> str:
    """Each published conclusion and whether it holds here, and what embeddings add to overlap alone."""
    found = results[kind]
    ways = STILL_WAYS if kind == "photos" else WAYS
    rows = [[c.text, c.verdict(found)] for c in CLAIMS if {c.first, c.second} <= {way.name for way in ways}]
    for way in ways:
        gains = [_gain(run) for run in found.get(way.name, [])]
        if gains:
            sure = "more" if min(gains) > 0 else "less" if max(gains) < 0 else "not decided"
            sure += ", in the one run" if len(gains) == 1 else ""
            rows.append([f"{way.title}: IDF1 with embeddings less that without", f"{sure}: {cell(gains)}"])
    order = _orders(found, ways)
    if order:
        rows.append(["The ten largest people and all order the ways alike (TPR@FAR .1)", order])
    return markdown(["conclusion", "here"], rows)


def _orders(found: Mapping[str, Sequence[Mapping[str, Any]]], ways: Sequence[Way]) -> str:
    """How alike the two choices of people order the ways: pairs of ways that they order differently."""
    names = [way.name for way in ways if found.get(way.name)]
    means = {w: [float(np.mean([run["tpr"][w] for run in found[name]])) for name in names] for w in ("largest", "all")}
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    swapped = sum(
        (means["largest"][i] - means["largest"][j]) * (means["all"][i] - means["all"][j]) < 0 for i, j in pairs
    )
    if not pairs:
        return ""
    return f"{'yes' if not swapped else 'no'}: {swapped} of {len(pairs)} pairs of ways change places"


def draw(path: Path, kind: str, results: Results) -> None:
    """IDF1 of each way: a dot a seed, a bar without embeddings."""
    from matplotlib.figure import Figure

    ways = [way for way in (STILL_WAYS if kind == "photos" else WAYS) if results[kind].get(way.name)]
    figure = Figure(figsize=(9, 0.4 * len(ways) + 1.4), layout="tight")
    axes = figure.add_subplot(title=KINDS[kind], xlabel="IDF1 [%]")
    for row, way in enumerate(reversed(ways)):
        runs = results[kind][way.name]
        axes.barh(row, float(np.mean(_values(runs, "control", "idf1"))), color="0.85")
        axes.plot(_values(runs, "fairmot", "idf1"), [row] * len(runs), "o", color="tab:blue", alpha=0.7)
    axes.set_yticks(range(len(ways)), [way.title for way in reversed(ways)])
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def write_page(folder: Path, terms: Terms, kinds: Sequence[str], seeds: Sequence[int], command: str) -> Path:
    """Write tables, figures and ``study.md`` of what is there; returns the page."""
    results = read_results(folder, kinds, seeds)
    model = terms.model
    lines = [
        "# One-shot tracking: which published conclusions hold",
        "",
        f"Written by `{command}`, which goes on where it stopped, also after a kill; `--seconds` ends it in time,",
        "`--full` is for a GPU, and `--reduced` tries everything in a minute.",
        "",
        f"All ways on equal terms: the light network (width {model.width:g}, input {model.input_size[1]}x"
        f"{model.input_size[0]}, embeddings of {model.embedding_size}), {terms.steps} steps of {terms.batch} pairs of "
        f"{terms.crop_size[1]}x{terms.crop_size[0]} pixels, seeds {', '.join(map(str, seeds))}. Ways with something "
        "frozen (fr.: the backbone; fr.det.: all but the identity head) go on from a start with identities of half the "
        "steps for the other half, what is not frozen beginning anew, as published; all others learn from scratch. The "
        "published rows had unequal budgets and another network: compare orders, not heights. Each cell: mean "
        "(lowest..highest) over the seeds, in per cent but for switches; a dash: not run yet. *Without* is the same "
        "tracker on the same boxes with no embeddings, *quasi-dense* QDTrack's tracker with them.",
    ]
    runs = [run for kind in kinds for found in results[kind].values() for run in found]
    wanted = sum(job.way is not START for job in jobs(kinds, seeds))
    lines += ["", f"{len(runs)} of {wanted} trainings are done."]
    best = max((100 * run["tracking"]["fairmot"]["mota"] for run in runs), default=100.0)
    if best < GOOD:
        lines[-1] += f" No detector is good yet (highest MOTA {best:.1f}): with longer training the orders may change."
    for kind in kinds:
        lines += ["", f"## {KINDS[kind]}", "", table(kind, results), ""]
        lines += ["CL-MOT's table, whose cells were published empty:", "", clmot_table(kind, results)]
        if results[kind]:
            draw(folder / f"{kind}.png", kind, results)
            lines += ["", f"![IDF1 of each way: a dot a seed, grey without embeddings]({kind}.png)"]
        lines += ["", conclusions(kind, results)]
    path = folder / "study.md"
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
