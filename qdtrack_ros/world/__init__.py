"""The robot around the cameras: transforms between its frames, how it moves, and where things are in its world."""
