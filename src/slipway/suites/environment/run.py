"""Runs deepchecks on tables that are handed over as files, in an environment of its own; knows nothing of Slipway.

`python run.py FOLDER ...` reads in each folder `job.json`, `train.parquet`, `holdout.parquet` and, for the data suite,
`whole.parquet` (both together), and writes `results.json` and `report.html`. A check that raises is one that could not
run.
"""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["DISABLE_LATEST_VERSION_CHECK"] = "1"  # or it asks the network for a newer version when it is imported
warnings.simplefilter("ignore")

import deepchecks  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from conditions import Job, data_checks, model_checks  # noqa: E402
from deepchecks.core import CheckFailure, SuiteResult  # noqa: E402
from deepchecks.tabular import Dataset, SingleDatasetCheck, Suite  # noqa: E402

# deepchecks only warns of some conditions, such as duplicates; a limit that somebody set is meant. The weakest segment
# is searched for among many, so chance alone makes a weak one.
STATUS = {"PASS": "passed", "FAIL": "failed", "WARN": "failed", "ERROR": "error"}
WARNINGS = {"min_weak_segment"}
IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=T_)[0-9a-f]{5}")  # made anew for every report
HARMLESS = str.maketrans("<>&\"'`", "\u2039\u203a\uff06\u201d\u2019\u2019")


def harmless(text: Any) -> Any:
    """A text without what a page would take for its own: deepchecks writes names and values into HTML as they are."""
    return text.translate(HARMLESS) if isinstance(text, str) else text


def with_harmless_names(job: Job) -> Job:
    """The job with names that HTML may hold; two that become one are told apart by a mark."""
    names: dict[str, str] = {}
    for name in [*job["columns"], job["target"]]:
        safe = harmless(name)
        while safe in names.values():
            safe += "\u2032"
        names[name] = safe
    roles = {role: names.get(job[role]) for role in ("target", "id", "time")}
    columns = {names[name]: kind for name, kind in job["columns"].items()}
    return job | roles | {"names": names, "columns": columns, "features": [names[name] for name in job["features"]]}


def dataset(path: Path, job: Job, start: int) -> tuple[Any, Any]:
    """A table as deepchecks takes it, and the predictions in it; rows are numbered from `start`, each side its own."""
    frame = pd.read_parquet(path).rename(columns=job["names"])
    frame.index = range(start, start + len(frame))
    columns = job["columns"]
    for name, kind in columns.items():
        if kind == "category":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), np.nan).map(harmless)
        else:
            frame[name] = frame[name].astype("datetime64[us]" if kind == "datetime" else "float64")
    if job["classes"]:
        frame[job["target"]] = frame[job["target"]].astype("int64")
    said = [name for name in frame if name.startswith(job["prefix"])]
    table = Dataset(
        frame.drop(columns=said),
        label=job["target"],
        cat_features=[name for name in job["features"] if columns[name] == "category"],
        features=job["features"],
        index_name=job["id"],
        datetime_name=job["time"],
        label_type=job["task"],
    )
    return table, frame[said].to_numpy()


def predictions(job: Job, train: Any, holdout: Any) -> dict[str, Any]:
    """What the model says of both sides, as deepchecks takes it."""
    if not job["classes"]:
        return {"y_pred_train": train[:, 0], "y_pred_test": holdout[:, 0]}
    sides = (("train", train), ("test", holdout))
    labels = {f"y_pred_{side}": said[:, 0].astype("int64") for side, said in sides}
    return (
        labels | {f"y_proba_{side}": said[:, 1:] for side, said in sides} | {"model_classes": [*range(job["classes"])]}
    )


def outcome(condition: str, limit: float, result: Any, measure: Callable[[Any], Any]) -> Mapping[str, Any]:
    """What came of one condition."""
    found = {"condition": condition, "limit": limit}
    if isinstance(result, CheckFailure):
        said = " ".join(f"{type(result.exception).__name__}: {result.exception}".split())
        return found | {"status": "error", "expected": "", "value": None, "said": said}
    (judged,) = result.conditions_results
    status = STATUS[judged.category.name]
    try:
        value = measure(result.value)
    except (LookupError, TypeError, ValueError):  # a value that has no number to show, as of no weak segment
        value = None
    if value is not None and np.isnan(value):  # deepchecks passes an AUC of one class
        status = "error"
    return found | {
        "status": "warned" if status == "failed" and condition in WARNINGS else status,
        "expected": judged.name,
        "value": None if value is None or not np.isfinite(value) else float(value),
        "said": " ".join(judged.details.split()),
    }


def main(folder: Path) -> None:
    """Run the job of a folder."""
    job = with_harmless_names(json.loads((folder / "job.json").read_text()))
    limits = {name: limit for name, limit in job["conditions"].items() if limit is not None}
    data = job["suite"] == "data"
    known = data_checks(job) if data else model_checks(job)
    made = {name: known[name](limit) for name, limit in limits.items()}
    train, said_of_train = dataset(folder / "train.parquet", job, 0)
    holdout, said_of_holdout = dataset(folder / "holdout.parquet", job, train.n_samples)
    options: dict[str, Any] = {"with_display": True, "feature_importance_timeout": 0}
    if data:
        whole, _ = dataset(folder / "whole.parquet", job, 0)
        alone = [check for check, _ in made.values() if isinstance(check, SingleDatasetCheck)]
        apart = [check for check, _ in made.values() if not isinstance(check, SingleDatasetCheck)]
        results = Suite("", *alone).run(whole, **options).results if alone else []
        results += Suite("", *apart).run(train, holdout, **options).results if apart else []
    else:
        options |= predictions(job, said_of_train, said_of_holdout) | {"run_single_dataset": "Test"}
        results = Suite("", *(check for check, _ in made.values())).run(train, holdout, **options).results
    names = {id(check): name for name, (check, _) in made.items()}
    found = [outcome(name, limits[name], each, made[name][1]) for each in results for name in [names[id(each.check)]]]
    (folder / "results.json").write_text(json.dumps(found))
    html = folder / "report.html"
    html.unlink(missing_ok=True)
    SuiteResult(job["title"], results).save_as_html(str(html), as_widget=False, unique_id="slipway")
    seen: dict[str, str] = {}
    text = html.read_text(encoding="utf-8").replace("<head>", f"<head>\n<title>{job['title']}</title>", 1)
    html.write_text(IDS.sub(lambda match: seen.setdefault(match[0], f"i{len(seen)}"), text), encoding="utf-8")


if __name__ == "__main__":
    deepchecks.set_verbosity(logging.ERROR)
    logging.disable(logging.WARNING)
    for name in sys.argv[1:]:
        main(Path(name))
