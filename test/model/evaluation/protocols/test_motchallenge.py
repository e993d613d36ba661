"""MOTChallenge's protocols: the official answers, TrackEval's own data set class, and a tiny scene for each rule."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trackeval

from qdtrack_model.cli import main
from qdtrack_model.evaluation.protocols import Report, motchallenge

from .answers import differences

REFERENCE = Path(__file__).parents[3] / "reference" / "protocols"
PROTOCOLS = ("mot15", "mot17", "mot20")
WITH_CLASSES = ("mot17", "mot20")

Row = tuple[float, ...]


def truth_row(frame: int, identity: int, left: float, kind: int = 1, confidence: float = 1) -> Row:
    """A box of 30 x 60 in ground truth."""
    return (frame, identity, left, 10, 30, 60, confidence, kind, 0.5)


def result_row(frame: int, identity: int, left: float, kind: float = -1, confidence: float = 0.9) -> Row:
    """The same in results."""
    return (frame, identity, left, 10, 30, 60, confidence, kind, -1, -1)


def write(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(f"{value:g}" for value in row) + "\n" for row in rows))
    return path


def write_sequence(folder: Path, name: str, truth: list[Row], results: list[Row], length: int) -> None:
    """A sequence in ``truth/NAME`` and its results in ``results/NAME.txt``."""
    write(folder / "truth" / name / "gt" / "gt.txt", truth)
    write(folder / "results" / f"{name}.txt", results)
    (folder / "truth" / name / "seqinfo.ini").write_text(
        f"[Sequence]\nname=other\nframeRate=25\nseqLength={length}\nimWidth=640\nimHeight=480\n"
    )


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function of protocol, ground truth and results: the scores of this one sequence of ten frames."""

    def run(protocol: str, truth: list[Row], results: list[Row], **more: Any) -> dict[str, Any]:
        write_sequence(tmp_path, "lane", truth, results, length=10)
        scores: dict[str, Any] = evaluate(protocol, tmp_path, **more).scores["lane"]
        return scores

    return run


def evaluate(protocol: str, folder: Path, **more: Any) -> Report:
    return motchallenge.evaluate(protocol, folder / "truth", folder / "results", **more)


def command(folder: Path, protocol: str, *more: str) -> int:
    where = ["--ground-truth", str(folder / "truth"), "--results", str(folder / "results")]
    return main(["evaluate", "--protocol", protocol, *where, *more])


def clear(scores: dict[str, Any]) -> tuple[int, int, int]:
    """Matches, misses and false positives."""
    return scores["CLEAR"]["CLR_TP"], scores["CLEAR"]["CLR_FN"], scores["CLEAR"]["CLR_FP"]


# --- against the official code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_official_answers(protocol: str, tmp_path: Path) -> None:
    folder, out = REFERENCE / protocol, tmp_path / "scores.json"
    where = ["--ground-truth", str(folder / "ground_truth"), "--results", str(folder / "results")]
    assert main(["evaluate", "--protocol", protocol, *where, "--json", str(out)]) == 0
    expected = json.loads((folder / "expected.json").read_text())["scores"]
    assert list(differences(expected, json.loads(out.read_text())["scores"])) == []


def random_rows(seed: int, length: int) -> tuple[list[Row], list[Row]]:
    """People and others of all classes and confidences who cross, and results with jitter, gaps, swaps and clutter."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    columns, cut = rng.integers(8, 11), rng.integers(7, 11)
    for identity in range(14):
        kind = rng.choice([1, 1, 1, *range(1, 14)])
        start, place, speed = rng.integers(1, length), rng.integers(0, 300, 2), rng.integers(-12, 13)
        found, confidence = int(rng.integers(0, 40)), rng.choice([1, 1, 1, 0, 0.4, -1, 1.7])
        for frame in range(start, length + 1):
            if rng.random() < 0.1:
                kind, confidence = rng.integers(1, 14), rng.choice([0, 1])
            if rng.random() < 0.1:
                found = 100 + identity * length + frame
            box = (place[0] + speed * frame, place[1], 40, 80)
            if rng.random() < 0.9:
                truth.append((frame, identity, *box, confidence, kind, 1.0, -1.0)[:columns])
            if rng.random() < 0.8:
                shaken = np.round(box + rng.normal(0, 5, 4), 2)
                results.append((frame, found, *shaken, rng.choice([0, -1, 0.7]), rng.choice([-1, 0, 1]), -1, -1)[:cut])
    seen: dict[tuple[float, float], Row] = {(row[0], row[1]): row for row in results}
    return [truth[i] for i in rng.permutation(len(truth))], list(seen.values())


def official(protocol: str, folder: Path, lengths: dict[str, int]) -> dict[str, Any]:
    """What TrackEval gives, which reads the files itself."""
    data_set = trackeval.datasets.MotChallenge2DBox({
        "GT_FOLDER": str(folder / "truth"), "TRACKERS_FOLDER": str(folder), "TRACKERS_TO_EVAL": ["results"],
        "TRACKER_SUB_FOLDER": "", "SKIP_SPLIT_FOL": True, "BENCHMARK": protocol.upper(), "SEQ_INFO": lengths,
        "PRINT_CONFIG": False,
    })  # fmt: skip
    evaluator = trackeval.Evaluator({
        "PRINT_RESULTS": False, "PRINT_CONFIG": False, "TIME_PROGRESS": False, "OUTPUT_SUMMARY": False,
        "OUTPUT_DETAILED": False, "PLOT_CURVES": False, "LOG_ON_ERROR": None,
    })  # fmt: skip
    silent = {"PRINT_CONFIG": False}
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(silent), trackeval.metrics.Identity(silent)]
    with contextlib.redirect_stdout(io.StringIO()):
        answer, _ = evaluator.evaluate([data_set], metrics)
    return {name: part["pedestrian"] for name, part in answer["MotChallenge2DBox"]["results"].items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_official_code_on_random_files(protocol: str, seed: int, tmp_path: Path) -> None:
    lengths = {"first": 12, "second": 20, "empty": 5}
    for number, (name, length) in enumerate(lengths.items()):
        truth, results = random_rows(10 * seed + number, length)
        write_sequence(tmp_path, name, truth, results if name != "empty" else [], length)
    expected = official(protocol, tmp_path, lengths)
    for part in expected.values():
        for name, value in part["HOTA"].items():
            part["HOTA"][name] = value.tolist() if name.endswith(("TP", "FN", "FP")) else float(np.mean(value))
    assert list(differences(expected, evaluate(protocol, tmp_path).scores)) == []


# --- a scene for each rule ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("confidence", [0, 1])
@pytest.mark.parametrize("kind", range(1, 14))
def test_results_on_each_class(score: Callable[..., Any], protocol: str, kind: int, confidence: int) -> None:
    """Removed on distractors, whatever their confidence; a match on a scored pedestrian; else a false positive."""
    truth = [truth_row(1, 1, 0), truth_row(1, 2, 200, kind, confidence)]
    found = clear(score(protocol, truth, [result_row(1, 1, 0), result_row(1, 2, 201)]))
    distractors = {"mot15": (), "mot17": (2, 7, 8, 12), "mot20": (2, 6, 7, 8, 12)}[protocol]
    if confidence == 1 and (kind == 1 or protocol == "mot15"):
        assert found == (2, 0, 0)
    else:
        assert found == (1, 0, 0 if kind in distractors else 1)


@pytest.mark.parametrize("protocol", WITH_CLASSES)
@pytest.mark.parametrize(("shift", "removed"), [(10, True), (10.1, False)])
def test_overlap_of_exactly_one_half(score: Callable[..., Any], protocol: str, shift: float, removed: bool) -> None:
    found = score(protocol, [truth_row(1, 1, 0, 7), truth_row(2, 2, 0)], [result_row(f, 5, shift) for f in (1, 2)])
    assert clear(found) == ((1, 0, 0) if removed else (0, 1, 2))
    assert found["Identity"]["IDTP"] == removed


@pytest.mark.parametrize("protocol", WITH_CLASSES)
def test_distractors_are_assigned_together_with_pedestrians(score: Callable[..., Any], protocol: str) -> None:
    # Both results touch both boxes; the sum of overlaps gives the left one to the pedestrian.
    truth = [truth_row(1, 1, 0), truth_row(1, 2, 6, 7)]
    assert clear(score(protocol, truth, [result_row(1, 1, 4), result_row(1, 2, 7)])) == (1, 0, 0)
    # One result alone goes to the nearer box: the pedestrian is missed.
    assert clear(score(protocol, truth, [result_row(1, 1, 4)])) == (0, 1, 0)
    # A second result on a distractor stays, a false positive.
    assert clear(score(protocol, truth, [result_row(1, i, 6 + i) for i in range(3)])) == (1, 0, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_confidence_of_ground_truth_counts_by_its_whole_part(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(1, i, 100 * i, confidence=c) for i, c in enumerate([0, 0.9, 1, 1.5, -1, -0.5])]
    assert score(protocol, truth, [])["Count"]["GT_Dets"] == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_confidence_of_results_is_not_used(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(1, i, 100 * i) for i in range(4)]
    results = [result_row(1, i, 100 * i, confidence=c) for i, c in enumerate([0, -1, 0.001, 7])]
    assert clear(score(protocol, truth, results)) == (4, 0, 0)


@pytest.mark.parametrize("columns", [8, 9, 10])
@pytest.mark.parametrize("protocol", WITH_CLASSES)
def test_class_is_column_8_whatever_follows(score: Callable[..., Any], protocol: str, columns: int) -> None:
    truth = [(*truth_row(1, 1, 0, 3), -1)[:columns], (*truth_row(1, 2, 100, 1), -1)[:columns]]
    assert score(protocol, truth, [])["Count"]["GT_Dets"] == 1


def test_mot15_reads_no_class(score: Callable[..., Any]) -> None:
    tails = [(-1, -1, -1), (-3.433, -3.98, 0), (7, 0.5), (99, 2.5, 0)]
    truth = [(1, i, 100 * i, 10, 30, 60, 1, *tail) for i, tail in enumerate(tails)]
    results = [result_row(1, i, 100 * i) for i in range(4)]
    assert clear(score("mot15", truth, results)) == (4, 0, 0)


@pytest.mark.parametrize("columns", [7, 8, 9, 10])
@pytest.mark.parametrize("kind", [-1, 0, 1, 1.9])
def test_results_of_pedestrians(score: Callable[..., Any], columns: int, kind: float) -> None:
    assert clear(score("mot17", [truth_row(1, 1, 0)], [result_row(1, 1, 0, kind)[:columns]])) == (1, 0, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mostly_tracked_is_more_than_four_fifths(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(f, i, 100 * i) for f in range(1, 11) for i in range(4)]
    seen = dict(enumerate([9, 8, 2, 1]))
    found = score(protocol, truth, [result_row(f, i, 100 * i) for i, n in seen.items() for f in range(1, n + 1)])
    assert [found["CLEAR"][name] for name in ("MT", "PT", "ML")] == [1, 2, 1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_switches_and_fragmentations(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(f, i, 100 * i) for f in range(1, 11) for i in range(2)]
    results = [result_row(f, 0 if f < 4 else 7, 0) for f in (1, 2, 3, 7, 8)]  # lost, back with another id
    results += [result_row(f, 1, 100) for f in (1, 2, 3, 7, 8)]  # back with its own
    found = score(protocol, truth, results)["CLEAR"]
    # Frames 4 to 6 without any result are not "the frame before": nothing is fragmented there.
    assert (found["IDSW"], found["Frag"]) == (1, 0)
    found = score(protocol, truth, [*results, *(result_row(f, 9, 500) for f in range(1, 11))])["CLEAR"]
    assert (found["IDSW"], found["Frag"]) == (1, 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pair_of_the_frame_before_is_kept(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(f, 1, 0) for f in range(1, 5)]
    results = [result_row(f, 1, 8) for f in (1, 2, 4)] + [result_row(f, 2, 1) for f in (2, 3, 4)]
    # Id 1 is kept in frame 2 although id 2 is nearer; after frame 3 without it, it has no claim left.
    assert score(protocol, truth, results)["CLEAR"]["IDSW"] == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_boxes_beyond_the_image_are_not_clipped(score: Callable[..., Any], protocol: str) -> None:
    truth = [(1, 1, -30, 400, 60, 120, 1, 1, 1)]  # 640 x 480
    assert clear(score(protocol, truth, [(1, 1, -28, 402, 60, 120, 1, -1, -1, -1)])) == (1, 0, 0)
    assert clear(score(protocol, truth, [(1, 1, 0, 400, 30, 80, 1, -1, -1, -1)])) == (0, 1, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_frames_of_the_sequence(score: Callable[..., Any], tmp_path: Path, protocol: str) -> None:
    """The first is 1, the last seqLength; frames without rows count; those of a sequence without results do not."""
    truth = [truth_row(f, 1, 0) for f in (1, 10)]
    found = score(protocol, truth, [result_row(10, 1, 0)])
    assert (found["CLEAR"]["CLR_Frames"], found["Count"]["Frames"]) == (10, 10)
    write_sequence(tmp_path, "silent", truth, [], length=10)
    total = evaluate(protocol, tmp_path).scores["COMBINED_SEQ"]
    assert (total["CLEAR"]["CLR_Frames"], total["Count"]["GT_Dets"]) == (10, 4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_chosen_frames(score: Callable[..., Any], protocol: str) -> None:
    truth = [truth_row(f, 1, 0) for f in range(1, 11)]
    found = score(protocol, truth, [result_row(f, 1, 0) for f in range(1, 8)], frames=(6, 99))
    assert clear(found) == (2, 3, 0)
    assert found["CLEAR"]["CLR_Frames"] == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_total_sums_counts(tmp_path: Path, protocol: str) -> None:
    write_sequence(tmp_path, "short", [truth_row(1, 1, 0)], [result_row(1, 1, 0)], length=1)
    write_sequence(tmp_path, "long", [truth_row(f, 1, 0) for f in range(1, 10)], [result_row(1, 1, 0)], length=9)
    total = evaluate(protocol, tmp_path).scores["COMBINED_SEQ"]
    assert (total["CLEAR"]["MOTA"], total["Identity"]["IDF1"]) == (pytest.approx(0.2), pytest.approx(4 / 12))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("truth", [[], [truth_row(1, -1, 0, confidence=0)]])
def test_nothing_to_score(tmp_path: Path, protocol: str, truth: list[Row]) -> None:
    write_sequence(tmp_path, "lane", truth, [result_row(1, 1, 300)], length=3)
    report = evaluate(protocol, tmp_path)
    assert clear(report.scores["lane"]) == (0, 0, 1)
    assert report.scores["lane"]["CLEAR"]["MLR"] == 1
    assert "gt.txt: no pedestrian is scored" in report.warnings[0]


# --- what the command says ------------------------------------------------------------------------------------------


def test_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequence(tmp_path, "north", [truth_row(1, 1, 0)], [result_row(1, 1, 0)], length=1)
    write_sequence(tmp_path, "south", [truth_row(f, 1, 0) for f in (1, 2, 3)], [], length=3)
    assert command(tmp_path, "mot20", "--json", str(tmp_path / "new" / "scores.json")) == 0
    printed = capsys.readouterr()
    cells = {line.split()[0]: line.split()[1:] for line in printed.out.splitlines() if not line.startswith("-")}
    assert [cells[name][0] for name in ("sequence", "north", "south", "COMBINED_SEQ")] == [
        "MOTA", "100.00", "0.00", "25.00",
    ]  # fmt: skip
    assert "south.txt: no results to score" in printed.err
    saved = json.loads((tmp_path / "new" / "scores.json").read_text())
    assert saved["protocol"] == "mot20"
    assert saved["scores"]["COMBINED_SEQ"]["CLEAR"]["CLR_FN"] == 3
    assert saved["scores"]["south"]["HOTA"]["HOTA_FN"] == [3] * 19


def _append(path: str, *rows: Row) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / path).open("a") as file:
            file.writelines(",".join(f"{value:g}" for value in row) + "\n" for row in rows)

    return damage


TRUTH, RESULTS = "truth/lane/gt/gt.txt", "results/lane.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_append(RESULTS, result_row(1, 1, 50)), "lane.txt, line 2: id 1 is in frame 1 already (line 1)"),
        (_append(TRUTH, truth_row(1, 1, 50, 8, 0)), "gt.txt, line 2: id 1 is in frame 1 already (line 1)"),
        (_append(TRUTH, *[truth_row(1, -1, 50, 8, 0)] * 2), "gt.txt, line 3: id -1 is in frame 1 already (line 2)"),
        (_append(RESULTS, result_row(2, -1, 50)), "lane.txt, line 2: id is -1, expected 0 or more"),
        (_append(TRUTH, truth_row(2, -1, 50)), "gt.txt, line 2: id is -1, expected 0 or more: it is scored"),
        (_append(RESULTS, result_row(11, 1, 50)), "lane.txt, line 2: frame is 11, but seqinfo.ini says seqLength=10"),
        (_append(TRUTH, truth_row(11, 1, 50)), "gt.txt, line 2: frame is 11, but seqinfo.ini says seqLength=10"),
        (_append(RESULTS, result_row(0, 1, 50)), "lane.txt, line 2: frame is 0, but frames count from 1"),
        (_append(RESULTS, result_row(2, 1, 50, 3)), "lane.txt, line 2: class is 3, expected 1 or -1"),
        (_append(RESULTS, (2, 1, 0, 0, 9, 9, 1, 2, 0.5)), "lane.txt, line 2: class is 2, expected 1 or -1"),
        (_append(RESULTS, (2, 1, 0, 0, 9, 9)), "lane.txt, line 2: got 6 columns, expected 7 to 10"),
        (_append(RESULTS, (2, 1, 0, 0, -9, 9, 1)), "lane.txt, line 2: width is -9, expected 0 or more"),
        (_append(TRUTH, (2, 1, 0, 0, 9, 9, 1)), "gt.txt, line 2: got 7 columns, ground truth has 8 (class) or more"),
        (_append(TRUTH, (2, 1, 0, 0, 9, 9, float("nan"), 1)), "gt.txt, line 2: confidence is 'nan'"),
        (lambda folder: (folder / RESULTS).unlink(), "results: no results for sequence lane: expected lane.txt"),
        (lambda folder: (folder / TRUTH).unlink(), "truth: no ground truth: expected gt/gt.txt"),
        (lambda folder: (folder / "truth/lane/seqinfo.ini").unlink(), "seqinfo.ini: cannot be read"),
        (lambda folder: write_sequence(folder, "other", [], [], 5) or (folder / "truth/other/gt/gt.txt").unlink(),
         "truth/other: a sequence (seqinfo.ini) without gt/gt.txt"),
    ],
)  # fmt: skip
def test_damage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], message: str
) -> None:
    write_sequence(tmp_path, "lane", [truth_row(1, 1, 0)], [result_row(1, 1, 0)], length=10)
    damage(tmp_path)
    for protocol in PROTOCOLS:
        assert command(tmp_path, protocol) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.startswith("qdtrack: error: ")
        assert printed.err.count("\n") == 1
        assert printed.out == ""


@pytest.mark.parametrize("kind", [-1, 0, 14])
@pytest.mark.parametrize("protocol", WITH_CLASSES)
def test_unknown_class_in_ground_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str, kind: int
) -> None:
    write_sequence(tmp_path, "lane", [truth_row(1, 1, 0), truth_row(2, 1, 0, kind)], [], length=3)
    assert command(tmp_path, protocol) == 2
    assert f"gt.txt, line 2: class is {kind}, expected 1 to 13" in capsys.readouterr().err


def test_frames_beyond_the_sequence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequence(tmp_path, "lane", [truth_row(1, 1, 0)], [], length=3)
    assert command(tmp_path, "mot17", "--frames", "4-9") == 2
    assert "gt.txt: no frames 4-9: the sequence has 3" in capsys.readouterr().err


def test_trackeval_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sequence(tmp_path, "lane", [truth_row(1, 1, 0)], [], length=3)
    monkeypatch.setitem(sys.modules, "trackeval", None)
    assert command(tmp_path, "mot17") == 0
