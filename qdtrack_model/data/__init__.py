"""Readers and writers: image sources, MOTChallenge files, bags, synthetic scenes."""
