"""The network that all cameras share: loaded in a thread of its own, rebuilt once when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node

from qdtrack_model.config import ConfigError
from qdtrack_model.pipeline import Fitted, Pipeline
from qdtrack_model.runtimes import Options, gpu
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
from qdtrack_model.structures import Array, Detections
from qdtrack_ros import parameters
from qdtrack_ros.reason import reason
from qdtrack_ros.transitions import Abandoned

# weights, how to run them, tracker settings -> what turns images into tracks
PipelineFactory = Callable[[str, Options, Mapping[str, Any]], Pipeline]
_WARM_UP_IMAGE = (720, 1280, 3)  # a usual camera: the first real image then finds every buffer in place


def loader(node: Node, weights: str, factory: PipelineFactory, goes_on: Callable[[], bool]) -> Callable[[], Pipeline]:
    """What loads a pipeline and warms it up, as the parameters of the node say now.

    Args:
        node: has the parameters, and logs what was loaded.
        weights: to load.
        factory: builds the pipeline.
        goes_on: whether it is still wanted.
    """
    options = Options(
        runtime=parameters.value(node, "runtime"),
        precision=parameters.value(node, "precision"),
        threads=parameters.value(node, "threads") or None,
        batch=parameters.value(node, "batch"),
        fallback=parameters.value(node, "fallback"),
        build=parameters.value(node, "build_engine") or parameters.value(node, "autostart"),
        goes_on=goes_on,
    )
    settings = parameters.tracker_settings(parameters.values(node))

    gpu_index = parameters.value(node, "gpu")

    def load() -> Pipeline:
        if gpu_index >= 0 and gpu.find() is None:
            raise ConfigError(f"gpu: got {gpu_index}, but there is no such GPU; `nvidia-smi -L` lists them")
        begin = time.perf_counter()
        pipeline = factory(weights, options, settings)
        loaded = time.perf_counter()
        pipeline.runtime.warm_up()
        pipeline.process(np.zeros(_WARM_UP_IMAGE, np.uint8), 0.0)
        height, width = pipeline.runtime.config.input_size
        names = ", ".join(pipeline.classes[:8]) + ", ..." * (len(pipeline.classes) > 8)
        node.get_logger().info(
            f"loaded {weights} into {pipeline.runtime.name} on {pipeline.runtime.device}, input {width}x{height},"
            f" classes {names}; {1e3 * (loaded - begin):.0f} ms,"
            f" warm-up {1e3 * (time.perf_counter() - loaded):.0f} ms"
        )
        return pipeline

    return load


class Loading:
    """A pipeline that is loaded in a thread of its own; whoever waits for it can be released.

    Args:
        load: makes the pipeline.
    """

    def __init__(self, load: Callable[[], Pipeline]) -> None:
        self._load = load
        self._outcome: Future[Pipeline] = Future()
        threading.Thread(target=self._run, name="qdtrack-loader", daemon=True).start()

    def result(self) -> Pipeline:
        """The pipeline, waited for; raises what loading raised, or Abandoned."""
        return self._outcome.result()

    def abandon(self) -> None:
        """Release who waits. What is loaded all the same is closed; native code cannot be stopped."""
        with suppress(InvalidStateError):
            self._outcome.set_exception(Abandoned("loading was abandoned"))

    def then(self, done: Callable[[Future[Pipeline]], None]) -> None:
        """Call ``done`` when it is loaded, has failed or is abandoned, in the thread where that comes about."""
        self._outcome.add_done_callback(done)

    def _run(self) -> None:
        try:
            pipeline = self._load()
        except BaseException as error:  # also what is no Exception: somebody waits for an answer
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            with suppress(InvalidStateError):
                self._outcome.set_exception(failure)
            return
        try:
            self._outcome.set_result(pipeline)
        except InvalidStateError:
            pipeline.close()


class Health(Enum):
    """How the network fares."""

    WORKING = "working"
    REBUILDING = "being rebuilt"
    PROBATION = "rebuilt, and no image went through it yet"
    FAILED = "failed for good"


class NetworkDown(RuntimeError):
    """The network takes no images now."""


class Network:
    """A pipeline, and what becomes of it when it fails.

    ``limit`` failures in a row lead from WORKING to REBUILDING, a new pipeline from there to PROBATION, and the first
    image that goes through it back to WORKING. FAILED is the end: it could not be rebuilt, failed again as often
    without a success, or ``rebuilds`` is False.

    Args:
        pipeline: loaded.
        load: makes another one.
        limit: failures in a row.
        rebuilds: whether it is rebuilt at all.
        failed: told why, once, in whichever thread, when it is FAILED.
        log: takes what becomes of it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        load: Callable[[], Pipeline],
        limit: int,
        rebuilds: bool,
        failed: Callable[[str], None],
        log: RcutilsLogger,
    ) -> None:
        self.pipeline = pipeline
        self.health = Health.WORKING
        self._trouble = ""  # what made it fail, until it works again
        self._load, self._limit, self._rebuilds = load, limit, rebuilds
        self._failed, self._log = failed, log
        self._failures = 0  # in a row
        self._open = True
        self._changed = threading.Condition()  # held while the pipeline, its users or its health change
        self._users = 0  # threads that are in the pipeline
        self._loading: Loading | None = None

    @property
    def down(self) -> str:
        """Why it takes no images now; "" where it does."""
        takes = self.health in (Health.WORKING, Health.PROBATION)
        return "" if takes else f"the network is {self.health.value}: {self._trouble}"

    @contextmanager
    def _using(self) -> Iterator[Pipeline]:
        """The pipeline, which is not closed meanwhile; raises NetworkDown where it takes no images."""
        with self._changed:
            if self.down:
                raise NetworkDown(self.down)
            self._users += 1
            pipeline = self.pipeline
        try:
            yield pipeline
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @property
    def decode(self) -> Callable[[bytes], GpuPicture | None] | None:
        """Decodes a colour JPEG on the GPU, as :meth:`Pipeline.decode`; None where that decodes nothing."""
        return self._decode if self.pipeline.decodes else None

    def _decode(self, content: bytes) -> GpuPicture | None:
        with self._using() as pipeline:
            return pipeline.decode(content)

    def fit(self, images: Sequence[Array | GpuPicture]) -> Fitted:
        """Images ready to go through it together; as :meth:`Pipeline.fit`.

        Raises:
            NetworkDown: it is being rebuilt, or has failed for good.
            ValueError: an image has another shape or dtype, or no pixels.
            Exception: whatever a GPU raises that fits images in.
        """
        try:
            with self._using() as pipeline:
                return pipeline.fit(images)
        except (NetworkDown, ValueError):
            raise
        except Exception as error:
            self._count(error)
            raise

    def infer(self, fitted: Fitted) -> list[Detections]:
        """What the network sees in them; as :meth:`Pipeline.infer`.

        Raises:
            NetworkDown: it is being rebuilt, or has failed for good.
            Exception: whatever the runtime raises.
        """
        try:
            with self._using() as pipeline:
                if fitted.pipeline is not pipeline:
                    raise NetworkDown("the network was rebuilt since this image was fitted in")
                found = pipeline.infer(fitted)
        except NetworkDown:
            raise
        except Exception as error:
            self._count(error)
            raise
        with self._changed:
            self._failures = 0
            again = self.health is Health.PROBATION
            if again:
                self.health, self._trouble = Health.WORKING, ""
        if again:
            self._log.info("the network works again")
        return found

    def close(self) -> None:
        """Release the runtime; a rebuild that is under way is abandoned."""
        if self._loading is not None:
            self._loading.abandon()
        if self._open:
            self._open = False
            self.pipeline.close()

    def _count(self, error: Exception) -> None:
        with self._changed:
            self._failures += 1
            if self.down or self._failures < self._limit:
                return
            self._failures = 0
            self._trouble = f"inference failed {self._limit} times in a row: {reason(error)}"
            rebuilds = self._rebuilds and self.health is Health.WORKING
            self.health = Health.REBUILDING if rebuilds else Health.FAILED
        if rebuilds:
            self._log.error(f"{self._trouble}; rebuilding the network")
            self._loading = Loading(self._reload)
            self._loading.then(self._rebuilt)
        else:
            self._fail(f"{self._trouble}{' after it was rebuilt' * self._rebuilds}")

    def _reload(self) -> Pipeline:
        with self._changed:
            self._changed.wait_for(lambda: not self._users)
        self._open = False
        try:
            self.pipeline.close()  # first: its memory may be needed
        except Exception as error:  # what is broken may not even close
            self._log.warning(f"the network that failed could not be closed: {reason(error)}")
        return self._load()

    def _rebuilt(self, outcome: Future[Pipeline]) -> None:
        error = outcome.exception()
        if error is None:
            with self._changed:
                self.pipeline, self.health, self._open, self._failures = outcome.result(), Health.PROBATION, True, 0
            self._log.info("the network is rebuilt")
        elif isinstance(error, Exception) and not isinstance(error, Abandoned):
            self._fail(f"{self._trouble}; it could not be rebuilt: {reason(error)}")

    def _fail(self, why: str) -> None:
        self.health, self._trouble = Health.FAILED, why
        self._failed(why)
