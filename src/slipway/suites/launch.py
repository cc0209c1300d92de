"""Handing tables to deepchecks in its own environment, and reading what it found."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.deepchecks import run_deepchecks
from slipway.errors import UserError
from slipway.files import console, scratch_folder
from slipway.suites import Check
from slipway.suites.job import Job, write_job

NAMES = {
    "min_holdout_rows": "the holdout has enough rows",
    "max_duplicates": "few rows repeat another",
    "max_conflicting_labels": "few rows are alike in all but the target",
    "max_string_variants": "no category is written in two ways",
    "max_predictive_power": "no column alone gives the target away",
    "max_id_power": "neither id nor time gives the target away",
    "max_new_labels": "training saw every class of the holdout",
    "max_new_categories": "training saw nearly every category of the holdout",
    "max_shared_rows": "few rows of the holdout are training rows too",
    "max_shared_ids": "no id is on both sides of the split",
    "max_overlap": "the holdout is later than the training rows",
    "max_drift": "no column is distributed otherwise in the holdout",
    "max_label_drift": "the target is distributed alike in the holdout",
    "max_multivariate_drift": "no classifier tells the holdout from training rows",
    "max_degradation": "the holdout scores about as in cross-validation",
    "min_gain": "the model gains on always saying the same",
    "min_class_auc": "every class is told from the rest",
    "max_prediction_drift": "predictions are distributed alike in the holdout",
    "min_brier_skill": "probabilities are better than the shares of the classes",
    "max_systematic_error": "errors are not all to one side",
    "min_weak_segment": "no segment is much weaker than the rest",
}


def run_suite(job: Job, report: Path) -> list[Check]:
    """Run a suite.

    Args:
        job: What it looks at.
        report: Where its HTML report goes.

    Returns:
        One check for each condition that applies.

    Raises:
        UserError: deepchecks' environment cannot be installed, or it broke.
    """
    with scratch_folder(layout.ARTIFACTS) as folder:
        sampled = write_job(job, folder)
        with console().status(f"deepchecks on the {job.suite}"):
            run_deepchecks(folder)
        checks = read_results(job, folder, sampled)
        report.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / "report.html", report)
    return checks


def read_results(job: Job, folder: Path, sampled: str = "") -> list[Check]:
    """What came of a job, in the order of its conditions.

    Raises:
        UserError: There are no results, or a condition is not among them.
    """
    try:
        found = {entry["condition"]: entry for entry in json.loads((folder / "results.json").read_text("utf-8"))}
        wanted = json.loads((folder / "job.json").read_text("utf-8"))["conditions"]
        return [check_of(found[name], job, sampled) for name, limit in wanted.items() if limit is not None]
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"deepchecks left something out ({error}); run `make repro` again") from None


def check_of(found: Mapping[str, Any], job: Job, sampled: str) -> Check:
    """One outcome as the reports hold it."""
    name = found["condition"]
    return Check(
        name=NAMES[name],
        status=found["status"],
        condition=found["expected"] or f"{name}: {found['limit']:g}",
        value=found["value"],
        message=f"{found['said']}{sampled}"[:600],
        parameter=f"suites.{job.suite}.{name}",
        required=name not in job.settings.may_not_run,
    )
