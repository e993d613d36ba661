"""Bags replayed through the tracker, scored and reported: runs, which reports, comparisons and tuning read."""
