"""The arguments of the launch files: what each is for, and what the node is started with for their values.

Plain Python, so that it can be read and tested where ROS brings no launch; :mod:`qdtrack_ros.launching` makes actions
of it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Arguments: TypeAlias = Mapping[str, tuple[str | None, str]]  # name -> default (None: has to be given), description
Values: TypeAlias = Mapping[str, str]  # name -> what was given for it

RESPAWN_DELAY = 1.0  # seconds after which a node that ended is started again
LAYOUTS = ("optical", "z_up")  # of RViz, in config/node/
_INPUTS = ("image", "image/compressed", "image/ffmpeg", "image/foxglove", "camera_info", "depth")

NAMESPACE: Arguments = {"namespace": ("", "Namespace of the node and of its relative topics, for example perception.")}
USE_SIM_TIME: Arguments = {
    "use_sim_time": ("false", "Take the time from /clock, as for simulations and bags played with --clock.")
}
NODE: Arguments = {
    **NAMESPACE,
    "weights": ("", "Weights: a name that `qdtrack weights` lists, or the path of a file; empty: as in params_file."),
    "runtime": ("", "What runs the network, auto for the best that is there; empty: as in params_file."),
    "precision": ("", "What the network computes in, such as fp16; empty: as in params_file."),
    "log_level": ("info", "Severity from which on the node logs: debug, info, warn or error."),
}
ON_A_VEHICLE: Arguments = {
    **USE_SIM_TIME,
    "autostart": ("", "true: configure and activate at once; false: wait for a manager; empty: as in params_file."),
    "respawn": ("true", f"Start the node again, {RESPAWN_DELAY:.0f} s after it ended by itself."),
    "enclave": ("", "Enclave of SROS 2 that the node belongs to, for example /tracker; empty: that of its process."),
}
TOPICS: Arguments = {
    "image": ("image", "Topic of the camera's images, with or without /compressed behind it."),
    "image_compressed": ("", "Topic of its compressed images; empty: image with /compressed behind it."),
    "camera_info": ("", "Topic of its calibration; empty: camera_info beside image."),
}
TOPICS_OF_CAMERAS: Arguments = {
    "cameras": (None, "Names of the cameras, as in front,left."),
    "image": ("{camera}/image", "Topics of their images, for example /{camera}/image_raw; {camera} is the name."),
    "image_compressed": ("", "Topics of their compressed images; empty: image with /compressed behind it."),
    "camera_info": ("", "Topics of their calibrations; empty: camera_info beside image."),
}
DEPTH: Arguments = {
    "depth": ("", "Topic of depth images aligned with the images, which sets the parameter depth; empty: none.")
}
RVIZ: Arguments = {
    "rviz": ("false", "Show images and tracks in RViz, too."),
    "layout": (
        LAYOUTS[0],
        "Layout of RViz: optical for a camera's frame, z_up for base_link, or the path of a file.",
    ),
    "frame": ("", "Fixed frame of RViz: the frame_id of the images, or another for z_up; empty: as in the layout."),
}
CAMERA: Arguments = {"camera": ("", "Name of the camera of several that RViz shows.")}
OF_RVIZ: Arguments = {
    **NAMESPACE,
    **USE_SIM_TIME,
    **TOPICS,
    **CAMERA,
    **{name: RVIZ[name] for name in ("layout", "frame")},
}


def given(values: Values, name: str) -> str:
    """The value of an argument, "" where there is none."""
    return values.get(name, "").strip()


def truth(values: Values, name: str) -> bool:
    """The value of an argument that is true or false.

    Raises:
        ValueError: it is neither.
    """
    text = given(values, name)
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}: got {text!r}, expected true or false")
    return text.lower() == "true"


def camera_names(values: Values) -> list[str]:
    """The argument ``cameras``, taken apart at commas and spaces."""
    return re.findall(r"[^,\s]+", given(values, "cameras"))


def node_parameters(values: Values, cameras: Sequence[str]) -> dict[str, Any]:
    """The parameters that arguments set; all others are those of ``params_file``."""
    found: dict[str, Any] = {name: given(values, name) for name in ("weights", "runtime", "precision")}
    found = {name: value for name, value in found.items() if value}
    found.update({name: truth(values, name) for name in ("use_sim_time", "autostart") if given(values, name)})
    if cameras:
        found["cameras"] = list(cameras)
    if given(values, "depth"):
        found["depth"] = True
    return found


def enclave(values: Values) -> str:
    """The enclave of SROS 2; the root is that of every process without one."""
    return given(values, "enclave") or "/"


def input_names(cameras: Sequence[str]) -> list[str]:
    """What the node calls its inputs."""
    return [posixpath.join(camera, name) for camera in cameras or [""] for name in _INPUTS]


def input_topics(values: Values) -> dict[str, str]:
    """The topics of the node's inputs by the arguments of ``TOPICS`` and ``DEPTH``."""
    image = given(values, "image").removesuffix("/compressed")
    return {
        "image": image,
        "image/compressed": given(values, "image_compressed") or f"{image}/compressed",
        "image/ffmpeg": f"{image}/ffmpeg",
        "image/foxglove": f"{image}/foxglove",
        "camera_info": given(values, "camera_info") or posixpath.join(posixpath.dirname(image), "camera_info"),
        "depth": given(values, "depth"),
    }


def remappings(values: Values, cameras: Sequence[str]) -> dict[str, str]:
    """Every input of every camera, and its topic; ``{camera}`` in an argument is the camera's name.

    Depth that is not asked for keeps its name.

    Args:
        cameras: names of several cameras; none for one whose topics have no name before them.

    Raises:
        ValueError: several cameras would share a topic, or a name is missing.
    """
    topics = input_topics(values)
    for topic in filter(None, topics.values()):
        if len(cameras) > 1 and "{camera}" not in topic:
            raise ValueError(f"got the topic {topic!r} for {len(cameras)} cameras, expected {{camera}} in it")
        if not cameras and "{camera}" in topic:
            raise ValueError(f"got the topic {topic!r}, expected the name of the camera to be given, too")
    return {
        posixpath.join(camera, name): topics[name].replace("{camera}", camera) or posixpath.join(camera, name)
        for camera in cameras or [""]
        for name in _INPUTS
    }


def rviz_remappings(values: Values) -> dict[str, str]:
    """The topics of a layout, which are those of one camera without a namespace, and those of this node."""
    camera = given(values, "camera")
    topics = {name: given(values, name) for name in TOPICS}
    found = remappings(topics, [camera] if camera else [])
    names = ("image", "image/compressed", "camera_info")
    image, compressed, calibration = (found[posixpath.join(camera, name)] for name in names)
    return {
        "/image": image,
        "/image/compressed": compressed,
        "/camera_info": calibration,
        "/image/camera_info": calibration,  # where RViz expects it for /image/compressed
        **{f"/tracker/{name}": posixpath.join("tracker", camera, name) for name in ("markers", "overlay")},
    }
