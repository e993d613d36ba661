"""Studies: which published conclusions hold when all ways are trained on equal terms."""
