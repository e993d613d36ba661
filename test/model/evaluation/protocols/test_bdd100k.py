"""BDD100K's protocol: the official answers, and a tiny scene for each rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.cli import main
from qdtrack_model.evaluation.protocols import Report, bdd100k

from .answers import differences

REFERENCE = Path(__file__).parents[3] / "reference" / "protocols" / "bdd100k"

Labels = list[dict[str, Any]]


def label(identity: str | int, left: float, category: str = "car", width: float = 19, **attributes: Any) -> Any:
    """A box that is ``width`` + 1 columns wide and 20 rows high, right and lower edge included."""
    box = {"x1": left, "y1": 0.0, "x2": left + width, "y2": 19.0}
    return {"id": identity, "category": category, "attributes": attributes or None, "box2d": box}


def frames(video: str, *labels: Labels | None) -> Labels:
    """The frames of a video with these labels."""
    return [{"name": f"{i}.jpg", "videoName": video, "frameIndex": i, "labels": part} for i, part in enumerate(labels)]


def write(folder: Path, truth: Labels, results: Labels) -> None:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))


def evaluate(folder: Path) -> Report:
    return bdd100k.evaluate(folder / "truth.json", folder / "results.json")


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function of the labels of one frame and of its results: the scores of all classes together."""

    def run(truth: Labels, results: Labels, name: str = "OVERALL") -> dict[str, Any]:
        write(tmp_path, frames("a", truth), frames("a", results))
        part: dict[str, Any] = evaluate(tmp_path).scores[name]
        return part

    return run


def test_official_answers(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    where = ["--ground-truth", str(REFERENCE / "ground_truth"), "--results", str(REFERENCE / "results.json")]
    assert main(["evaluate", "--protocol", "bdd100k", *where, "--json", str(out)]) == 0
    expected = json.loads((REFERENCE / "expected.json").read_text())
    del expected["tool"]
    assert list(differences(expected, json.loads(out.read_text()))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("person", "pedestrian"), ("bike", "bicycle"), ("motor", "motorcycle"), ("van", "car"), ("caravan", "car")],
)
def test_old_names(score: Callable[..., Any], old: str, new: str) -> None:
    assert score([label(1, 0, old)], [label(1, 0, new)], new)["MOTA"] == 100
    assert score([label(1, 0, new)], [label(1, 0, old)], new)["MOTA"] == 100


@pytest.mark.parametrize(("width", "misses"), [(39, 0), (40, 1)])
def test_edges_are_inclusive(score: Callable[..., Any], width: float, misses: int) -> None:
    assert score([label(1, 0, width=width)], [label(1, 0)])["FN"] == misses  # 20 of 40 and of 41 columns


@pytest.mark.parametrize(
    "region",
    [
        label("r", 100, "other person"), label("r", 100, "other vehicle"), label("r", 100, "trailer"),
        label("r", 100, "rider", crowd=True), label("r", 100, "rider", ignored=True),
    ],
)  # fmt: skip
def test_ignored_regions(score: Callable[..., Any], region: Any) -> None:
    """They are no ground truth; results of any class that lie in one by more than half are dropped."""
    inside, half, beside = label(1, 100), label(2, 90), label(3, 91)
    assert score([region], [inside])["FP"] == 0
    assert score([region], [half])["FP"] == 1  # 10 of 20 columns
    assert score([region], [beside])["FP"] == 0  # 11 of 20
    assert score([region], [])["FN"] == 0
    right = score([region, label(7, 104)], [inside])
    assert (right["FP"], right["FN"]) == (0, 0), "a right result inside a region stays"


def test_share_is_of_one_region(score: Callable[..., Any]) -> None:
    regions = [label("r", 92, "trailer", width=7), label("s", 100, "trailer", width=7)]
    assert score(regions, [label(1, 91)])["FP"] == 1  # 8 + 8 of 20 columns


def test_ignored_results_are_dropped(score: Callable[..., Any]) -> None:
    results = [label(1, 0, "other vehicle"), label(2, 50, crowd=True), label(3, 90, ignored=True)]
    assert (score([label(1, 0)], results)["FP"], score([label(1, 0)], results)["FN"]) == (0, 1)


def test_classes_are_apart(tmp_path: Path) -> None:
    """A result track whose class changes is another track, without a switch."""
    write(
        tmp_path,
        frames("a", [label(1, 0)], [label(1, 0)], [label(1, 0)]),
        frames("a", [label(1, 0)], [label(1, 0, "truck")], [label(1, 0)]),
    )
    scores = evaluate(tmp_path).scores
    assert (scores["car"]["FN"], scores["car"]["IDSw"], scores["car"]["FM"]) == (1, 0, 1)
    assert (scores["truck"]["FP"], scores["truck"]["MOTA"], scores["truck"]["IDF1"]) == (1, None, 0)


def test_last_result_is_kept_across_gaps(tmp_path: Path) -> None:
    both = [label(5, 6), label(6, 1)]
    write(
        tmp_path,
        frames("a", *[[label(1, 0)]] * 4),
        frames("a", [label(5, 0)], [], both, [label(6, 0)]),
    )
    car = evaluate(tmp_path).scores["car"]
    assert (car["IDSw"], car["FP"], car["FN"], car["FM"]) == (1, 1, 1, 1)  # kept in frame 2, switched in frame 3


def test_mostly_tracked_from_four_fifths(tmp_path: Path) -> None:
    truth = [[label(i, 100 * i) for i in range(4)]] * 10
    seen = [8, 7, 2, 1]
    results = [[label(i, 100 * i) for i in range(4) if f < seen[i]] for f in range(10)]
    write(tmp_path, frames("a", *truth), frames("a", *results))
    car = evaluate(tmp_path).scores["car"]
    assert [car[name] for name in ("MT", "PT", "ML")] == [1, 2, 1]


def test_averages(tmp_path: Path) -> None:
    """Over all eight classes, of which undefined ones are 0; totals are of the counts."""
    truth = [label(1, 0), label(2, 100), label(3, 200, "pedestrian")]
    write(tmp_path, frames("a", truth), frames("a", [label(1, 0), label(3, 200, "pedestrian"), label(4, 300, "bus")]))
    report = evaluate(tmp_path)
    assert report.more == {"mMOTA": 150 / 8, "mIDF1": pytest.approx((200 / 3 + 100) / 8), "mMOTP": 200 / 8}
    assert report.scores["AVERAGE"]["MOTA"] == 150 / 8
    assert report.scores["vehicle"]["MOTA"] == 0
    assert report.scores["OVERALL"]["MOTA"] == pytest.approx(100 / 3)
    assert report.scores["train"]["IDF1"] is None


def test_frames_in_any_order_and_without_labels(tmp_path: Path) -> None:
    truth = frames("a", [label("x1", 0)], None, [label("x1", 0)])
    del truth[1]["labels"]
    write(tmp_path, {"frames": truth[::-1]}, frames("a", [label("07", 0)], [], [label("7", 0)])[::-1])  # type: ignore
    assert evaluate(tmp_path).scores["car"]["MOTA"] == 100


def test_missing_video_counts_as_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, frames("a", [label(1, 0)]) + frames("b", [label(1, 0)]), frames("b", [label(1, 0)]))
    where = ["--ground-truth", str(tmp_path / "truth.json"), "--results", str(tmp_path / "results.json")]
    assert main(["evaluate", "--protocol", "bdd100k", *where]) == 0
    printed = capsys.readouterr()
    assert "no results for video a" in printed.err
    assert printed.out.splitlines()[-1].split()[:2] == ["OVERALL", "50.00"]


def _edit(change: Callable[[Labels], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "results.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_edit(lambda r: r[1]["labels"][0].update(category="tram")),
         "results.json, [1].labels[0].category: got 'tram', expected one of pedestrian, rider"),
        (_edit(lambda r: r[0]["labels"][0].update(id="x")), "[0].labels[0].id: got 'x', expected a whole number"),
        (_edit(lambda r: r[0]["labels"][0]["box2d"].update(x1="0")), "[0].labels[0].box2d.x1: got '0', expected a num"),
        (_edit(lambda r: r[0]["labels"][0]["box2d"].pop("y2")), "[0].labels[0].box2d: y2 is missing"),
        (_edit(lambda r: r[0].pop("videoName")), "results.json, [0]: videoName is missing"),
        (_edit(lambda r: r.pop()), "results.json: video a: frame 1 (frameIndex) is missing in the results"),
        (_edit(lambda r: r[1].update(frameIndex=5)), "frame 1 (frameIndex) is missing in the results"),
        (_edit(lambda r: r[1].update(frameIndex=0)), "[1].frameIndex: frame 0 of this video is there already"),
        (_edit(lambda r: r.extend(frames("z", []))), "results.json: video z is not in the ground truth"),
        (lambda folder: (folder / "results.json").write_text('[{"name":\n 1,]'), "results.json, line 2: not JSON"),
        (lambda folder: (folder / "results.json").unlink(), "results.json: cannot be read: No such file"),
    ],
)  # fmt: skip
def test_damage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], message: str
) -> None:
    same = frames("a", [label("1", 0)], [label("1", 0)])
    write(tmp_path, same, same)
    damage(tmp_path)
    where = ["--ground-truth", str(tmp_path / "truth.json"), "--results", str(tmp_path / "results.json")]
    assert main(["evaluate", "--protocol", "bdd100k", *where]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("qdtrack: error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_whole_videos_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--ground-truth", str(tmp_path), "--results", str(tmp_path)]
    assert main(["evaluate", "--protocol", "bdd100k", *where, "--frames", "1-9"]) == 2
    assert "--frames: --protocol bdd100k scores whole videos" in capsys.readouterr().err
    assert main(["evaluate", "--protocol", "bdd100k", *where]) == 2
    assert "no JSON files in this folder" in capsys.readouterr().err
