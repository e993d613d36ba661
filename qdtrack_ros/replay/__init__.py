"""Bags played over DDS into a tracker node in another process, at their own pace, and what came back."""
