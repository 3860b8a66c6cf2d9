"""What a run leaves on disk and goes on from: its directory, checkpoints, metrics and lock."""
