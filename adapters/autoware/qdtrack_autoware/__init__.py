"""Tracks of qdtrack for Autoware."""
