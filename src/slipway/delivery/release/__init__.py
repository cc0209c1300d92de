"""What happens after a merge: an image gets a digest, git says where it runs, and remembers where it came from."""
