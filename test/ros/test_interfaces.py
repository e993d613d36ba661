"""The standard messages are those of everybody else: nodes of other builds understand ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from ament_index_python.packages import get_package_share_directory

# Type hashes (REP 2011) of vision_msgs 4.1.1 as its authors define it; they cover the messages inside, too.
VISION_MSGS = {
    "Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "VisionInfo": "RIHS01_95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
}


@pytest.mark.parametrize("name", VISION_MSGS)
def test_vision_msgs_are_those_of_upstream(name: str) -> None:
    file = Path(get_package_share_directory("vision_msgs")) / "msg" / f"{name}.json"
    if not file.is_file():
        pytest.skip("this ROS distribution is older than type hashes")
    hashes = {one["type_name"]: one["hash_string"] for one in json.loads(file.read_text())["type_hashes"]}
    assert hashes[f"vision_msgs/msg/{name}"] == VISION_MSGS[name]
