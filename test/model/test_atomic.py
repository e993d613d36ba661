"""What is written appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdtrack_model.atomic import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.txt"
    with atomic_write(target) as partial:
        partial.write_text("half")
        assert partial.name == "result.txt" and not target.exists()
    assert target.read_text() == "half"
    assert names(tmp_path / "new") == ["result.txt"]


def test_after_an_error_the_older_file_stays_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("older")
    with (
        pytest.raises(UnicodeEncodeError),
        atomic_write(target) as partial,
        partial.open("w", encoding="ascii") as file,
    ):
        file.writelines(["half", "\u00e9"])
    assert target.read_text() == "older"
    assert names(tmp_path) == ["result.txt"]


def test_two_writers_do_not_meet_and_the_last_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    with atomic_write(target) as first:
        first.write_text("first")
        with atomic_write(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"


def test_a_folder_replaces_an_empty_one_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "scene"
    target.mkdir()
    with atomic_write(target) as folder:
        folder.mkdir()
        (folder / "gt.txt").write_text("1")
    assert names(target) == ["gt.txt"]
    with pytest.raises(OSError, match="not empty"), atomic_write(target) as folder:
        folder.mkdir()
    assert names(target) == ["gt.txt"] and names(tmp_path) == ["scene"]
