"""Places: files here and in object stores, the same to whoever reads and writes them; lists of bags."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from qdtrack_model.fleet.listing import Listed, listed
from qdtrack_model.fleet.places import PlaceError, expanded, local_copy, read_text, written

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")


@pytest.fixture
def store() -> str:
    """A URL of a store with two folders and a file."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name in ("bags/a/metadata.yaml", "bags/a/a_0.mcap", "bags/b.mcap", "bags/notes.txt"):
        system.pipe_file(f"/{name}", name.encode())
    return "memory:///bags"


def test_a_folder_or_file_is_copied_and_the_copy_goes(store: str) -> None:
    with local_copy(f"{store}/a") as folder:
        assert {file.name: file.read_text() for file in folder.iterdir()} == {
            "metadata.yaml": "bags/a/metadata.yaml", "a_0.mcap": "bags/a/a_0.mcap",
        }  # fmt: skip
    assert not folder.exists()
    with local_copy(f"{store}/b.mcap") as file:
        assert (file.name, file.read_text()) == ("b.mcap", "bags/b.mcap")
    with local_copy(f"{store}/a", [".yaml"]) as folder:
        assert [file.name for file in folder.iterdir()] == ["a_0.mcap"]


def test_what_is_written_is_there_when_all_is_well(store: str, tmp_path: Path) -> None:
    for place in (f"{store}/new", str(tmp_path)):
        with written(place) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "one.txt").write_text("told")
        assert read_text(f"{place}/deep/one.txt") == "told"
    with written(f"{store}/new") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "two.txt").touch()
    fs, root = fsspec.core.url_to_fs(f"{store}/new")
    assert fs.find(root) == [f"{root}/deep/two.txt"], "a folder is replaced as a whole"
    with suppress(KeyError), written(f"{store}/half") as folder:
        (folder / "one.txt").touch()
        raise KeyError
    with pytest.raises(FileNotFoundError):
        read_text(f"{store}/half/one.txt")


@pytest.mark.parametrize("user", ["me:hidden", ":hidden", "me:hid/den", "me:hid#den", "me:1234", "me:hid@den"])
@pytest.mark.parametrize("scheme", ["ftp", "simplecache::ftp"])
def test_a_password_is_neither_taken_nor_told(user: str, scheme: str) -> None:
    place = f"{scheme}://{user}@host/a"
    for look in (read_text, lambda place: listed([place])):
        with pytest.raises(PlaceError, match=rf"^{scheme}://\.\.\.@host/a: holds a password") as error:
            look(place)
        assert user.partition(":")[2] not in str(error.value)


@pytest.mark.parametrize(
    "place",
    [
        "s3://bags/a@b",
        "s3://bags/10:30@home",
        "http://host:80/a@b",
        "http://[::1]:80/a@b",
        "http://host:80?x=a@b",
        "ftp://me@host/a",
        "a:b@c",
    ],
)
def test_what_is_no_password_is_taken(place: str) -> None:
    assert [one.place for one in listed([place])] == [place]


def test_places_that_cannot_be_had_are_told(store: str) -> None:
    with pytest.raises(PlaceError, match="memory:///bags/none: nothing there"), local_copy(f"{store}/none"):
        pass
    with pytest.raises(PlaceError, match="nothing there"):
        expanded(f"{store}/*.bag")
    with pytest.raises(PlaceError, match="tape://drive"), local_copy("tape://drive"):
        pass


def test_lists_name_bags_and_their_tags(store: str, tmp_path: Path) -> None:
    (tmp_path / "drives.csv").write_text(f"bag,day,place\nx/run,monday,yard\n{store}/b.mcap,,road\n")
    assert listed([f"{store}/*.mcap", str(tmp_path / "drives.csv"), "y/run"]) == [
        Listed("memory:///bags/b.mcap", "b"),
        Listed(f"{tmp_path}/x/run", "run", {"day": "monday", "place": "yard"}),
        Listed("memory:///bags/b.mcap", "b-2", {"day": "", "place": "road"}),
        Listed("y/run", "run-2"),
    ]
    (tmp_path / "table.csv").write_text("\ufeffbag\nx/run\n")  # as spreadsheets write it
    assert [bag.name for bag in listed([str(tmp_path / "table.csv"), f"{store}/...mcap", f"{store}/.."])] == [
        "run", "bag", "bag-2",
    ], "no name leads out of the run"  # fmt: skip
    (tmp_path / "wrong.csv").write_text("path\nx\n")
    for name in ("wrong.csv", "none.csv"):
        with pytest.raises(PlaceError, match=name):
            listed([str(tmp_path / name)])
