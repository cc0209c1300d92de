"""What travels with a commit: the proof of its lock, its data, its release; below, its image, and what GitHub runs."""
