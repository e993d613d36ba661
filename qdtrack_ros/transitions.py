"""A managed node that goes on answering while it changes its state, and that always says why it could not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import InvalidHandle, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from qdtrack_ros.reason import reason

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
_SHUTDOWNS = (
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    Transition.TRANSITION_INACTIVE_SHUTDOWN,
    Transition.TRANSITION_ACTIVE_SHUTDOWN,
)
_NAMES = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    **dict.fromkeys(_SHUTDOWNS, "shutdown"),
}


class Abandoned(Exception):
    """A transition was given up because the node is to end: no failure."""


class Fault(Exception):
    """What went wrong between transitions and leads to the error state; the text says everything."""


class ManagedNode(LifecycleNode):
    """Transitions asked for by service run in a thread of their own, one after the other.

    So state, parameters and diagnostics are told while one is under way. Another one is refused meanwhile, but a
    shutdown, which has :meth:`abandon` end the one in hand.

    What a subclass does in a transition it does in :meth:`configure_`, ..., and what these raise fails it.

    Attributes:
        failure: the last transition that failed, and why, until one succeeds.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        self.failure = ""
        self._turn = threading.Lock()  # held by the transition that is under way
        super().__init__(name, **arguments)
        # The node's own group runs nothing else until a callback is done, also while that one only waits.
        apart = ReentrantCallbackGroup()
        change, tell = self._service_change_state, self._service_get_available_transitions
        change.callback, change.callback_group = self._on_change_state, apart
        apart.add_entity(change)
        tell.callback = self._shutdown_told_beside(tell.callback)

    @property
    def state(self) -> str:
        """The lifecycle's state: ``unconfigured``, ``configuring``, ..."""
        return str(self._state_machine.current_state[1])  # rclpy has no public way to ask for one's own state

    @property
    def moving(self) -> bool:
        """Whether a transition is under way."""
        return self._turn.locked()

    def begin(self, *transitions: str) -> Future[bool]:
        """Make transitions in a thread, as long as they succeed; whether all did is the result."""
        done: Future[bool] = Future(executor=self.executor)

        def move() -> None:
            with self._turn:
                succeeded = all(self._trigger(transition) for transition in transitions)
            done.set_result(succeeded)
            if self.executor is not None:
                self.executor.wake()

        threading.Thread(target=move, name="qdtrack-transition", daemon=True).start()
        return done

    @contextmanager
    def resting(self) -> Iterator[bool]:
        """Keep transitions waiting while this is entered; false, and nothing waits, where one is under way."""
        rests = self._turn.acquire(blocking=False)
        try:
            yield rests
        finally:
            if rests:
                self._turn.release()

    def settle(self, patience: float) -> bool:
        """Abandon a transition that is under way and wait for its end; False if it did not end in so many seconds."""
        self.abandon()
        ended = self._turn.acquire(timeout=patience)
        if ended:
            self._turn.release()
        return ended

    def _trigger(self, transition: str) -> bool:
        try:
            return bool(getattr(self, f"trigger_{transition}")() == SUCCESS)
        except Exception as error:  # not allowed in this state
            self.get_logger().error(f"{transition} refused: {reason(error)}")
            return False

    # ---- what a subclass does

    def configure_(self) -> None:
        """Get ready."""

    def activate_(self) -> None:
        """Begin."""

    def deactivate_(self) -> None:
        """Stop."""

    def close(self) -> None:
        """Give everything back, from whichever state; does nothing where nothing is held."""

    def abandon(self) -> None:
        """End the transition under way as soon as can be: the node is to end."""

    # ---- what rclpy calls

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Get ready."""
        return self._attempt("configure", self.configure_, lambda: super(ManagedNode, self).on_configure(state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin; publishers come first, so that nothing is told to ones that are still silent."""
        return self._attempt("activate", lambda: super(ManagedNode, self).on_activate(state), self.activate_)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        return self._attempt("deactivate", self.deactivate_, lambda: super(ManagedNode, self).on_deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        return self._attempt("cleanup", self.close, lambda: super(ManagedNode, self).on_cleanup(state))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave nothing behind, from whichever state."""
        return self._attempt("shutdown", self.close, lambda: super(ManagedNode, self).on_shutdown(state))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back; the node is then unconfigured, and what was wrong can be mended. Never raises."""
        failure = self.failure
        self._attempt("the way out of an error", self.close, lambda: super(ManagedNode, self).on_error(state))
        self.failure = failure or self.failure
        return SUCCESS

    def _attempt(
        self, transition: str, *steps: Callable[[], TransitionCallbackReturn | None]
    ) -> TransitionCallbackReturn:
        """Do the steps of a transition; an error is logged and kept: rclpy would swallow it silently."""
        try:
            for step in steps:
                if step() not in (None, SUCCESS):
                    raise RuntimeError("a publisher could not follow")
        except Abandoned:
            return FAILURE
        except Exception as error:
            self.failure = str(error) if isinstance(error, Fault) else f"{transition} failed: {reason(error)}"
            self.get_logger().error(self.failure)
            return ERROR
        self.failure = ""
        return SUCCESS

    # ---- services

    async def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        asked = request.transition
        name = asked.label or _NAMES.get(asked.id, "")
        if name not in _NAMES.values():
            self.get_logger().error(f"no transition {asked.label or asked.id}: expected one of {', '.join(_names())}")
            return response
        if self.moving:
            if name != "shutdown":
                self.get_logger().error(f"{name} refused: the node is {self.state}; ask again when it is done")
                return response
            self.abandon()
        response.success = await self.begin(name)
        return response

    def _shutdown_told_beside(self, told: Callable[..., Any]) -> Callable[..., Any]:
        """What tells available transitions, with the one that can be asked for while another is under way.

        ``ros2 lifecycle set`` asks for nothing that is not told.
        """

        def tell(
            request: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
        ) -> GetAvailableTransitions.Response:
            response = told(request, response)
            if self.moving:
                identity, label = self._state_machine.current_state
                item = TransitionDescription(start_state=State(id=identity, label=label))
                item.transition = Transition(id=_SHUTDOWNS[0], label="shutdown")
                item.goal_state = State(id=State.PRIMARY_STATE_FINALIZED, label="finalized")
                response.available_transitions.append(item)
            return response

        return tell


class Executor(SingleThreadedExecutor):
    """rclpy's, for nodes whose subscriptions and publishers go in other threads, as those of a ManagedNode do.

    rclpy's own ends with an InvalidHandle where one goes just when it is about to be waited for.
    """

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As rclpy's; waits anew, for what is still there, where something went."""
        while True:
            with suppress(InvalidHandle):
                return super().wait_for_ready_callbacks(*args, **kwargs)


def _names() -> list[str]:
    return sorted(set(_NAMES.values()))
