"""Definitions of our own messages found in bags, for reading and writing them without ROS.

A test holds them equal to ``msg/``, which a pip package does not contain.
"""

DEFINITIONS = {
    "qdtrack/msg/TrackedDetection": (
        "uint8 TENTATIVE=0\nuint8 ACTIVE=1\nuint8 LOST=2\n"
        "int64 id\nint32 class_id\nstring class_name\nfloat32 score\n"
        "float64 center_x\nfloat64 center_y\nfloat64 size_x\nfloat64 size_y\n"
        "float64 age\nfloat64 time_since_seen\nfloat64 velocity_x\nfloat64 velocity_y\n"
        "uint8 state\nfloat32[] embedding\n"
    ),
    "qdtrack/msg/TrackedDetectionArray": (
        "std_msgs/Header header\nuint64 session\nuint32 image_width\nuint32 image_height\n"
        "qdtrack/TrackedDetection[] tracks\n"
    ),
    "qdtrack/msg/TrackedObject": (
        "int64 id\nint32 class_id\nstring class_name\nfloat32 score\nfloat64 age\n"
        "geometry_msgs/PoseWithCovariance pose\ngeometry_msgs/Vector3 size\ngeometry_msgs/TwistWithCovariance twist\n"
    ),
    "qdtrack/msg/TrackedObjectArray": "std_msgs/Header header\nuint64 session\nqdtrack/TrackedObject[] objects\n",
}
