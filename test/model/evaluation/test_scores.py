"""Scores are held against known answers, against trackeval, and against tiny scenes counted by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trackeval.metrics import CLEAR, HOTA, Identity

from qdtrack_model.data.readers.mot import MotBoxes, read_mot, write_mot
from qdtrack_model.evaluation import EvaluationError, Scores, evaluate, evaluate_folders
from qdtrack_model.evaluation.frames import ScoredFrame, scored_frames
from qdtrack_model.evaluation.hota import combine as combine_hota
from qdtrack_model.evaluation.hota import hota
from qdtrack_model.evaluation.scores import combine

Row = tuple[int, int, float]  # frame, id, left edge of a box of 10 x 10


def boxes_of(rows: list[Row], confidence: float = 1, kind: int = 1) -> MotBoxes:
    table = np.array(rows, float).reshape(-1, 3)
    left, count = table[:, 2], len(table)
    corners = np.stack([left, np.zeros(count), left + 10, np.full(count, 10.0)], axis=1)
    full = np.full
    return MotBoxes(table[:, 0], table[:, 1], corners, full(count, confidence), full(count, kind), full(count, 1.0))


def together(*parts: MotBoxes) -> MotBoxes:
    return MotBoxes(*(np.concatenate([getattr(p, n) for p in parts]) for n in MotBoxes.__dataclass_fields__))


def random_tracks(seed: int) -> tuple[MotBoxes, MotBoxes]:
    """Ground truth of 8 identities in 30 frames, and results with jitter, gaps, swaps and false boxes."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for frame in range(1, 31):
        for identity in range(8):
            left = 14.0 * identity + frame
            truth.append((frame, identity, left))
            if rng.random() < 0.8:
                wrong = rng.random() < 0.1
                found.append((frame, identity + (100 if wrong else 0), left + rng.normal(0, 2)))
        if rng.random() < 0.5:
            found.append((frame, 50, 500.0))
    return boxes_of(truth), boxes_of(found, 0.9, -1)


@pytest.mark.parametrize(
    ("name", "mota", "idf1", "switches", "false_positives", "misses"),
    [("TUD-Campus", 0.5265, 0.5577, 7, 13, 150), ("TUD-Stadtmitte", 0.5640, 0.6446, 7, 45, 452)],
)
def test_known_answers(
    clips: Path, name: str, mota: float, idf1: float, switches: int, false_positives: int, misses: int
) -> None:
    scores = evaluate_folders(clips / "mot15_tud", clips / "mot15_tud")[name]
    assert round(scores.mota, 4) == mota
    assert round(scores.idf1, 4) == idf1
    assert (scores.id_switches, scores.false_positives, scores.false_negatives) == (switches, false_positives, misses)


def test_known_hota(clips: Path) -> None:
    # As published with these files in the test suite of motmetrics: HOTA, DetA, AssA.
    scores = evaluate_folders(clips / "mot15_tud", clips / "mot15_tud")["TUD-Campus"]
    assert [round(s, 2) for s in (scores.hota, scores.deta, scores.assa)] == [0.39, 0.42, 0.37]


def trackeval_data(frames: list[ScoredFrame]) -> dict[str, Any]:
    """The frames as TrackEval takes them: ids counted from 0."""
    sides = {}
    for side in ("truth_ids", "result_ids"):
        known = np.unique(np.concatenate([np.zeros(0, int), *(getattr(frame, side) for frame in frames)]))
        sides[side] = [np.searchsorted(known, getattr(frame, side)) for frame in frames], len(known)
    (truth, objects), (results, tracks) = sides["truth_ids"], sides["result_ids"]
    return {
        "num_timesteps": len(frames), "num_gt_ids": objects, "num_tracker_ids": tracks, "gt_ids": truth,
        "tracker_ids": results, "num_gt_dets": sum(map(len, truth)), "num_tracker_dets": sum(map(len, results)),
        "similarity_scores": [frame.similarity for frame in frames],
    }  # fmt: skip


def test_hota_is_that_of_trackeval() -> None:
    """Alone and together, with crowds, with nothing found and with nothing to find."""
    rng, official, parts = np.random.default_rng(3), {}, []
    for sequence in range(8):
        objects, tracks = (0 if sequence == 6 else 7), (0 if sequence == 7 else 9)
        frames = []
        for _ in range(30):
            truth = rng.permutation(objects)[: rng.integers(objects + 1)]
            found = rng.permutation(tracks)[: rng.integers(tracks + 1)]
            likely = (truth[:, None] == found) * 0.6
            frames.append(ScoredFrame(truth, found, np.round(rng.random((len(truth), len(found))) * 0.4 + likely, 2)))
        official[str(sequence)] = HOTA().eval_sequence(trackeval_data(frames))
        parts.append(hota(frames))
        for name, values in parts[-1].by_name.items():
            np.testing.assert_allclose(values, official[str(sequence)][name], rtol=0, atol=1e-12, err_msg=name)
    together = HOTA().combine_sequences(official)
    for name, values in combine_hota(parts).by_name.items():
        np.testing.assert_allclose(values, together[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_trackeval(seed: int) -> None:
    truth, results = random_tracks(seed)
    scores = evaluate(truth, results)
    data = trackeval_data(list(scored_frames(truth, results)))
    clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    identity = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    assert scores.idf1 == pytest.approx(identity["IDF1"])
    assert scores.false_positives == clear["CLR_FP"]
    assert scores.false_negatives == clear["CLR_FN"]
    assert scores.id_switches == clear["IDSW"]
    assert scores.mota == pytest.approx(clear["MOTA"])
    assert scores.motp == pytest.approx(clear["MOTP"])


def test_perfect_results_whatever_the_ids_are_called() -> None:
    truth = boxes_of([(f, i, 20.0 * i) for f in range(1, 5) for i in range(3)])
    renamed = MotBoxes(truth.frames, truth.ids * 7 + 1000, truth.boxes, truth.confidences, truth.classes,
                       truth.visibilities)  # fmt: skip
    scores = evaluate(truth, renamed)
    assert [scores.mota, scores.motp, scores.idf1] == [1, 1, 1]
    assert [scores.hota, scores.deta, scores.assa] == pytest.approx([1, 1, 1])
    assert (scores.identities, scores.mostly_tracked, scores.objects) == (3, 3, 12)


def test_counts_by_hand() -> None:
    truth = boxes_of([(f, 1, 0) for f in range(1, 11)])
    # Frame 4 is missed, the id changes at frame 6, frame 8 has a box too many.
    results = boxes_of([(f, 1 if f < 6 else 2, 0) for f in range(1, 11) if f != 4] + [(8, 9, 300)])
    scores = evaluate(truth, results)
    assert (scores.id_switches, scores.false_positives, scores.false_negatives) == (1, 1, 1)
    assert scores.mota == pytest.approx(1 - 3 / 10)
    assert scores.idf1 == pytest.approx(2 * 5 / (10 + 10))
    assert (scores.mostly_tracked, scores.partly_tracked, scores.mostly_lost) == (1, 0, 0)


@pytest.mark.parametrize(("shift", "misses"), [(10 / 3, 0), (3.4, 1)])
def test_overlap_of_exactly_one_half_is_a_match(shift: float, misses: int) -> None:
    assert evaluate(boxes_of([(1, 1, 0)]), boxes_of([(1, 1, shift)])).false_negatives == misses


def test_results_on_ignored_objects_are_neither_right_nor_wrong() -> None:
    truth = together(boxes_of([(1, 1, 0), (2, 1, 0)]), boxes_of([(1, 2, 50), (2, 2, 50)], confidence=0, kind=8))
    on_both = boxes_of([(1, 1, 0), (2, 1, 0), (1, 2, 51), (2, 3, 51)])
    scores = evaluate(truth, on_both)
    assert (scores.objects, scores.predictions, scores.false_positives, scores.false_negatives) == (2, 2, 0, 0)
    twice = together(on_both, boxes_of([(1, 9, 52)]))  # only one result goes to an ignored box
    assert evaluate(truth, twice).false_positives == 1


def test_scored_object_beside_an_ignored_one_keeps_its_result() -> None:
    truth = together(boxes_of([(1, 1, 0)]), boxes_of([(1, 2, 2)], confidence=0, kind=8))
    scores = evaluate(truth, boxes_of([(1, 1, 0.5)]))
    assert (scores.false_positives, scores.false_negatives) == (0, 0)


def test_classes_are_kept_apart_where_several_are_scored() -> None:
    truth = together(boxes_of([(1, 1, 0)], kind=1), boxes_of([(1, 2, 50)], kind=3))
    wrong = together(boxes_of([(1, 1, 0)], kind=1), boxes_of([(1, 2, 50)], kind=1))
    assert evaluate(truth, wrong).false_negatives == 1
    unknown = together(boxes_of([(1, 1, 0)], kind=-1), boxes_of([(1, 2, 50)], kind=-1))
    assert evaluate(truth, unknown).false_negatives == 0
    only_cars = boxes_of([(1, 2, 50)], kind=3)
    assert evaluate(only_cars, boxes_of([(1, 1, 50)], kind=1)).false_negatives == 0


def test_no_results_at_all() -> None:
    scores = evaluate(boxes_of([(1, 1, 0), (2, 1, 0)]), boxes_of([]))
    assert [scores.mota, scores.idf1, scores.hota, scores.motp] == [0, 0, 0, 0]
    assert (scores.false_negatives, scores.mostly_lost) == (2, 1)


def test_what_cannot_be_scored() -> None:
    with pytest.raises(EvaluationError, match="none of its 1 boxes is scored"):
        evaluate(boxes_of([(1, 1, 0)], confidence=0), boxes_of([]))
    with pytest.raises(EvaluationError, match="results: id 4 is 2 times in frame 3"):
        evaluate(boxes_of([(3, 1, 0)]), boxes_of([(3, 4, 0), (3, 4, 5)]))


def test_ignored_boxes_may_share_an_id() -> None:
    nobody = boxes_of([(1, -1, 50), (1, -1, 80)], confidence=0)
    assert evaluate(together(boxes_of([(1, 1, 0)]), nobody), boxes_of([(1, 3, 0), (1, 4, 80)])).mota == 1


def test_combined_is_not_the_mean_of_sequences() -> None:
    short, long = boxes_of([(1, 1, 0)]), boxes_of([(f, 1, 0) for f in range(1, 10)])
    both = combine([evaluate(short, short), evaluate(long, boxes_of([]))])
    assert both.mota == pytest.approx(0.1)
    assert both.idf1 == pytest.approx(2 / 11)
    assert both.motp == 1
    assert (both.objects, both.identities, both.mostly_lost) == (10, 2, 1)


def test_scores_go_through_json_and_back_exactly() -> None:
    scores = [evaluate(*random_tracks(seed)) for seed in (0, 1)]
    back = [Scores.from_state(json.loads(json.dumps(one.to_state()))) for one in scores]
    assert combine(back) == combine(scores)
    for name, values in combine(scores).parts.by_name.items():
        np.testing.assert_array_equal(combine(back).parts.by_name[name], values, strict=True)


def test_to_mapping_is_plain() -> None:
    truth, results = random_tracks(0)
    values = evaluate(truth, results).to_mapping()
    assert {type(v) for v in values.values()} == {float, int}
    assert values["objects"] == 240


def test_part_of_a_sequence(tmp_path: Path) -> None:
    write_mot(tmp_path / "gt" / "gt.txt", boxes_of([(f, 1, 0) for f in range(1, 11)]))
    write_mot(tmp_path / "out.txt", boxes_of([(f, 1, 0) for f in range(6, 21)]))
    scores: dict[str, Scores] = evaluate_folders(tmp_path, tmp_path / "out.txt", (4, 10))
    assert (scores["COMBINED"].objects, scores["COMBINED"].predictions) == (7, 5)
    assert len(read_mot(tmp_path / "out.txt")) == 15
