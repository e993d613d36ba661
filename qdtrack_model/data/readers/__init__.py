"""Readers of data sets, a file each."""
