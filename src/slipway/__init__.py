"""The machinery between raw data and a tested, released model; a project keeps its own code in `src/model`."""
