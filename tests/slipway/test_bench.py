"""The benchmark runs and fills its report; how fast anything is, no test says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, bench


@pytest.mark.slow
def test_prepare_is_measured_against_a_bare_copy(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "prepare", "--rows", "1e4", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    part = json.loads((tmp_path / "results.json").read_text())["prepare"]
    copy, prepare = part["records"]
    for entry in (copy, prepare):
        assert entry["rows"] == 10_000
        assert entry["what"] in done.stdout
        assert 0 < entry["seconds_min"] <= entry["seconds"] <= entry["seconds_max"] < 120
        assert entry["rows_per_second"] * entry["seconds"] == entry["rows"]
        assert entry["cpu_seconds"] > 0
        assert 20 < entry["peak_mb"] < 5_000
    assert min(prepare["ratios"]) <= prepare["ratio"] <= max(prepare["ratios"])
    assert {"commit", "cores", "memory_gb", "load", "python", "polars"} <= part["machine"].keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "results.json"]


def test_a_table_that_does_not_fit_on_the_disk_is_refused_before_it_is_made(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "prepare", "--rows", "1e15")
    assert done.returncode == 1
    assert "1,000,000,000,000,000 rows need 750000000.0 GB of disk" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["data"]


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ("import sys; print('one'); sys.exit('two')", "ended with 1: one | two"),
        ("import time; print('waiting', flush=True); time.sleep(60)", "took more than 1 s: waiting"),
    ],
)
def test_a_child_that_fails_or_takes_too_long_ends_the_benchmark(child: str, message: str) -> None:
    script = "import sys, pathlib, measure; measure.run([sys.executable, '-c', sys.argv[1]], pathlib.Path(), timeout=1)"
    command = [sys.executable, "-c", script, child]
    done = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert message in done.stderr
