"""The tables, the figures and the page of the one-shot study, of the results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.study.claims import SLACK, Runs, cell, everybody, gain, idf1, verdicts
from qdtrack_model.study.runs import jobs
from qdtrack_model.study.ways import START, Terms, Way, ways_of

KINDS = {
    "street": "Synthetic street: scenes that were not learned from",
    "plaza": "plaza: frames from 129 on, after learning from 1 to 128",
    "photos": "Learned from still photographs alone, without identities; tracked on real clips",
}
GOOD = 50.0  # MOTA from which on a detector is worth its name
OF_CLMOT = ("baseline", "clmot", "triplet_all", "triplet_hard", "each_box")  # rows of its table
Results = Mapping[str, Runs]  # by the kind of data


def read_results(folder: Path, kinds: Sequence[str], seeds: Sequence[int]) -> Results:
    """What has been scored so far."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {kind: {} for kind in kinds}
    for job in jobs(kinds, seeds):
        path = job.path(folder, "json")
        if path.exists():
            found[job.kind].setdefault(job.way.name, []).append(json.loads(path.read_text(encoding="utf-8")))
    return found


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


def table(kind: str, runs: Runs) -> str:
    """The report's table: by FairMOT's tracker with the embeddings, and by the same without any."""
    header = ["way", "IDF1", "IDs", "MOTA", "TPR@.1 largest", "TPR@.1 all", "IDF1 without", "IDs without",
              "IDF1 quasi-dense"]  # fmt: skip
    published = kind == "street"
    rows = []
    for way in (*ways_of(kind), START):
        found = runs.get(way.name, [])
        row = [way.title, *(cell(_values(found, "fairmot", key)) for key in ("idf1", "id_switches", "mota"))]
        tpr = ([run["tpr"][which] for run in found] for which in ("largest", "all"))
        row += [cell([100 * value for value in values if value is not None]) for values in tpr]
        row += [cell(_values(found, "control", key)) for key in ("idf1", "id_switches")]
        row.append(cell(_values(found, "quasi_dense", "idf1")))
        rows.append(row + (_published(way) if published else []))
    blind = [cell(_values(runs.get(START.name, []), "control", key)) for key in ("idf1", "id_switches", "mota")]
    rows.append(["IoU only (the start's boxes)", *blind, *["-"] * 5, *([""] * 4 if published else [])])
    return markdown(header + (["published: IDF1", "IDs", "MOTA", "TPR@.1"] if published else []), rows)


def clmot_table(kind: str, runs: Runs) -> str:
    """CL-MOT's table, whose cells were published empty."""
    keys = ("mota", "motp", "idf1", "id_switches", "mostly_tracked", "mostly_lost")
    rows = []
    for way in ways_of(kind):
        if way.name in OF_CLMOT:
            found = runs.get(way.name, [])
            control = cell(_values(found, "control", "idf1"))
            rows.append([way.title, *(cell(_values(found, "fairmot", key)) for key in keys), control])
    return markdown(["way", "MOTA", "MOTP", "IDF1", "IDSW", "MT", "ML", "IDF1 without"], rows)


def behind(runs: Runs) -> list[str]:
    """Where CL-MOT loses what it is behind the baseline by, if that is more than two points."""
    ours, theirs = runs.get("clmot", []), runs.get("baseline", [])
    if not ours or not theirs:
        return []

    def less(value: Callable[[Mapping[str, Any]], float]) -> float:
        return float(np.mean([value(run) for run in theirs]) - np.mean([value(run) for run in ours]))

    total, helped, known = less(idf1), less(gain), less(everybody)
    if total <= SLACK:
        return []
    return [
        "",
        f"CL-MOT is {total:.1f} points of IDF1 behind the baseline: {total - helped:+.1f} on the same boxes without "
        f"embeddings, the detector's share, and {helped:+.1f} by what embeddings add ({known:+.1f} in TPR@.1 of all "
        "people). The baseline has seen each person in other frames; CL-MOT only twice in the same one, mirrored, "
        "with the same pose and neighbours.",
    ]


def conclusions(results: Results) -> str:
    """Each published conclusion, and whether it holds on each kind of data."""
    found = {kind: verdicts(kind, runs) for kind, runs in results.items()}
    texts = list(dict.fromkeys(text for of_kind in found.values() for text in of_kind))
    rows = [[text, *(of_kind.get(text, "-") for of_kind in found.values())] for text in texts]
    return markdown(["conclusion (IDF1 where nothing else is said)", *found], rows)


def draw(path: Path, kind: str, runs: Runs) -> None:
    """IDF1 of each way: a dot a seed, a bar without embeddings."""
    from matplotlib.figure import Figure

    ways = [way for way in (*ways_of(kind), START) if runs.get(way.name)]
    figure = Figure(figsize=(9, 0.4 * len(ways) + 1.4), layout="tight")
    axes = figure.add_subplot(title=KINDS[kind], xlabel="IDF1 [%]: blue with embeddings, a dot a seed; grey without")
    for row, way in enumerate(reversed(ways)):
        found = runs[way.name]
        axes.barh(row, float(np.mean(_values(found, "control", "idf1"))), color="0.85")
        axes.plot(_values(found, "fairmot", "idf1"), [row] * len(found), "o", color="tab:blue", alpha=0.7)
    axes.set_yticks(range(len(ways)), [way.title for way in reversed(ways)])
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _terms(terms: Terms, seeds: Sequence[int]) -> list[str]:
    """What is equal for all, and what is not as published."""
    model = terms.model
    crop, still = (f"{width}x{height}" for height, width in (terms.crop_size, terms.still_size))
    if terms.start is None:
        start = (
            f"For each kind of data one start learns detection alone, in {terms.start_steps} steps, so that no start "
            "has seen identities."
        )
    else:
        start = (
            f"All begin with the detector of the weights `{terms.start}` and a new head of the embeddings. These "
            "learned by QDTrack's loss, with identities of other synthetic scenes and of frames 1 to 128 of `plaza`, "
            "and from the photographs; `plaza` and TUD-Campus helped to choose when they were good. What their "
            "features are worth by themselves is the row of the start, and what a way adds is its distance from it. "
            "That no identity was ever used can be said of `--full` alone, which learns its own detectors."
        )
    return [
        f"**Equal for all:** the light network (width {model.width:g}, input {model.input_size[1]}x"
        f"{model.input_size[0]}, embeddings of {model.embedding_size}) and where it begins, as the published ways all "
        f"begin with one file of COCO's or ImageNet's weights. {start} Then every way has {terms.steps} steps of "
        f"{terms.batch} pairs of crops of {crop}, of photographs {still}, at a rate of 2e-4 (chosen once for all: at "
        "1e-3, and with low crops of photographs, the detector was lost, as the frames that are scored showed). Seeds "
        f"({', '.join(map(str, seeds))}) are of the new head, the order of the images and their "
        "augmentation (rotation 5 and shear 2 degrees, as published).",
        "",
        "- *fr.*: the backbone keeps weights and batch statistics; *fr.det.*: all but the head of the embeddings does, "
        "and the boxes are the start's.",
        "- *CL-MOT* and *triplets* see two views of one frame and no identities. *Each box a class* and the pairwise "
        "losses (*Euclidean*, *cosine*) need none either.",
        "",
        "**Not as published:** network, data and length; the published rows had unequal lengths (5 to 45 epochs) and "
        "rates. No row begins with random weights. Behind a frozen backbone the heads of the detector go on from the "
        "start; the report's began anew, and some never recovered (MOTA -104). Compare orders, not heights.",
        "",
        "**Cells:** mean (lowest..highest) over the seeds, in per cent but for switches and numbers of tracks; a dash: "
        "not run yet. *Without*: the same tracker on the same boxes without embeddings; *quasi-dense*: QDTrack's "
        "tracker with them, which matches by nothing else (its control is IoU only); *TPR@.1*: pairs of one person "
        "accepted where a tenth of all other pairs are, of the ten largest people of the first frame and of all. "
        f"{_tracked(terms)}",
    ]


def _tracked(terms: Terms) -> str:
    if terms.tracked is None:
        return "All held-out frames are tracked."
    return f"Of each clip {terms.tracked} frames are tracked: differences of a few points or switches are noise."


def write_page(folder: Path, terms: Terms, kinds: Sequence[str], seeds: Sequence[int], command: str) -> Path:
    """Write tables, figures (``images/``) and ``study.md`` of what is there; returns the page."""
    results = read_results(folder, kinds, seeds)
    wanted = len(jobs(kinds, seeds))
    done = sum(job.path(folder, "json").exists() for job in jobs(kinds, seeds))
    lines = [
        "# One-shot tracking: which published conclusions hold",
        "",
        "Written by",
        "",
        "```",
        command,
        "```",
        "",
        "which goes on where it stopped, also after a kill; `--seconds` ends it in time, `--full` is for a GPU, and",
        f"`--reduced` tries everything in a minute. {done} of {wanted} trainings are done.",
        *_weak(results),
        "",
        *_terms(terms, seeds),
        "",
        "## Which conclusions hold",
        "",
        conclusions(results),
    ]
    for kind in kinds:
        lines += ["", f"## {KINDS[kind]}", "", table(kind, results[kind]), ""]
        if results[kind]:
            figure = Path("images") / f"study-{kind}.png"
            draw(folder / figure, kind, results[kind])
            lines += [f"![IDF1 of each way: a dot a seed, grey without embeddings]({figure.as_posix()})", ""]
        lines += [
            "CL-MOT's table, whose cells were published empty:",
            "",
            clmot_table(kind, results[kind]),
            *behind(results[kind]),
        ]
    path = folder / "study.md"
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _weak(results: Results) -> list[str]:
    """A warning of each kind of data whose detector is not good."""
    found = []
    for kind, runs in results.items():
        for run in runs.get(START.name, []):
            if (mota := 100 * run["tracking"]["control"]["mota"]) < GOOD:
                found.append(
                    f"The detector of {kind} is weak (MOTA {mota:.1f}): with a better one the orders may be others."
                )
    return found
