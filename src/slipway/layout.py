"""Where everything lies, relative to the project's root; every command and stage runs there."""

from pathlib import Path

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
DATA = Path("data")
DATA_DVC = Path("data.dvc")
PARAMS = Path("params.yaml")
SCHEMA = Path("src/model/schema.yaml")
ESTIMATOR = Path("src/model/pipeline.py")

ARTIFACTS = Path("artifacts")
TRAIN = ARTIFACTS / "train.parquet"
HOLDOUT = ARTIFACTS / "holdout.parquet"
TRAINED = ARTIFACTS / "trained"  # what train hands to export: the scikit-learn pipeline and its encoding
OUT_OF_FOLD = TRAINED / "out_of_fold.parquet"  # cross-validation's predictions of training rows, by row number
MODEL = ARTIFACTS / "model"  # what ships: the model file and signature.json
PREDICTIONS = ARTIFACTS / "predictions.parquet"

RUN = ARTIFACTS / "run"  # of the last `make repro`, which stages ran for how long, and where it was tracked

RELEASE = ARTIFACTS / "release"  # what the service reads: the model, golden rows, where they come from
BENTOML = Path(".bentoml")  # BentoML's own store and scratch space, kept out of the user's home

OVERLAYS, KUSTOMIZATION = Path("deploy/kubernetes/overlays"), "kustomization.yaml"
# Where each environment has a folder, and the file in it that says what runs: for a cluster, and without one.
ENVIRONMENTS = {OVERLAYS: KUSTOMIZATION, Path("deploy/environments"): "image.yaml"}

REPORTS = Path("reports")
SPLIT_REPORT = REPORTS / "split.json"
TRAINING_REPORT = REPORTS / "training.json"
EXPORT_REPORT = REPORTS / "export.json"
METRICS = REPORTS / "metrics.json"
SLICES = REPORTS / "slices.json"
TIMING = REPORTS / "timing.json"
PLOTS = REPORTS / "plots"
REVIEW = ("verdict.json", "review.md", "review.html")  # for machines, for the pull request, and with the plots
SUITES = REPORTS / "suites"
SUITE_REPORTS = {name: SUITES / f"{name}.json" for name in ("data", "model")}
