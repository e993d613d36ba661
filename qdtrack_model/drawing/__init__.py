"""Pictures of tracks, and videos of pictures."""
