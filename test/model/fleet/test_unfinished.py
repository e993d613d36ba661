"""Work that was interrupted: what is done of it is known again, here and in a store, until a recording changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.places import PlaceError, below, stamp, write_text
from qdtrack_model.fleet.unfinished import Unfinished


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of results and of recordings."""
    if request.param == "folder":
        return str(tmp_path)
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[fleet]'")
    fsspec.filesystem("memory").store.clear()
    return "memory:///fleet"


def test_what_is_done_is_known_until_all_is(root: str) -> None:
    bag = Listed(below(root, "bags/a"), "a/front", {"day": "monday"})
    write_text(below(bag.place, "a.mcap"), "images")
    results = below(root, "results")
    Unfinished(results).end()
    assert Unfinished(results).terms() is None
    Unfinished(results).begin({"weights": 1})
    Unfinished(results).keep(bag, [0.1])
    assert Unfinished(results).terms() == {"weights": 1}
    assert Unfinished(results).known(bag) == [0.1]
    assert Unfinished(results).known(Listed(bag.place, bag.name)) is None, "another tag"
    assert Unfinished(results).known(Listed(bag.place, "b", bag.tags)) is None
    write_text(below(bag.place, "a.mcap"), "more images")
    assert Unfinished(results).known(bag) is None, "another recording"
    Unfinished(results).keep(bag, [0.2])
    Unfinished(results).begin({"weights": 2})
    assert Unfinished(results).known(bag) is None, "other work"
    Unfinished(results).end()
    assert Unfinished(results).terms() is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"stamp": 1}', "\0"])
def test_what_is_broken_is_not_done(content: str, root: str) -> None:
    bag, results = Listed(below(root, "a.mcap"), "a"), below(root, "results")
    write_text(bag.place, "images")
    Unfinished(results).begin({"weights": 1})
    Unfinished(results).keep(bag, 1)
    write_text(below(results, ".unfinished/a.json"), content)
    assert Unfinished(results).known(bag) is None


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
        Unfinished("nowhere://a").terms()
