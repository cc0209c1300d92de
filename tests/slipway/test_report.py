"""The report that people read: what it says of each kind of verdict, and that no name in it can say anything else.

The expected reports are in `golden/`; `UPDATE_GOLDEN=1 uv run pytest tests/slipway/test_report.py` writes them anew, to
be read in the difference before they are committed.
"""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from slipway.review.report import LIMIT, as_markdown
from slipway.review.report.markdown import BREAK, LONGEST, code, escape, tag
from slipway.review.verdict import Verdict

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "a|b`c`*d*<script>alert(1)</script>[x](http://evil.example)@admin #1 $x$ :smile:\n## no ![i](y)"


def difference(metric: str, base: float, candidate: float, spread: float, **more: Any) -> dict[str, Any]:
    change = candidate - base
    numbers = {"base": base, "candidate": candidate, "difference": change}
    ends = {"low": change - spread, "high": change + spread, "worse": 0.2}
    return {"metric": metric, "higher_is_better": metric != "log_loss"} | numbers | ends | more


def gate(name: str, status: str = "pass", reason: str = "all is well", **more: Any) -> dict[str, Any]:
    blocks = status in {"fail", "undecided"}
    return {"name": name, "status": status, "reason": reason, "parameter": f"gates.{name}", "blocks": blocks} | more


def check(name: str, status: str = "passed", **more: Any) -> dict[str, Any]:
    found = {
        "condition": "Share is at most 5%",
        "value": 0.01,
        "message": "",
        "parameter": "suites.data.max_duplicates",
    }
    return {"name": name, "status": status, "required": True} | found | more


SIDE = {"data": "da" * 16, "lock": "10" * 32, "model": "0e" * 32}
PASSED: dict[str, Any] = {
    "verdict": "pass",
    "reason": "3 of 3 gates pass",
    "candidate": {"revision": "workspace", "commit": "c" * 40, "source": "workspace", **SIDE},
    "base": {"revision": "origin/main", "commit": "b" * 40, "source": "dvc", **SIDE},
    "comparison": {
        "rows": 1160,
        "resamples": 2000,
        "confidence": 0.95,
        "seed": 0,
        "metrics": [
            difference("roc_auc", 0.971, 0.984, 0.006),
            difference("log_loss", 0.2, 0.19, 0.02),
            difference("f1", 0.9, 0.9, 0.0),
        ],
        "slices": [
            {"column": "region", "value": "north", "rows": 400, "difference": difference("f1", 0.9, 0.95, 0.01)},
            {"column": "region", "value": "south", "rows": 760, "difference": difference("f1", 0.9, 0.89, 0.04)},
        ],
    },
    "gates": [
        gate("metrics.roc_auc", reason="roc_auc on the holdout is 0.984, expected ≥ 0.97", value=0.984, limit=0.97),
        gate("not_worse.roc_auc", limit=0.02),
        gate("suites.data"),
        gate("fairness", "not applicable", "src/model/schema.yaml names no sensitive column"),
    ],
    "suites": {"data": [check("few rows repeat another"), check("the holdout has enough rows")]},
    "changes": {
        "settings": [{"name": "train.linear.strength", "base": "1.0", "candidate": "0.5"}],
        "files": [{"path": "params.yaml", "added": 1, "removed": 1}],
    },
    "curve": {"kind": "roc", "x": [0, 0.5, 1], "base": [0, 0.9, 1], "candidate": [0, 0.95, 1]},
    "run": {"stages": {"prepare": None, "train": 4.75, "export": 2.7}, "mlflow": "0123abcd"},
    "created": "2026-01-15T12:00:00+00:00",
    "seconds": 2.34,
}
FAILED = PASSED | {
    "verdict": "fail",
    "reason": "not_worse.roc_auc: roc_auc went from 0.971 to 0.9, so it is worse by more than 0.02 (and 1 more)",
    "comparison": PASSED["comparison"]
    | {
        "metrics": [difference("roc_auc", 0.971, 0.9, 0.03)],
        "slices": [{"column": "region", "value": "north", "rows": 9, "difference": difference("f1", 0.9, 0.7, 0.1)}],
    },
    "gates": [
        gate("metrics.roc_auc", "fail", "roc_auc on the holdout is 0.9, expected ≥ 0.97", limit=0.97),
        gate("not_worse.roc_auc", "fail", "roc_auc went from 0.971 to 0.9, a change of -0.071", limit=0.02),
        gate(
            "drift",
            "fail",
            "1 of 3 inputs moved since the base was trained: 'age'",
            blocks=False,
            waiver={"gate": "drift", "reason": "the new sensor is on its way", "until": "2026-02-01"},
        ),
        gate("suites.data", "fail", "1 of 2 checks failed: few rows repeat another"),
    ],
    "suites": {
        "data": [
            check("few rows repeat another", "failed", value=0.2, message="Found 20% duplicate data"),
            check("no column gives the target away", "error", value=None, message="ValueError: no such column"),
        ]
    },
    "changes": {
        "settings": [
            {"name": "gates.metrics.roc_auc.min", "base": "0.99", "candidate": "0.97", "rule": True},
            {"name": "gates.metrics.f1.min", "base": "0.9", "candidate": None, "rule": True},
        ],
        "packages": [{"name": "polars", "base": '"2.1.0"', "candidate": '"2.2.0"'}],
    },
}
UNDECIDED = PASSED | {
    "verdict": "undecided",
    "reason": "not_worse.roc_auc: the base cannot be compared: split.holdout changed",
    "base": PASSED["base"] | {"note": "the base cannot be compared: split.holdout changed"},
    "comparison": PASSED["comparison"]
    | {
        "metrics": [
            {"metric": "roc_auc", "higher_is_better": True, "base": None, "candidate": 0.98},
        ],
        "slices": [],
    },
    "gates": [gate("not_worse.roc_auc", "undecided", "the base cannot be compared: split.holdout changed", limit=0.02)],
    "curve": None,
}
FIRST = UNDECIDED | {
    "verdict": "pass",
    "reason": "1 of 1 gates pass",
    "base": {"revision": "main", "commit": "b" * 40, "source": "none", "note": "it has no model"},
    "gates": [gate("metrics.roc_auc", limit=0.97), gate("not_worse.roc_auc", "not applicable", "no model yet")],
    "run": None,
}
DATA_ONLY = PASSED | {
    "candidate": PASSED["candidate"] | {"data": "ab" * 16},
    "gates": [*PASSED["gates"], gate("drift", reason="no input moved")],
    "changes": {
        "rows": {"base": 11000, "candidate": 12345, "added": 1400, "removed": 55, "changed": 7},
        "columns": [{"name": "colour", "base": None, "candidate": '{"type": "category"}'}],
        "notes": ["dependencies: uv.lock: cannot be read"],
    },
}
CODE_ONLY = PASSED | {"changes": {"files": [{"path": "src/model/pipeline.py", "added": 12, "removed": 3}]}}
WIDE = FAILED | {
    "gates": [gate(f"fairness.column {n}.error", "fail", "the gap is 0.5, expected ≤ 0.1" * 5) for n in range(2000)],
    "changes": {
        "columns": [{"name": f"column {n}", "base": None, "candidate": '{"type": "number"}'} for n in range(2000)],
        "files": [{"path": f"src/{n}.py", "added": 1, "removed": 0} for n in range(2000)],
    },
    "suites": {"data": [check(f"check {n}", "failed", message="it failed " * 20) for n in range(500)]},
}
EVIL = FAILED | {
    "reason": HOSTILE,
    "base": FAILED["base"] | {"revision": HOSTILE, "commit": HOSTILE, "note": HOSTILE},
    "gates": [gate(HOSTILE, "fail", HOSTILE), gate("x", "fail", waiver=None)],
    "suites": {HOSTILE: [check(HOSTILE, "failed", message=HOSTILE, condition=HOSTILE)]},
    "comparison": FAILED["comparison"]
    | {
        "metrics": [difference(f"```\n{HOSTILE}", 0.9, 0.8, 0.1)],
        "slices": [{"column": HOSTILE, "value": HOSTILE, "rows": 9, "difference": difference(HOSTILE, 0.9, 0.7, 0.1)}],
    },
    "changes": {
        "settings": [{"name": HOSTILE, "base": HOSTILE, "candidate": HOSTILE, "rule": True}],
        "columns": [{"name": HOSTILE, "base": None, "candidate": None}],
        "files": [{"path": HOSTILE, "added": 1, "removed": 1}],
        "packages": [{"name": HOSTILE, "base": HOSTILE, "candidate": HOSTILE}],
        "notes": [HOSTILE],
    },
    "run": {"stages": {HOSTILE: 1.0}, "mlflow": HOSTILE},
}
CASES = {
    "pass": PASSED,
    "fail": FAILED,
    "undecided": UNDECIDED,
    "first": FIRST,
    "data": DATA_ONLY,
    "code": CODE_ONLY,
    "hostile": EVIL,
}


def report(content: dict[str, Any], *, page: bool = False) -> str:
    return as_markdown(Verdict.model_validate(content), page=page)


class Tags(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def drawn(markdown: str) -> Tags:
    return Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


@pytest.mark.parametrize("case", CASES)
def test_the_report_of_each_kind_of_verdict(case):
    text, file = report(CASES[case]), GOLDEN / f"{case}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_first_line_says_the_verdict_and_why():
    assert (
        report(FAILED)
        .splitlines()[0]
        .startswith("### ❌ Fail: not\\_worse.roc\\_auc: roc\\_auc went from 0.971 to 0.9")
    )


def test_a_report_beyond_the_limit_is_cut_with_a_notice_and_the_page_is_whole():
    text = report(WIDE)
    assert LIMIT / 4 < len(text) <= LIMIT
    assert "more: see review.html" in text
    assert text.count("<details>") == text.count("</details>")
    page = report(WIDE, page=True)
    assert "column 1999" in page
    assert "see review.html" not in page


def test_nothing_in_a_name_or_message_becomes_markup():
    sound, evil = drawn(report(FAILED)), drawn(report(EVIL))
    assert evil.tags <= sound.tags
    assert "a" not in evil.tags | sound.tags
    assert "img" not in evil.tags
    assert evil.attributes <= sound.attributes | {"class"}
    assert "<script>alert(1)</script>" in evil.text  # as text


@given(st.text(min_size=1))
def test_a_text_is_shown_as_it_is(text):
    line = escape(text)
    shown = drawn(f"| a |\n|---|\n| x{line}y |\n")
    assert shown.tags <= {"table", "thead", "tbody", "tr", "th", "td"}
    said = shown.text.replace(BREAK, "").split("x", 1)[1].rsplit("y", 1)[0]
    expected = "".join(c if c.isprintable() else "?" for c in re.sub(r"\s+", " ", text)).replace(BREAK, "")
    if len(text) <= LONGEST:
        assert said.strip() == expected.strip()


@pytest.mark.parametrize("write", [code, tag])
@given(text=st.text(alphabet=st.sampled_from("ab`|<>&*_[]()!@# \\\"'{}-=~$:\n"), min_size=1, max_size=40))
def test_code_is_shown_as_it_is(write, text):
    shown = drawn(f"| a |\n|---|\n| {write(text)} |\n")
    assert shown.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert re.sub(r"\s+", " ", text).strip() in re.sub(r"\s+", " ", shown.text.replace(BREAK, ""))


LINKS = ["@admin", "#12", "GH-12", "_www.evil.example", "https://evil.example !", ":tada:", "$x$"]


@pytest.mark.parametrize("write", [escape, tag])
@pytest.mark.parametrize("text", LINKS)
def test_what_github_would_link_or_draw_is_broken(text, write):
    assert BREAK in write(text)


@pytest.mark.parametrize(
    "more",
    [
        {"curve": {"kind": "roc", "x": [0.5] * 100_000, "candidate": [0.5] * 100_000}},
        {"suites": {f"suite {n}": [check("x", "failed")] for n in range(3000)}},
        {"comparison": PASSED["comparison"] | {"metrics": [difference(f"m{n}", 1, 2, 1) for n in range(3000)]}},
        {"run": {"stages": {f"stage {n}": 1.0 for n in range(5000)}}},
        {"suites": {"&" * 400 + str(n): [check("&" * 400, "failed", message="&" * 400)] for n in range(300)}},
        {"changes": {"notes": ["a note " * 40] * 5000}},
    ],
)
def test_no_part_of_a_verdict_makes_the_comment_longer_than_the_limit(more):
    text = report(PASSED | more)
    assert len(text) <= LIMIT
    assert text.startswith("### ✅ Pass")


def test_a_long_text_is_cut():
    assert len(escape("a" * 5000)) == LONGEST


def test_base_settings_that_cannot_be_read_are_said_where_the_rules_are():
    text = report(PASSED | {"changes": {"notes": ["settings: params.yaml of main: gates.old: unknown key"]}})
    assert "#### The rules of the base cannot be read\n" in text
    assert "Nothing that git or DVC knows of" not in text


def test_other_data_is_never_nothing():
    text = report(PASSED | {"changes": {}, "candidate": PASSED["candidate"] | {"data": "ab" * 16}})
    assert "- **Data**: it is another" in text


def test_the_limit_is_shown_with_the_sign_that_it_has():
    upper = gate("metrics.roc_auc", reason="roc_auc on the holdout is 0.98, expected ≤ 0.99", limit=0.99)
    assert "≤ 0.99 ✅" in report(PASSED | {"gates": [upper]})


def test_numbers_of_any_size_are_drawn():
    curve = {"kind": "error", "x": [1, 2], "base": [1.2e7, 1e-7], "candidate": [3e15, 0]}
    assert "line [12000000, 0.0000001]" in report(PASSED | {"curve": curve})


def test_a_threshold_that_is_missed_by_little_reads_as_missed():
    missed = gate("metrics.roc_auc", "fail", "roc_auc is 0.96996, expected ≥ 0.97", limit=0.97)
    metrics = [difference("roc_auc", 0.98, 0.96996, 0.01)]
    report = as_markdown(
        Verdict.model_validate(
            PASSED | {"gates": [missed], "comparison": PASSED["comparison"] | {"metrics": metrics, "slices": []}}
        )
    )
    (row,) = [line for line in report.splitlines() if line.startswith("| ❌ `roc_auc`")]
    assert "| 0.96996 |" in row
    assert re.search(r"≥\s0\.97\s❌", row)


def test_a_rule_of_the_contract_stands_among_the_rules():
    changed = {"name": "age|x", "base": '{"monotonic": "increasing"}', "candidate": "{}", "rule": True}
    report = as_markdown(Verdict.model_validate(PASSED | {"changes": {"columns": [changed]}}))
    assert "#### The rules were changed" in report
    assert '| <code>schema.yaml: age&#124;x</code> | {"monotonic": "increasing"} | {} |' in report


def test_a_commit_that_is_none_is_not_put_into_a_command():
    assert "git fetch origin COMMIT && git" in report(
        PASSED | {"candidate": PASSED["candidate"] | {"commit": "$(reboot)"}}
    )
