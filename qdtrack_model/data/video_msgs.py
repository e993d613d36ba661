"""Definitions of the messages that carry H.264 and H.265, for bags that bring none and for reading them without ROS.

A bag's own definition is taken where it has one: newer foxglove_msgs have more fields. A test holds these equal to
``interfaces/``, which an installed package does not contain.
"""

FOXGLOVE_VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"

DEFINITIONS = {
    FOXGLOVE_VIDEO: "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n",
    FFMPEG_PACKET: (
        "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n"
        "bool is_bigendian\nuint8[] data\n"
    ),
}
