"""What diagnostics say: from plain values and limits to levels, texts and tables; docs/operation.md explains them.

On diagnostic_msgs alone: diagnostic_updater is not on PyPI, and its tasks know rates but no latencies and no drops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.qos import QoSProfile

from qdtrack_ros.operation.monitor import Counts, Recent

# STALE is for an aggregator that hears no more: it makes an ERROR of it, which a node at rest is none.
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_TRANSPORTS = {"image": "raw", "image/compressed": "compressed", "image/ffmpeg": "video", "image/foxglove": "video"}
_ANOTHER_CLOCK = 3600.0  # seconds: no image is so old, its stamp is of another clock


@dataclass(frozen=True)
class Limits:
    """What is taken for a problem; the names are those of the parameters, 0 is never."""

    min_rate: float  # images/s
    max_age: float  # s
    max_drop_ratio: float
    silence_warning: float  # s


@dataclass(frozen=True)
class NodeReading:
    """What is known of the node.

    Attributes:
        state: of its lifecycle.
        failure: the last transition that failed, and why; "" if the last one succeeded.
        progress: what is going on in a transition that takes its time; "" otherwise.
        trouble: why the network gives no answers now; "" where it does.
        weights, runtime, device: what is loaded; "" while unconfigured.
        network_memory: bytes that loading took.
        resident_memory: bytes of the process.
        gpu_memory: bytes of the GPU in use and in all, None where there is none or none is used.
    """

    state: str
    failure: str
    progress: str
    trouble: str
    weights: str
    runtime: str
    device: str
    network_memory: int
    resident_memory: int
    gpu_memory: tuple[int, int] | None


@dataclass(frozen=True)
class CameraReading:
    """What is known of a camera that is listened to.

    Attributes:
        listening: topics of images, and the QoS they are subscribed with.
        delivering: which of the camera's image topics brought the latest image; None before the first.
        publishers: on these topics.
        incompatible: publishers that cannot be connected to, and why.
        silence: seconds without an image.
        silence_reason: why there may be none, as far as it was looked into.
        counts: since activation.
        recent: in the last seconds; None while too little is known.
        unusable: what was wrong with the latest unusable image.
        failure: what went wrong with the latest image that failed.
        queue: images that wait.
        seen: tracks in the latest image.
        remembered: tracks that it did not show.
        ages: 50th and 95th percentile of the age at publish [s]; None before the first.
        stages: the same of each stage.
    """

    listening: Mapping[str, QoSProfile]
    delivering: str | None
    publishers: int
    incompatible: Sequence[str]
    silence: float
    silence_reason: str
    counts: Counts
    recent: Recent | None
    unusable: str
    failure: str
    queue: int
    seen: int
    remembered: int
    ages: tuple[float, float] | None
    stages: Mapping[str, tuple[float, float] | None]


def node_status(name: str, reading: NodeReading) -> DiagnosticStatus:
    """ERROR after a failed transition and while the network is down, WARN while the node does not track."""
    if reading.failure:
        level, text = ERROR, f"{reading.state}: {reading.failure}"
    elif reading.trouble:
        level, text = ERROR, f"{reading.state}: {reading.trouble}"
    elif reading.progress:
        level, text = WARN, f"{reading.state}: {reading.progress}"
    elif reading.state == "active":
        level, text = OK, f"active: {reading.weights} in {reading.runtime}"
    else:
        level, text = WARN, f"{reading.state}: not tracking"
    values = {
        "state": reading.state,
        "last failed transition": reading.failure or "none",
        "weights": reading.weights,
        "runtime": reading.runtime,
        "device": reading.device,
        "network memory [MB]": f"{reading.network_memory / 1e6:.0f}",
        "resident memory [MB]": f"{reading.resident_memory / 1e6:.0f}",
    }
    if reading.gpu_memory is not None:
        used, total = reading.gpu_memory
        values |= {"GPU memory used [MB]": f"{used / 1e6:.0f}", "GPU memory [MB]": f"{total / 1e6:.0f}"}
    return _status(name, level, text, values)


def camera_status(name: str, reading: CameraReading | None, state: str, limits: Limits) -> DiagnosticStatus:
    """The worst of a camera's problems for a level, and all of them in words."""
    if reading is None:
        return _status(name, OK, f"not tracking: the node is {state}", {})
    problems = list(_problems(reading, limits))
    level = max((level for level, _ in problems), key=(OK, WARN, ERROR).index, default=OK)
    rate = f"{reading.recent.tracked_rate:.1f} images/s tracked" if reading.recent else "images begin to come"
    text = "; ".join(text for _, text in problems) or rate
    return _status(name, level, text, _camera_values(reading))


def _problems(reading: CameraReading, limits: Limits) -> Iterator[tuple[bytes, str]]:
    """Level and text of whatever is wrong with a camera."""
    recent = reading.recent
    if limits.silence_warning and reading.silence >= limits.silence_warning:
        told = f"no image for {reading.silence:.0f} s, longer than silence_warning ({limits.silence_warning:g} s)"
        yield ERROR, f"{told}: {reading.silence_reason}"
        return
    for text in reading.incompatible:
        yield ERROR, f"incompatible QoS, {text}"
    if reading.counts.received == 0 or (recent and recent.received == 0):
        yield WARN, f"no image for {reading.silence:.0f} s"
    elif recent is not None:
        yield from _problems_of_images(recent, reading, limits)
        yield from _problem_of_age(reading.ages, limits)


def _problems_of_images(recent: Recent, reading: CameraReading, limits: Limits) -> Iterator[tuple[bytes, str]]:
    if recent.tracked_rate == 0 and recent.skipped < recent.received:
        yield ERROR, f"none of the last {recent.received} images was tracked"
    elif recent.tracked_rate < limits.min_rate:
        yield WARN, f"{recent.tracked_rate:.1f} images/s tracked, less than diagnostics.min_rate ({limits.min_rate:g})"
    if recent.unusable:
        yield WARN, f"{recent.unusable} of the last {recent.received} images unusable: {reading.unusable}"
    if recent.failed:
        yield WARN, f"{recent.failed} of the last {recent.received} images failed: {reading.failure}"
    if recent.without_depth:
        yield WARN, f"{recent.without_depth} of the last {recent.received} images had no depth: the log says why"
    if recent.without_transform:
        count = f"{recent.without_transform} of the last {recent.received} images"
        yield WARN, f"{count} had no transform to the frame that was asked for: the log says why"
    ratio = recent.dropped / recent.received
    if limits.max_drop_ratio and ratio > limits.max_drop_ratio:
        limit = f"diagnostics.max_drop_ratio ({limits.max_drop_ratio:g})"
        yield WARN, f"{ratio:.2f} of the images dropped, more than {limit}"
    ratio = recent.lost / (recent.received + recent.lost)
    if limits.max_drop_ratio and ratio > limits.max_drop_ratio:
        limit = f"diagnostics.max_drop_ratio ({limits.max_drop_ratio:g})"
        yield WARN, f"{ratio:.2f} of the images lost between publisher and node, more than {limit}"


def _problem_of_age(ages: tuple[float, float] | None, limits: Limits) -> Iterator[tuple[bytes, str]]:
    if limits.max_age and ages is not None and ages[1] > limits.max_age:
        limit = f"diagnostics.max_age ({limits.max_age:g} s)"
        text = f"5 % of tracks older than {ages[1]:.3f} s when published, more than {limit}"
        if ages[0] > _ANOTHER_CLOCK:
            text += "; the stamps are of another clock (bags: ros2 bag play --clock, and use_sim_time)"
        yield WARN, text


def _camera_values(reading: CameraReading) -> dict[str, str]:
    values = {
        "topic": " or ".join(reading.listening),
        "transport": _TRANSPORTS.get(reading.delivering or "", "none yet"),
        "QoS": " or ".join(dict.fromkeys(_qos_text(qos) for qos in reading.listening.values())),
        "publishers": str(reading.publishers),
        "incompatible QoS": "; ".join(reading.incompatible) or "none",
        "silence [s]": f"{reading.silence:.1f}",
    }
    if reading.recent is not None:
        values["rate in [1/s]"] = f"{reading.recent.received_rate:.1f}"
        values["rate out [1/s]"] = f"{reading.recent.tracked_rate:.1f}"
    values |= {name.replace("_", " "): str(count) for name, count in vars(reading.counts).items()}
    values |= {"queue": str(reading.queue), "tracks": str(reading.seen), "remembered tracks": str(reading.remembered)}
    for name, pair in {"age at publish": reading.ages, **reading.stages}.items():
        if pair is not None:
            values[f"{name} p50 [ms]"], values[f"{name} p95 [ms]"] = (f"{1e3 * value:.1f}" for value in pair)
    return values


def _qos_text(qos: QoSProfile) -> str:
    names = (qos.reliability.name, qos.durability.name, qos.history.name)
    return ", ".join(name.lower().replace("_", " ") for name in names) + f" {qos.depth}"


def _status(name: str, level: bytes, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    # The node, whatever device and topic are in use just now: aggregators take another id for another thing.
    return DiagnosticStatus(level=level, name=name, message=text, hardware_id=name.partition(":")[0], values=pairs)
