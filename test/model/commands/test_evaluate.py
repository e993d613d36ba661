"""``qdtrack evaluate`` finds the files, prints a table, and says in one line what is wrong."""

import json
import sys
from pathlib import Path

import pytest

from qdtrack_model.cli import main

LINE = "{},1,10,10,20,40,1,1,1\n"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Ground truth of two sequences in ``truth``, perfect results in ``out`` in both layouts."""
    for name in ("north", "south"):
        (tmp_path / "truth" / name / "gt").mkdir(parents=True)
        (tmp_path / "truth" / name / "gt" / "gt.txt").write_text("".join(LINE.format(f) for f in range(1, 6)))
    (tmp_path / "out" / "south").mkdir(parents=True)
    for path in ("north.txt", "south/result.txt"):
        (tmp_path / "out" / path).write_text("".join(LINE.format(f) for f in range(1, 6)))
    return tmp_path


def run(folder: Path, *more: str, results: str = "out") -> int:
    return main(["evaluate", "--ground-truth", str(folder / "truth"), "--results", str(folder / results), *more])


def test_table_and_json(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "out" / "north.txt").write_text(LINE.format(1))
    assert run(folders, "--json", str(folders / "new" / "scores.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["sequence", "MOTA", "IDF1", "HOTA"]
    cells = {line.split()[0]: line.split()[1:] for line in lines if not line.startswith("-")}
    assert [cells[name][0] for name in ("north", "south", "COMBINED")] == ["20.00", "100.00", "60.00"]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    saved = json.loads((folders / "new" / "scores.json").read_text())
    assert saved["north"]["mota"] == 0.2
    assert saved["COMBINED"]["false_negatives"] == 4


def test_each_file_is_read_once(folders: Path) -> None:
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(folders)):
            opened.append(str(arguments[0]))

    sys.addaudithook(note)  # it stays: the folder is of this test alone
    assert run(folders) == 0
    assert len(opened) == len(set(opened)) == 4


def test_one_sequence_and_one_file(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = str(folders / "truth" / "north")
    assert main(["evaluate", "--ground-truth", truth, "--results", str(folders / "out" / "north.txt")]) == 0
    assert "COMBINED" not in capsys.readouterr().out


def test_empty_results_are_scored_with_a_warning(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "out" / "north.txt").write_text("")
    assert run(folders) == 0
    assert "north.txt: no results in these frames" in capsys.readouterr().err


def test_results_beyond_the_ground_truth_are_pointed_out(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folders / "out" / "north.txt").open("a") as file:
        file.write(LINE.format(6))
    assert run(folders) == 0
    assert "1 boxes lie beyond frame 5" in capsys.readouterr().err
    assert run(folders, "--frames", "1-5") == 0
    assert capsys.readouterr().err == ""


def _remove(folder: Path) -> None:
    (folder / "out" / "north.txt").unlink()


def _break(folder: Path) -> None:
    (folder / "out" / "south" / "result.txt").write_text(LINE.format(1) + "2,1,wide,1,1,1,1\n")


def _empty_truth(folder: Path) -> None:
    (folder / "truth" / "north" / "gt" / "gt.txt").write_text("")


def _ignored_truth(folder: Path) -> None:
    (folder / "truth" / "north" / "gt" / "gt.txt").write_text("1,1,10,10,20,40,0,8,1\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "no results for sequence north: expected north.txt or north/result.txt"),
        (_break, "result.txt, line 2: left is 'wide', expected a number"),
        (_empty_truth, "gt.txt: holds no boxes"),
        (_ignored_truth, "none of its 1 boxes is scored"),
    ],
)
def test_damage_is_one_line(folders: Path, capsys: pytest.CaptureFixture[str], damage, message: str) -> None:
    damage(folders)
    assert run(folders) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("qdtrack: error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("truth", "results", "more", "message"),
    [
        ("nowhere", "out", [], "nowhere: no ground truth: no such folder"),
        ("out", "out", [], "out: no ground truth: expected gt/gt.txt"),
        ("truth", "nowhere", [], "nowhere: no such file or folder"),
        ("truth", "out/north.txt", [], "one file for several sequences"),
        ("truth", "out", ["--frames", "50-60"], "no ground truth in frames 50-60; it covers 1-5"),
    ],
)
def test_wrong_places(
    folders: Path, capsys: pytest.CaptureFixture[str], truth: str, results: str, more: list[str], message: str
) -> None:
    where = ["--ground-truth", str(folders / truth), "--results", str(folders / results)]
    assert main(["evaluate", *where, *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "9-3", "0-4", "a-b", "-3"])
def test_bad_frame_range(folders: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run(folders, f"--frames={text}")
    assert caught.value.code == 2
    assert "expected FIRST-LAST" in capsys.readouterr().err
