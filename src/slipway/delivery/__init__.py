"""What travels with a commit: the proof of its lock, and its data."""
