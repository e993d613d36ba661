"""The worker: newest images first in line, cameras in turn, batches of what comes together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from graph import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from qdtrack_ros.worker import COINCIDENCE, Worker, _Queue


class Held:
    """A worker whose first batch stays in hand until :meth:`release`; what it was given, batch by batch."""

    def __init__(self, keys: str, capacity: int = 1, batch: int = 1) -> None:
        self.batches: list[list[str]] = []
        self._free, self._in_hand = threading.Event(), threading.Event()
        self.worker: Worker[str, str] = Worker(self._handle, keys, capacity, batch, report=print)
        if batch == 1:  # with batches the items offered next are to be taken together
            self.worker.offer(keys[0], "first")
            assert self._in_hand.wait(5)

    def _handle(self, items: list[str]) -> None:
        self.batches.append(items)
        self._in_hand.set()
        self._free.wait(10)

    def release(self, count: int) -> list[list[str]]:
        self._free.set()
        wait_until(lambda: sum(map(len, self.batches)) == count, f"{count} items")
        self.worker.close()
        return self.batches


def test_the_newest_image_wins() -> None:
    held = Held("a")
    assert [held.worker.offer("a", str(n)) for n in range(4)] == [True, False, False, False]
    assert held.worker.waiting("a") == 1
    assert held.release(2) == [["first"], ["3"]]


def test_capacity_keeps_the_newest_in_their_order() -> None:
    held = Held("a", capacity=3)
    for n in range(5):
        held.worker.offer("a", str(n))
    assert held.release(4) == [["first"], ["2"], ["3"], ["4"]]


def test_a_fast_camera_does_not_starve_a_slow_one() -> None:
    held = Held("abc", capacity=4)
    for n in range(4):
        held.worker.offer("a", f"a{n}")
    held.worker.offer("b", "b0")
    held.worker.offer("c", "c0")
    assert held.release(7) == [["first"], ["b0"], ["c0"], ["a0"], ["a1"], ["a2"], ["a3"]]


def test_what_comes_together_goes_together_one_of_each() -> None:
    batches: list[list[str]] = []
    gate = threading.Event()
    worker: Worker[str, str] = Worker(
        lambda items: (gate.wait(10), batches.append(items)), "abcd", 2, batch=3, report=print
    )
    worker.offer("d", "start")
    wait_until(lambda: worker.waiting("d") == 0, "the first to be in hand")
    for item in ("a0", "a1", "b0", "c0", "d0"):
        worker.offer(item[0], item)
    gate.set()
    wait_until(lambda: sum(map(len, batches)) == 6, "all")
    worker.close()
    assert batches == [["start"], ["a0", "b0", "c0"], ["d0", "a1"]]


def test_closing_finishes_what_is_in_hand_and_forgets_the_rest() -> None:
    held = Held("ab", capacity=5)
    held.worker.offer("a", "never")
    threading.Timer(0.1, held._free.set).start()
    held.worker.close()
    assert held.batches == [["first"]]
    assert held.worker.offer("b", "too late")


def test_what_is_raised_is_reported_and_the_next_items_are_handled() -> None:
    reported: list[Exception] = []
    handled: list[str] = []

    def handle(items: list[str]) -> None:
        if items == ["bad"]:
            raise ValueError("bad")
        handled.extend(items)

    worker: Worker[str, str] = Worker(handle, "a", 8, report=reported.append)
    for item in ("one", "bad", "two"):
        worker.offer("a", item)
    wait_until(lambda: handled == ["one", "two"], "the items after it")
    assert [str(error) for error in reported] == ["bad"]
    assert worker.alive
    assert worker.close()
    assert not worker.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_seen() -> None:
    def handle(items: list[str]) -> None:
        raise SystemExit

    worker: Worker[str, str] = Worker(handle, "a", 1, report=print)
    worker.offer("a", "the last")
    wait_until(lambda: not worker.alive, "the end of the thread")


def test_a_thread_that_hangs_is_left_in_time() -> None:
    held = Held("a")
    wait_until(lambda: held.worker.busy > 0, "time to pass")
    assert not held.worker.close(patience=0.01)
    held._free.set()
    assert held.worker.close()
    assert held.worker.busy == 0.0


def happens(condition: Callable[[], bool], seconds: float = 0.1) -> bool:
    """Whether what should not happen does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


class Staged:
    """A worker of two stages after the one that takes, each of which waits to be let through; what each was given."""

    def __init__(self, keys: str, batch: int = 1, hands: int = 2) -> None:
        self.seen: dict[str, list[list[str]]] = {name: [] for name in ("take", "second", "third")}
        self.let = {name: threading.Semaphore(0) for name in ("second", "third")}
        self.reported: list[Exception] = []
        then = (partial(self._stage, "second"), partial(self._stage, "third"))
        self.worker: Worker[str, str] = Worker(
            self._take, keys, 8, batch, then=then, hands=hands, report=self.reported.append
        )

    def _take(self, items: list[str]) -> list[str]:
        self.seen["take"].append(items)
        return items

    def _stage(self, name: str, items: list[str]) -> list[str]:
        self.seen[name].append(items)
        self.let[name].acquire(timeout=10)
        if items == [f"fails in {name}"]:
            raise ValueError(items[0])
        return items

    def offer(self, *items: str) -> None:
        for item in items:
            self.worker.offer(item[0], item)

    def wait_for(self, name: str, *batches: list[str]) -> None:
        wait_until(lambda: self.seen[name] == list(batches), f"{batches} in {name}, not {self.seen[name]}")


def test_the_next_is_taken_while_one_is_in_the_second_stage_and_the_one_before_in_the_third() -> None:
    staged = Staged("a")
    staged.offer("a1", "a2", "a3", "a4")
    staged.wait_for("take", ["a1"], ["a2"])
    staged.wait_for("second", ["a1"])
    staged.let["second"].release()
    staged.wait_for("second", ["a1"], ["a2"])
    staged.wait_for("third", ["a1"])
    assert staged.seen["take"] == [["a1"], ["a2"]], "both hands are full"
    staged.let["third"].release()
    staged.wait_for("take", ["a1"], ["a2"], ["a3"])
    for let in staged.let.values():
        let.release(8)
    staged.wait_for("third", ["a1"], ["a2"], ["a3"], ["a4"])
    assert staged.worker.close()
    assert staged.worker.busy == 0


def test_none_overtakes_another() -> None:
    """The first is slow in the third stage: the second has long been through the second, where it stays."""
    staged = Staged("a", hands=3)
    staged.let["second"].release(3)
    staged.offer("a1", "a2", "a3")
    staged.wait_for("third", ["a1"])
    staged.wait_for("second", ["a1"], ["a2"])
    staged.wait_for("take", ["a1"], ["a2"], ["a3"])
    assert not happens(lambda: len(staged.seen["second"]) > 2 or len(staged.seen["third"]) > 1)
    assert not staged.worker.close(patience=0.05)
    staged.let["third"].release(3)
    assert staged.worker.close(), "what is in hand is done"
    assert staged.seen["third"] == [["a1"], ["a2"], ["a3"]]


@pytest.mark.parametrize("stage", ["second", "third"])
def test_what_a_later_stage_raises_leaves_it_free(stage: str) -> None:
    staged = Staged("fa")
    for let in staged.let.values():
        let.release(8)
    staged.offer(f"fails in {stage}", "a1")
    staged.wait_for("third", *([["fails in third"]] if stage == "third" else []), ["a1"])
    assert [str(error) for error in staged.reported] == [f"fails in {stage}"]
    assert staged.worker.close()


def test_while_the_second_stage_is_busy_only_whole_batches_are_taken() -> None:
    staged = Staged("ab", batch=2)
    staged.offer("a1")
    staged.wait_for("second", ["a1"])
    staged.offer("a2")
    assert not happens(lambda: len(staged.seen["take"]) > 1), "it could still grow"
    staged.offer("b2")
    staged.wait_for("take", ["a1"], ["b2", "a2"])
    for let in staged.let.values():
        let.release(8)
    staged.wait_for("third", ["a1"], ["b2", "a2"])
    staged.worker.close()


@pytest.mark.parametrize("first", ["a1", "fails in second"])
def test_what_is_no_whole_batch_is_taken_when_the_second_stage_is_free(first: str) -> None:
    staged = Staged("abf", batch=2)
    staged.offer(first)
    staged.wait_for("second", [first])
    staged.offer("a2")
    assert not happens(lambda: len(staged.seen["take"]) > 1)
    staged.let["second"].release()
    staged.wait_for("second", [first], ["a2"])
    for let in staged.let.values():
        let.release(8)
    assert staged.worker.close()


def test_a_batch_waits_only_for_who_is_due() -> None:
    period = 0.1
    queue: _Queue[str] = _Queue(arrival=10.0, period=period)
    assert not queue.due(10.0 + period - 2 * COINCIDENCE)  # it came just before
    assert queue.due(10.0 + period - COINCIDENCE / 2)
    assert queue.due(10.0 + 1.4 * period)
    assert not queue.due(10.0 + 1.6 * period)  # silent
    assert not _Queue().due(10.0)  # never heard of
    assert not _Queue(arrival=10.0).due(10.1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 3), st.integers(1, 4))
def test_nothing_is_lost_but_what_is_counted(keys: list[str], capacity: int, batch: int) -> None:
    handled: list[list[tuple[str, int]]] = []
    worker: Worker[str, tuple[str, int]] = Worker(handled.append, "abc", capacity, batch, report=print)
    dropped = [not worker.offer(key, (key, n)) for n, key in enumerate(keys)]
    wait_until(lambda: all(worker.waiting(key) == 0 for key in "abc"), "the queues to be empty")
    worker.close()
    assert sum(map(len, handled)) + sum(dropped) == len(keys)
    for items in handled:
        assert len({key for key, _ in items}) == len(items) <= batch
    for key in "abc":
        numbers = [n for items in handled for k, n in items if k == key]
        assert numbers == sorted(numbers)
