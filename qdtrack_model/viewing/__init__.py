"""Recordings with what was found in them, as files that robotics' own viewers open: Rerun, Foxglove and Lichtblick."""
