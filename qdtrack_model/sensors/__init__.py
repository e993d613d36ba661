"""What cameras deliver, by the values of their messages: pixels, geometry, depth. No ROS needed."""
