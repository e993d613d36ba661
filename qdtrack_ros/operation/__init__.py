"""What people operate the node by: diagnostics, services and snapshots."""
