"""The project's own room: the data contract (`schema.yaml`) and the estimator (`pipeline.py`)."""
