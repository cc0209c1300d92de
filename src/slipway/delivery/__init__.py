"""From a merged commit to what runs: the lock's proof and, later, image, release, deployment and lineage."""
