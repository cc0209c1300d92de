import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import git

from slipway import layout
from slipway.errors import UserError
from slipway.files import write_json, write_text
from slipway.suites import Check, write_suite
from slipway.summary import show

PARAMS = """
gates:
  metrics:
    f1: {min: 0.9}
    log_loss: {max: 0.2}
  worst_slice:
    f1: {min: 0.8}
"""


def measured(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def check(status: Any, name: str = "rows", value: float | None = 3.0, message: str = "") -> Check:
    return Check(name, status, "≥ 50", value, message)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the reports of a run in which everything holds."""
    monkeypatch.chdir(tmp_path)
    write_text(layout.PARAMS, PARAMS)
    write_json(
        layout.METRICS,
        {
            "holdout": {"roc_auc": measured(0.99), "f1": measured(0.95), "log_loss": measured(0.1)},
        },
    )
    slices = [
        {"column": "area", "value": "< 500", "rows": 60, "metrics": {"f1": measured(0.97), "log_loss": measured(0.9)}},
        {"column": "area", "value": "≥ 500", "rows": 54, "metrics": {"f1": measured(0.85), "log_loss": measured(0.1)}},
        {"column": "area", "value": "(missing)", "rows": 20, "metrics": {"log_loss": measured(0.1)}},
    ]
    write_json(layout.SLICES, {"slices": slices, "skipped": []})
    write_json(
        layout.TRAINING_REPORT,
        {
            "task": "binary",
            "model": "linear",
            "features": 30,
            "threshold": 0.4,
            "cross_validation": {"f1": {"mean": 0.94, "std": 0.02}, "roc_auc": {"mean": None, "std": None}},
            "warnings": [],
        },
    )
    write_json(layout.SPLIT_REPORT, {"rows": {"train": 455, "holdout": 114, "without target": 0}})
    parity = {"difference": 3e-7, "tolerance": 1e-4}
    write_json(layout.EXPORT_REPORT, {"format": "onnx", "reason": None, "parity": parity, "bytes": 1298})
    write_suite(layout.SUITES / "data.json", "data", [check("passed"), check("warned", "drift of 'age'")])
    write_suite(layout.SUITES / "model.json", "model", [check("passed")])
    return tmp_path


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | values)


def test_a_run_in_which_everything_holds_fits_a_screen_and_exits_with_0(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert show() == 0

    out = capsys.readouterr().out
    assert "linear (binary): 30 columns, 455 training rows, 114 held out" in out
    assert re.search(r"f1 +0\.9500 +0\.9400 to 0\.9600 +0\.9400 ± 0\.0200 +≥ 0\.9 +pass", out)
    assert re.search(r"log_loss +0\.1000 .* ≤ 0\.2 +pass", out)
    assert re.search(r"roc_auc +0\.9900 +0\.9800 to 1\.0000 *\n", out)  # reported, not judged
    assert "Suite data: 1 passed, 1 warned" in out
    assert "warned: drift of 'age': 3, expected ≥ 50" in out
    assert "Every threshold and check holds." in out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_a_missed_threshold_is_marked_and_exits_with_1(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(layout.PARAMS, PARAMS.replace("0.9}", "0.96}"))
    assert show() == 1
    out = capsys.readouterr().out
    assert re.search(r"f1 .* ≥ 0\.96 +FAIL", out)
    assert out.endswith("Mend the cause, or change what params.yaml expects: gates.metrics.f1\n")
    assert "A threshold is missed or a check failed." in out


def test_a_gate_on_a_metric_without_a_value_is_missed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(layout.PARAMS, PARAMS.replace("log_loss: {max", "brier: {max"))
    assert show() == 1
    assert re.search(r"brier +undefined .*FAIL", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("status", "shown", "code"), [("failed", "failed", 1), ("error", "could not run", 1), ("warned", "warned", 0)]
)
def test_a_check_that_did_not_pass_is_one_line(
    status: str, shown: str, code: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [check("passed"), check(status, "rows of a very long name " * 5, None, "class 'a' is gone")]
    write_suite(layout.SUITES / "model.json", "model", checks)
    assert show() == code
    lines = capsys.readouterr().out.splitlines()
    assert f"Suite model: 1 passed, 1 {shown}" in lines
    (line,) = [line for line in lines if line.startswith(f"  {shown}: rows")]
    assert line.endswith("expected ≥ 50 (class 'a' is gone)")


def test_many_failures_are_cut_short_with_a_pointer(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(layout.SUITES / "data.json", "data", [check("failed", f"check {number}") for number in range(13)])
    assert show() == 1
    out = capsys.readouterr().out
    assert "Suite data: 13 failed" in out
    assert "check 9" in out
    assert "check 10" not in out
    assert "and 3 more in reports/suites/data.json" in out


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ("{worst_slice: {f1: {min: 0.8}}, metrics: {log_loss: {max: 2}}}", "Worst slice by f1: area ≥ 500, 54 rows"),
        ("{metrics: {log_loss: {max: 2}}}", "Worst slice by log_loss: area < 500, 60 rows"),
        ("{}", "Worst slice: none was scored"),  # by roc_auc, which no slice has
    ],
)
def test_the_worst_slice_is_by_the_first_gated_metric(
    gates: str, expected: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(layout.PARAMS, f"gates: {gates}")
    assert show() == 0
    assert expected in capsys.readouterr().out


def test_a_worst_slice_below_its_threshold_exits_with_1(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(layout.PARAMS, PARAMS.replace("0.8}", "0.86}"))
    assert show() == 1
    assert "0.8500 (0.8400 to 0.8600), expected ≥ 0.86" in capsys.readouterr().out


def test_what_a_person_should_know_of_the_model_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(layout.TRAINING_REPORT, warnings=["column 'notes' is dropped: free text"])
    change(layout.EXPORT_REPORT, format="skops", reason="no converter for Thing", parity=None)
    change(layout.SLICES, skipped=[{"column": "area", "value": "(missing)", "rows": 3}])
    assert show() == 0
    out = capsys.readouterr().out
    assert "warning: column 'notes' is dropped: free text" in out
    assert "Model file: skops, 1,298 bytes\n  not ONNX: no converter for Thing" in out
    assert "Slices with too few rows to score: 1" in out


def test_regression_has_its_own_metrics_and_numbers_of_any_size(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(layout.TRAINING_REPORT, task="regression", threshold=None, cross_validation={})
    holdout = {"rmse": measured(54321.4), "mae": measured(12.3456), "r2": measured(0.5), "mape": measured(3e8)}
    change(layout.METRICS, holdout=holdout)
    write_text(layout.PARAMS, "gates: {metrics: {rmse: {max: 60000}}}")
    assert show() == 0
    out = capsys.readouterr().out
    assert re.search(r"rmse +54,321 .* ≤ 60,000 +pass", out)
    assert re.search(r"mae +12\.35 ", out)
    assert re.search(r"mape +3\.000e\+08 ", out)
    assert "Positive from" not in out


def test_a_name_from_the_data_neither_styles_nor_steers_the_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(layout.SUITES / "data.json", "data", [check("failed", "[red]a[/red] \x1b[2J")])
    show()
    out = capsys.readouterr().out
    assert "[red]a[/red] ?[2J" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("report", [layout.METRICS, layout.TRAINING_REPORT, layout.SUITES / "model.json"])
def test_a_missing_damaged_or_foreign_report_is_one_clear_line(report: Path, run: Path) -> None:
    write_text(report, "[]")
    with pytest.raises(UserError, match=r"reports: a report lacks .*make repro"):
        show()
    write_text(report, "{")
    with pytest.raises(UserError, match=f"{report}: not valid JSON"):
        show()
    report.unlink()
    with pytest.raises(UserError, match=f"{report}: no such file; run `make repro`"):
        show()


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from slipway.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "summary", *arguments],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        check=False,
    )


def test_the_command_prints_json_and_says_by_its_exit_code_what_held(run: Path) -> None:
    held = cli("--json")
    assert held.returncode == 0
    found = json.loads(held.stdout)
    assert found["passed"] is True
    assert found["metrics"]["f1"]["expected"] == "≥ 0.9"
    assert found["worst_slice"]["slice"] == {"column": "area", "value": "≥ 500", "rows": 54}
    assert found["suites"]["data"]["warned"] == 1

    write_text(layout.PARAMS, PARAMS.replace("0.9}", "0.96}"))
    failed = cli("--json")
    assert (failed.returncode, json.loads(failed.stdout)["passed"]) == (1, False)

    layout.METRICS.unlink()
    missing = cli()
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "error: reports/metrics.json: no such file; run `make repro`\n"


def test_a_terminal_without_unicode_gets_plain_text(run: Path) -> None:
    plain = cli(PYTHONIOENCODING="ascii")
    assert plain.returncode == 0
    assert ">= 0.9" in plain.stdout
    assert "+- 0.0200" in plain.stdout


def test_a_suite_without_checks_never_passes(run: Path) -> None:
    assert show() == 0
    for checks in ([], [{"name": "a", "status": "fine", "condition": "", "value": 1, "message": ""}]):
        write_json(layout.SUITES / "model.json", {"checks": checks})
        with pytest.raises(UserError, match="run `make repro`"):
            show()


def test_what_changed_since_the_run_is_told_and_changes_no_verdict(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = (
        "    cmd: judge\n    params: [gates]\n    deps: [judge.py]\n    metrics: [reports/new.json: {cache: false}]\n"
    )
    write_text(Path("dvc.yaml"), f"stages:\n  judge:\n{stage}")
    write_text(Path("judge.py"), "")
    gates = PARAMS.strip().replace("\n", "\n        ")
    empty = "d41d8cd98f00b204e9800998ecf8427e"  # the MD5 of nothing  # pragma: allowlist secret
    deps = f"    deps:\n    - {{path: judge.py, hash: md5, md5: {empty}}}\n"
    outs = f"    outs:\n    - {{path: reports/new.json, hash: md5, md5: {empty}}}\n"
    lock = f"    cmd: judge\n    params:\n      params.yaml:\n        {gates}\n{deps}{outs}"
    write_text(Path("dvc.lock"), f"schema: '2.0'\nstages:\n  judge:\n{lock}")
    git(run, "init", "-q")
    git(run, "add", "dvc.yaml", "dvc.lock", "judge.py", "params.yaml")
    assert show() == 0
    assert "changed since" not in capsys.readouterr().out  # that a new report is not in git yet is no news here

    write_text(Path("judge.py"), "new")
    write_text(layout.PARAMS, PARAMS.replace("0.9}", "0.91}"))

    assert show() == 0
    out = capsys.readouterr().out
    assert "params.yaml, judge.py changed since this run; `make repro` brings it up to date" in out
    assert "Every threshold and check holds." in out
    assert json.loads(cli("--json").stdout)["changed_since"] == ["params.yaml", "judge.py"]
