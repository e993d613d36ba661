"""The report of a run: it holds everything, tells the worst moments, and what it leads to is there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from qdtrack_model.data.readers.mot import MotBoxes, join, write_mot
from qdtrack_model.evaluation.by_frame import by_frame
from qdtrack_model.replay.measures import spells
from qdtrack_model.replay.moments import worst_moments
from qdtrack_model.replay.pages import figures
from qdtrack_model.replay.pages.page import ReportError
from qdtrack_model.replay.pages.report import write_report
from qdtrack_model.replay.pictures import crop_of, read_moments, write_pictures
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import ReplayedSequence, RunError
from qdtrack_model.replay.truth import Truth

Bags, Replayed = Callable[..., Path], Callable[..., Run]


class Page(HTMLParser):
    """The ids, the links and the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.sources += [value or "" for key, value in attributes if key in ("src", "href")]


@pytest.fixture
def run(squares_bag: Bags, replayed: Replayed) -> Run:
    """A square is away for so long that it comes back as another track: an ID switch."""
    run = replayed(squares_bag(frames=40, hidden=range(10, 26)))
    write_pictures(run)
    return run


def test_a_page_that_needs_nothing_but_its_video(run: Run) -> None:
    path = write_report(run)
    text = path.read_text(encoding="utf-8")
    page = Page(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    outside = [source for source in page.sources if not source.startswith(("data:", "#"))]
    assert outside == ["squares/camera/overlay.mp4"]
    assert len(page.ids) == len(set(page.ids))
    assert path.stat().st_size < 7_000_000
    made = json.loads(re.search(r'id="figures">(.*?)</script>', text)[1])  # type: ignore[index]
    assert set(made) == {one for one in page.ids if one.startswith("figure-")}
    assert len(made) == 5, "times, their histogram, errors, timeline, map"
    assert page.tags.count("button") == len(read_moments(next(run.sequences())[1])) > 1
    with av.open(str(path.parent / outside[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    timing = json.loads((run.folder / "timing.json").read_text())["squares/camera"]
    assert (timing["frames"], timing["dropped"]) == (40, 0)
    assert timing["processing [ms]"]["p50"] > 0


def test_the_worst_moments_are_told(run: Run) -> None:
    [(_, sequence)] = run.sequences()
    moments = read_moments(sequence)
    assert [moment["kind"] for moment in moments] == ["ID switch", "miss"]
    assert (moments[0]["frame"], moments[0]["seconds"]) == (26, 2.5)
    assert moments[0]["text"] == "object 2: track 2 until frame 9, then track 4"
    assert moments[1]["text"] == "object 2 missed for 1.6 s (16 frames)"
    crop = cv2.imread(str(sequence.folder / moments[0]["after"]))
    assert crop.shape == (160, 160, 3)
    assert crop[80, 80].max() > 200, "the square is in the middle"
    assert cv2.imread(str(sequence.folder / moments[1]["before"]))[80, 80].max() < 100, "it is not there"


def test_without_ground_truth_tracks_that_come_back_are_shown(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag(frames=40), truth="none")
    [(_, sequence)] = run.sequences()
    gap = sequence.tracks[~((sequence.tracks.ids == 1) & (sequence.tracks.frames > 5) & (sequence.tracks.frames < 30))]
    write_mot(sequence.folder / "tracks.txt", gap)
    write_pictures(run)
    [moment] = read_moments(sequence)
    assert (moment["kind"], moment["frame"], moment["text"]) == (
        "back after a gap",
        30,
        "track 1 seen again after 2.5 s",
    )
    assert "Worst moments" in write_report(run).read_text(encoding="utf-8")


def test_without_ground_truth_tracks_that_look_other_are_shown(squares_bag: Bags, replayed: Replayed) -> None:
    """From frame 20 on two of three tracks have each other's names."""
    run = replayed(squares_bag(frames=40), truth="none")
    [(_, sequence)] = run.sequences()
    assert worst_moments(sequence, None) == []
    tracks = sequence.tracks
    late = tracks.frames >= 20
    ids = np.where(late & (tracks.ids == 1), 2, np.where(late & (tracks.ids == 2), 1, tracks.ids))
    write_mot(sequence.folder / "tracks.txt", replace(tracks, ids=ids))
    [(_, confused)] = run.sequences()
    moments = worst_moments(confused, None)
    assert [(moment.kind, moment.frame, moment.before.frame) for moment in moments] == [("looks other", 20, 19)] * 2
    assert "similarity -0.5" in moments[0].text


def boxes(rows: list[tuple[int, int, float]]) -> MotBoxes:
    table, ones = np.array(rows, float).reshape(-1, 3), np.ones(len(rows))
    corners = np.stack([table[:, 2], 0 * ones, table[:, 2] + 10, 10 * ones], axis=1)
    return MotBoxes(table[:, 0], table[:, 1], corners, ones, ones, ones)


def test_the_longest_false_positives_come_first() -> None:
    truth = boxes([(frame, 1, 0.0) for frame in range(1, 21)])
    found = join([truth, boxes([(3, 7, 90.0), *((frame, 8, 50.0) for frame in range(5, 10)), (15, 8, 50.0)])])
    frames = np.arange(1, 21)
    sequence = ReplayedSequence(Path(), frames, frames / 10, found, Truth(truth, frames), {})
    told = [moment.text for moment in worst_moments(sequence, by_frame(truth, found))]
    assert told[0] == "track 8 on no object for 0.5 s (5 frames)"
    assert len(told) == 3


def test_spells_are_runs_of_known_frames() -> None:
    frames, ids = np.array([1, 2, 5, 7, 2]), np.array([4, 4, 4, 4, 3])
    assert spells(frames, ids, np.array([1, 2, 5, 6, 7])).tolist() == [[3, 1, 1], [4, 0, 2], [4, 4, 4]]
    assert spells(frames[:0], ids[:0], np.array([1])).tolist() == []


def test_the_timeline_has_gaps_and_a_table(run: Run) -> None:
    [(_, sequence)] = run.sequences()
    made, rows = figures.timeline(sequence, {1: "pedestrian"})
    assert made["data"][0]["x"][:3] == [0.0, 4.0, None]
    assert rows[1] == (2, "pedestrian", "0.00", "0.90", 0)


def test_a_crop_at_the_border_has_its_size() -> None:
    image = np.full((50, 80, 3), 200, np.uint8)
    assert crop_of(image, np.array([-20.0, -20.0, 5.0, 5.0])).shape == (160, 160, 3)
    assert crop_of(image, np.array([500.0, 500.0, 505.0, 505.0])).shape == (160, 160, 3)


def test_without_plotly_it_is_told_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ReportError, match=r"pip install 'qdtrack\[report\]'"):
        write_report(run)


def test_names_of_a_bag_cannot_write_a_page(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag("<b>bag", frames=3))
    assert "<b>bag" not in re.sub(r"<script.*?</script>", "", write_report(run).read_text(), flags=re.DOTALL)


def test_broken_moments_are_told(run: Run) -> None:
    [(_, sequence)] = run.sequences()
    (sequence.folder / "moments.json").write_text('[{"kind": 1}]')
    with pytest.raises(RunError, match=r"moments\.json"):
        read_moments(sequence)
