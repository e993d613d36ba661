"""Work that was interrupted: what is done of it is known again, here and in a store, until a recording changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.places import PlaceError, below, remove, stamp, write_text
from qdtrack_model.fleet.unfinished import Unfinished, forget, stamp_of


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of results and of recordings."""
    if request.param == "folder":
        return str(tmp_path)
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")
    fsspec.filesystem("memory").store.clear()
    return "memory:///fleet"


@pytest.fixture
def bag(root: str) -> Listed:
    bag = Listed(below(root, "bags/a"), "terms/front", {"day": "monday"})
    write_text(below(bag.place, "a.mcap"), "images")
    return bag


@pytest.fixture
def results(root: str, bag: Listed) -> str:
    """The place of results, those of one bag done."""
    place = below(root, "results")
    work = Unfinished(place, {"weights": 1})
    assert not work.interrupted
    write_text(below(place, "a/tracks.txt"), "1, 2")
    work.keep(bag, stamp_of(bag), [0.1], ["a"])
    return place


def test_what_is_done_is_known_until_all_is(results: str, bag: Listed) -> None:
    work = Unfinished(results, {"weights": 1})
    assert (work.interrupted, work.others, work.known(bag)) == (True, [], [0.1])
    assert Unfinished(results, {"weights": 2}).others == ["weights"]
    assert work.known(bag, "with pictures") is None
    assert work.known(Listed(bag.place, bag.name)) is None, "another tag"
    assert work.known(Listed(bag.place, "b", bag.tags)) is None
    forget(results)
    work = Unfinished(results, {"weights": 2})
    assert (work.interrupted, work.others, work.known(bag)) == (False, [], None)


def test_another_recording_is_not_done(results: str, bag: Listed) -> None:
    write_text(below(bag.place, "a.mcap"), "more images")
    assert Unfinished(results, {"weights": 1}).known(bag) is None


@pytest.mark.parametrize("change", ["other", "gone"])
def test_other_results_are_not_those_that_were_kept(change: str, results: str, bag: Listed) -> None:
    remove(below(results, "a"))
    if change == "other":
        write_text(below(results, "a/tracks.txt"), "1, 2, 3")
    assert Unfinished(results, {"weights": 1}).known(bag) is None


def test_pictures_that_were_added_are_no_harm(results: str, bag: Listed) -> None:
    write_text(below(results, "a/overlay.mp4"), "pictures")
    assert Unfinished(results, {"weights": 1}).known(bag) == [0.1]


def test_results_that_cannot_be_told_apart_are_not_kept(root: str, bag: Listed) -> None:
    work = Unfinished(below(root, "other"), {"weights": 1})
    work.keep(bag, stamp_of(bag), 1, ["nowhere"])
    assert not work.interrupted


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"stamp": 1}', "\0"])
def test_what_is_broken_is_not_done(content: str, results: str, bag: Listed) -> None:
    [file] = {name for name, *_ in stamp(below(results, ".unfinished")) if not name.endswith("terms.json")}
    write_text(file if not results.startswith("memory") else f"memory://{file}", content)
    assert Unfinished(results, {"weights": 1}).known(bag) is None


def test_names_may_be_long_and_of_any_letters(root: str, bag: Listed) -> None:
    work = Unfinished(below(root, "results"), {"weights": 1})
    long = Listed(bag.place, "\N{CYRILLIC SMALL LETTER ZHE}" * 120)
    work.keep(long, stamp_of(long), 1, [])
    assert work.known(long) == 1


def test_a_recording_that_cannot_be_read_is_not_done(root: str) -> None:
    gone = Listed("nowhere://a", "gone")
    assert stamp_of(gone) == []
    work = Unfinished(below(root, "results"), {"weights": 1})
    work.keep(gone, stamp_of(gone), 1, [])
    assert work.known(gone) is None


def test_a_stamp_tells_size_and_time(root: str) -> None:
    place = below(root, "one")
    assert stamp(place) == []
    write_text(below(place, "b"), "1")
    first = stamp(place)
    write_text(below(place, "a"), "1")
    assert len(stamp(place)) == 2
    assert first[0] in stamp(place)


def test_a_store_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(PlaceError, match="nowhere://a"):
        Unfinished("nowhere://a", {})
