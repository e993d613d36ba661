"""The ROS 2 side of qdtrack: thin; the only package that imports rclpy or messages.

Needs a sourced ROS 2 environment with the interface packages ``qdtrack`` and ``vision_msgs`` (``make`` builds both).
"""
