"""Ids across cameras: scenes of people who leave and enter, and what holds whatever happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdtrack_model.structures import Tracks
from qdtrack_model.tracking import QuasiDenseConfig, QuasiDenseTracker
from qdtrack_model.tracking.handover import Handover

from .scenes import people

SPAN, SCORE = 5.0, 0.6
MEMORY = 1.0  # of the trackers: much shorter, as on a vehicle

RED, BLUE, GREEN = (4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)
REDDISH, PURPLE = (4.0, 1.0, 0.0), (4.0, 3.6, 0.0)  # cosines 0.97 with red; 0.74 and 0.67 with red and blue


class Cameras:
    """A tracker for each camera and the handover behind them, as in the node."""

    def __init__(self, span: float = SPAN, score: float = SCORE) -> None:
        self.handover = Handover(span, score)
        self.trackers: dict[str, QuasiDenseTracker] = {}
        self.known: dict[str, dict[int, int]] = {}  # for each camera the tracker's ids and those for all

    def see(self, camera: str, time: float, *looks: tuple[float, ...], label: int = 0) -> tuple[Tracks, Tracks]:
        """A frame with people of these looks, in places that nobody else of the frame has."""
        config = QuasiDenseConfig(memory_span=MEMORY, metric="cosine")
        tracker = self.trackers.setdefault(camera, QuasiDenseTracker(config))
        found = people(*((100 * place, 100, look, 0.9, label) for place, look in enumerate(looks)))
        seen = tracker.update(found, time)
        lost = tracker.remembered()
        named, missed = self.handover.update(camera, seen, lost, time)
        before = np.concatenate([seen.ids, lost.ids]).tolist()
        self.known[camera] = dict(zip(before, np.concatenate([named.ids, missed.ids]).tolist(), strict=True))
        return named, missed

    def reset(self, camera: str) -> None:
        self.trackers[camera].reset()
        self.handover.reset(camera)
        self.known.pop(camera)


Frame = tuple[str, float, tuple[tuple[float, ...], ...]]

# What the cameras see, and the ids in the last frame, of which those of the first frame are 0, 1, ...
SCENES: dict[str, tuple[list[Frame], list[int]]] = {
    "leaves and enters": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (RED,))], [0]),
    "leaves before anybody's first frame": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 1, ()), ("b", 2, (RED,))], [0]),
    "looks a little different": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (REDDISH,))], [0]),
    "looks different": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (BLUE,))], [1]),
    "too late": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 5.1, (RED,))], [1]),
    "just in time": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 5.0, (RED,))], [0]),
    "two change places": (
        [("a", 0, (RED,)), ("b", 0, (BLUE,)), ("a", 1, ()), ("b", 1, ()), ("a", 2, (BLUE,)), ("b", 2, (RED,))],
        [0],
    ),
    "through three cameras": (
        [("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (RED,)), ("b", 3, ()), ("c", 4, (RED,)), ("c", 4.5, (RED,))], [0],
    ),
    "there and back": (
        [("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (RED,)), ("b", 3, ()), ("a", 4, (RED,))], [0],
    ),
    "comes back to the same camera": ([("a", 0, (RED,)), ("a", 1, ()), ("a", 2, (RED,))], [1]),
    "is still seen by the other": ([("a", 0, (RED,)), ("b", 1, (RED,))], [1]),
    "is still seen by the other, which is behind": ([("a", 0.9, (RED,)), ("b", 0.8, (RED,))], [1]),
    "leaves the other, which is ahead, only later": ([("a", 0.9, (RED,)), ("a", 1, ()), ("b", 0.8, (RED,))], [1]),
    "is seen again by the other": (
        [("a", 0, (RED,)), ("a", 0.5, ()), ("a", 0.9, (RED,)), ("b", 1, (RED,))], [1],
    ),
    "one of two who look alike left": ([("a", 0, (RED, REDDISH)), ("a", 1, ()), ("b", 2, (RED,))], [2]),
    "one left, one who looks alike stays": ([("a", 0, (RED, REDDISH)), ("a", 1, (REDDISH,)), ("b", 2, (RED,))], [2]),
    "two who look alike enter": ([("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (RED, REDDISH))], [1, 2]),
    "is like one and a little less like another": (
        [("a", 0, (RED, BLUE)), ("a", 1, ()), ("b", 2, (PURPLE,))], [2],
    ),
    "two leave, two enter": ([("a", 0, (RED, BLUE)), ("a", 1, ()), ("b", 2, (BLUE, GREEN, RED))], [0, 1, 2]),
    "was taken over already": (
        [("a", 0, (RED,)), ("a", 1, ()), ("b", 2, (RED,)), ("c", 3, (RED,))], [1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_scenes(scene: str) -> None:
    cameras = Cameras()
    frames, expected = SCENES[scene]
    for camera, time, looks in frames:
        named, _ = cameras.see(camera, time, *looks)
    assert sorted(named.ids.tolist()) == expected


def test_everything_but_the_ids_is_left_alone() -> None:
    cameras = Cameras()
    cameras.see("a", 0, RED, BLUE)
    tracker = QuasiDenseTracker(QuasiDenseConfig(memory_span=MEMORY, metric="cosine"))
    for time, looks in ((10, (GREEN, RED)), (10.5, (RED,))):
        seen, lost = cameras.see("b", time, *looks)
        plain = tracker.update(people(*((100 * place, 100, look) for place, look in enumerate(looks))), time)
        for ours, theirs in ((seen, plain), (lost, tracker.remembered())):
            np.testing.assert_array_equal(ours.boxes, theirs.boxes)
            np.testing.assert_array_equal(ours.embeddings, theirs.embeddings)
            np.testing.assert_array_equal(ours.ids, theirs.ids + 2)


def test_another_class_is_somebody_else() -> None:
    cameras = Cameras()
    cameras.see("a", 0, RED, label=0)
    cameras.see("a", 1)
    assert cameras.see("b", 2, RED, label=1)[0].ids.tolist() == [1]


def test_the_whole_track_is_compared_and_not_how_it_ended() -> None:
    cameras = Cameras()
    for step in range(20):
        cameras.see("a", step / 10, RED)
    for step in range(20, 24):
        cameras.see("a", step / 10, tuple(np.add(RED, np.multiply(BLUE, (step - 19) / 2))))  # half hidden at the edge
    cameras.see("a", 3)
    assert cameras.see("b", 4, RED)[0].ids.tolist() == [0]


def test_a_reset_camera_leaves_nothing_to_take_over() -> None:
    cameras = Cameras()
    cameras.see("a", 0, RED)
    cameras.see("a", 0.5)
    cameras.reset("a")
    assert cameras.see("b", 1, RED)[0].ids.tolist() == [1]
    assert cameras.see("a", 1, BLUE)[0].ids.tolist() == [2]


def test_time_that_runs_back_forgets_what_that_camera_saw() -> None:
    cameras = Cameras()
    cameras.see("a", 3, RED, BLUE)
    cameras.see("a", 4)
    assert cameras.see("a", 0, GREEN)[0].ids.tolist() == [2]
    assert cameras.see("b", 4, RED)[0].ids.tolist() == [3]


def test_without_embeddings_every_track_is_new() -> None:
    cameras = Cameras()
    tracks = Tracks([0], [[0, 0, 9, 9]], [1], [0], np.zeros((1, 0)), [[0, 0]], [0], [0], [0])
    cameras.handover.update("a", tracks, Tracks.empty(), 0)
    cameras.handover.update("a", Tracks.empty(), Tracks.empty(), 1)
    assert cameras.handover.update("b", tracks, Tracks.empty(), 2)[0].ids.tolist() == [1]


def test_what_nobody_remembers_takes_no_memory() -> None:
    cameras = Cameras()
    generator = np.random.default_rng(0)
    for frame in range(400):
        for camera in "ab":
            cameras.see(camera, frame / 10, *generator.normal(0, 4, (3, 8)))
    assert len(cameras.handover._objects) <= 2 * 3 * (1 + 10 * (SPAN + MEMORY))
    for frame in range(400, 500):
        for camera in "ab":
            cameras.see(camera, frame / 10)
    assert not cameras.handover._objects


# ---- whatever happens

LOOKS = [RED, REDDISH, BLUE, GREEN, PURPLE]
EVENT = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from([0.04, 0.1, 0.4, 1.0, 3.0]),  # since the event before
    st.lists(st.sampled_from(LOOKS), max_size=4),
    st.sampled_from(["frame"] * 8 + ["reset", "back"]),
)


@given(st.lists(EVENT, max_size=40))
def test_ids_are_lasting_and_nobody_s_twice(events: list[tuple[str, float, list, str]]) -> None:
    cameras = Cameras()
    clock, clocks = 0.0, dict.fromkeys("abc", -math.inf)
    sightings: dict[int, dict[str, float]] = {}  # of each id: when each camera saw it last
    newest: dict[str, set[int]] = {}  # in each camera's newest frame
    for camera, step, looks, kind in events:
        clock += step
        if kind == "reset" and camera in cameras.trackers:
            cameras.reset(camera)
        back = kind == "back" and clocks[camera] > -math.inf
        if back or kind == "reset":
            for moments in sightings.values():
                moments.pop(camera, None)
        time = clocks[camera] - step if back else clock
        before = {} if back else dict(cameras.known.get(camera, {}))
        clocks[camera] = time
        seen, lost = cameras.see(camera, time, *looks)
        now = cameras.known[camera]

        assert len(set(now.values())) == len(now)
        assert all(now[one] == before[one] for one in now.keys() & before.keys())
        newest.pop(camera, None)
        for identity in sorted(now[one] for one in now.keys() - before.keys()):
            if identity not in sightings:
                assert all(identity > other for other in sightings)
                sightings[identity] = {}
                continue
            assert not any(identity in ids for ids in newest.values())
            others = [moment for name, moment in sightings[identity].items() if name != camera]
            assert any(0 <= time - moment <= SPAN + 1e-5 for moment in others)
        newest[camera] = set(seen.ids.tolist())
        for identity in newest[camera]:
            sightings[identity][camera] = time
        assert not newest[camera] & set(lost.ids.tolist())


def test_who_scores_too_little_for_a_while_keeps_the_id() -> None:
    handover = Handover(SPAN, SCORE)
    tracker = QuasiDenseTracker(QuasiDenseConfig(object_score=0.1, init_score=0.45, momentum=0.05, report_score=0.35))
    told = []
    for time, score in enumerate((0.5, 0.3, 0.2, 0.2, 0.2, 0.9, 0.9)):
        seen = tracker.update(people((0, 100, RED, score, 0)), time)
        told.append(handover.update("a", seen, tracker.remembered(), time)[0].ids.tolist())
    assert told == [[0], [0], [], [], [], [0], [0]]
