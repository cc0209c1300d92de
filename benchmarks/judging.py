"""How long a verdict takes: on the demo and on a long holdout; and its bootstrap against a plain loop."""

import json
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from measure import Usage, record, run
from tables import project
from waiting import ENVIRONMENT, INSTALLED, repro

GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org")
LOOPED = 40  # resamples of the plain loop; the vectorised one has 2,000


def review(repeat: int, sizes: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """Measure a review of the demo, of a holdout of so many rows, and the bootstrap alone."""
    with TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        repro(folder, INSTALLED)
        clone = folder / "project"
        change(clone)
        demo = record("review of the demo", [judge(clone) for _ in range(repeat + 1)][1:], limit=5)
        found = [demo, *(long_holdout(rows, clone, out) for rows in sizes)]
    return [*found, *(against_a_loop(rows, repeat) for rows in (116, 10_000))]


def change(clone: Path) -> None:
    """Commit, and make a candidate that differs from the commit."""
    run(["sh", "-c", 'git add -A && exec "$@"', "sh", *GIT, "commit", "-qm", "base", "--allow-empty"], clone)
    params = clone / "params.yaml"
    params.write_text(re.sub(r"(?m)^(\s+strength:).*$", r"\1 1.2", params.read_text("utf-8")), "utf-8")
    run([clone / ".venv/bin/slipway", "repro"], clone, ENVIRONMENT)
    run(["git", "add", "-A"], clone)


def judge(clone: Path) -> Usage:
    """One review; any verdict will do."""
    command = '"$1" review --base HEAD >/dev/null; test -s reports/verdict.json'
    return run(["sh", "-c", command, "sh", clone / ".venv/bin/slipway"], clone, ENVIRONMENT)


def long_holdout(rows: int, clone: Path, out: Path) -> dict[str, Any]:
    """Give the clone a table of which nine tenths are held out, and review it."""
    with project(rows * 10 // 9, out, copies=4) as bare:
        shutil.copy(bare / "src/model/schema.yaml", clone / "src/model/schema.yaml")
        for old in (clone / "data").iterdir():
            old.unlink()
        shutil.copy((bare / "data/table.parquet").resolve(), clone / "data/table.parquet")
    text = (clone / "params.yaml").read_text("utf-8")
    (clone / "params.yaml").write_text(re.sub(r"(?m)^  holdout: .*$", "  holdout: 0.9", text), "utf-8")
    for command in (["dvc", "add", "--quiet", "data"], ["slipway", "repro"]):
        run([clone / ".venv/bin" / command[0], *command[1:]], clone, ENVIRONMENT, timeout=3600)
    change(clone)
    usage = judge(clone)
    held = json.loads((clone / "reports/split.json").read_text("utf-8"))["rows"]["holdout"]
    entry = record(f"review of {held:,} rows", [usage], held, limit=60)
    entry["targets"]["peak <= 4 GB"] = usage.peak <= 4e9
    return entry


def against_a_loop(rows: int, repeat: int) -> dict[str, Any]:
    """Compare resamples a second with a loop that calls scikit-learn for every metric of every resample."""
    import numpy as np
    from sklearn import metrics as sk

    from slipway.metrics import Scorer, bootstrap
    from slipway.predictor import Prediction

    generator = np.random.default_rng(0)
    truth = generator.integers(2, size=rows)
    said = 1 / (1 + np.exp(-(2 * truth - 1 + generator.normal(size=(2, rows)))))
    scorers = [Scorer("binary", truth, Prediction(np.column_stack([1 - p, p]), (p > 0.5).astype(int)), 2) for p in said]
    by_label = (sk.f1_score, sk.precision_score, sk.recall_score, sk.balanced_accuracy_score)
    by_score = (sk.roc_auc_score, sk.average_precision_score, sk.log_loss, sk.brier_score_loss)

    def loop() -> float:
        start = time.perf_counter()
        for _ in range(LOOPED):
            drawn = generator.integers(rows, size=rows)
            for p in said:
                for metric in by_score:
                    metric(truth[drawn], p[drawn])
                for metric in by_label:
                    metric(truth[drawn], p[drawn] > 0.5)
        return (time.perf_counter() - start) / LOOPED

    def vectorised() -> float:
        start = time.perf_counter()
        bootstrap(scorers, 2000, 0)
        return (time.perf_counter() - start) / 2000

    vectorised()
    pairs = [(loop(), vectorised()) for _ in range(repeat)]
    ratios = [slow / fast for slow, fast in pairs]
    entry = record(f"2,000 paired resamples of {rows:,} rows", [Usage(2000 * fast, 0.0, 0) for _, fast in pairs])
    entry |= {"ratio": median(ratios), "ratios": ratios, "ratio_of": "times as fast as a loop over scikit-learn"}
    entry["targets"] = {"ratio >= 20": median(ratios) >= 20}
    return entry
