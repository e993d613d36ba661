"""The demonstration: a scene played into a tracker node in another process, over DDS, scored, and a report of it."""
