"""Bringing a report to where people look: the job's summary always, one comment on the pull request where that may be.

CML writes the comment where it is there; where it is not, or fails, GitHub's REST interface does, in the same place. No
failure here changes the outcome of a run: it is said in the log, and in the summary.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway.delivery import lock
from slipway.delivery.git import BOT
from slipway.delivery.github.api import Event, GitHub, PullRequest, pull_request
from slipway.errors import UserError
from slipway.files import write_text
from slipway.review.report import as_markdown
from slipway.review.report.markdown import escape
from slipway.review.verdict import Verdict
from slipway.settings import describe

MARKER = "<!-- slipway review: run {run} of {head} -->"
MARKED = re.compile(r"^<!-- slipway review: run (\d{1,18}) of ([0-9a-f]+) -->$", re.MULTILINE)
ABOUT_PULL_REQUESTS = {"pull_request", "workflow_run"}
CML_TITLE = "Slipway"
CML_WATERMARK = re.compile(rf'^!\[\]\(https://cml\.dev/watermark\.png#\w+ "CML watermark {CML_TITLE}"\)$', re.MULTILINE)
CML_PAGE = 30  # comments; CML looks for its own among the first so many only
LARGEST = 2**20  # bytes of a verdict
STALE_SHOWN = 10  # reasons why a lock is stale
STRANGER = (
    "> [!NOTE]\n> This comes from the run of a fork, whose code wrote it, and whose checks ran that code. Read what it "
    "changes in `.github/`, the `Makefile`, `src/slipway/` and `params.yaml` before you believe it.\n\n"
)
NO_REPORT = "### ❓ No verdict\n\nThe review did not get as far as a report; the log of the failed step says why.\n"
STALE = """\
### ❌ Fail: `dvc.lock` does not belong to this tree

So nobody knows what the code of this branch would make, and nothing was judged:

{problems}

Two commands at home mend it, before a push: `make repro`, and `git commit -m "New results" dvc.lock reports`. On GitHub
a comment that is `/reproduce` and nothing else does, of somebody who may write here; it first merges the branch that
this one goes into, if that has got other results.
"""


def read_verdict(path: Path) -> Verdict:
    """Read a verdict that anybody may have written.

    Keys that this version does not know are passed over: within one version of the file keys are only added.

    Raises:
        UserError: It is missing, too large, or no verdict.
    """
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST:
            raise UserError(f"{path}: is no file of at most {LARGEST:,} bytes")
        return Verdict.model_validate_json(path.read_bytes(), extra="ignore")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise UserError(f"{path}: is no verdict: {describe(error)[:300]}") from None


@dataclass(frozen=True)
class Told:
    """Where a report went; `problem` says why it went no further."""

    where: tuple[str, ...]
    problem: str = ""


def tell(path: Path) -> Told:
    """Put the report of a verdict into the job's summary, and onto the pull request that the event is about.

    Args:
        path: The verdict; the report is rendered from it anew.

    Returns:
        Where it went.
    """
    verdict = None
    try:
        verdict = read_verdict(path)
        report, problem = as_markdown(verdict), ""
    except UserError as error:
        report, problem = _without_verdict(), str(error)
    except Exception as error:  # whatever a stranger's verdict does to the rendering, the run goes on
        report, problem = NO_REPORT, f"{path}: cannot be rendered: {type(error).__name__}"
    where = [_summarise(report)] if "GITHUB_STEP_SUMMARY" in os.environ else []
    if os.environ.get("GITHUB_EVENT_NAME") not in ABOUT_PULL_REQUESTS:
        return Told(tuple(where), problem)
    try:
        where.append(_comment(report, verdict))
    except UserError as error:
        problem = f"{problem}; {error}" if problem else str(error)
        if where:
            _summarise(f"\nNot on the pull request: {escape(problem)}\n")
    return Told(tuple(where), problem)


def _without_verdict() -> str:
    """What to say where there is no verdict: that the lock is stale, if it is, and this is the tree that was run."""
    if os.environ.get("GITHUB_EVENT_NAME") == "workflow_run":
        return NO_REPORT
    try:
        problems = lock.check()
    except UserError:
        return NO_REPORT
    lines = [f"- **{escape(each.stage or each.path)}**: {escape(each.message)}" for each in problems[:STALE_SHOWN]]
    if len(problems) > STALE_SHOWN:
        lines.append(f"- and {len(problems) - STALE_SHOWN} more")
    return STALE.format(problems="\n".join(lines)) if problems else NO_REPORT


def _summarise(text: str) -> str:
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(text)
    return "the job's summary"


def _comment(report: str, verdict: Verdict | None) -> str:
    """Write the comment, or write it anew in its place; say which.

    Raises:
        UserError: There is no pull request, no right to comment, or something newer than this.
    """
    event = Event.from_environment()
    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        raise UserError("GITHUB_TOKEN is not set, so there is no comment")
    github = GitHub(event.repository, token)
    try:
        pull = pull_request(event, github, verdict.base.revision if verdict else "")
        if not pull.own and event.name != "workflow_run":
            raise UserError("the pull request comes from a fork, whose run may not comment; comment.yaml does")
        now = github.call("GET", f"pulls/{pull.number}")["head"]["sha"]
        if now != pull.head:
            raise UserError(f"{pull.head[:9]} is no longer the head of #{pull.number}; {now[:9]} is reviewed by itself")
        if verdict and verdict.candidate.commit != pull.head:
            raise UserError(f"the verdict is of another commit than {pull.head[:9]}, the head of #{pull.number}")
        if not pull.own:
            report = STRANGER + report
        return _write(github, pull, f"{report}\n{MARKER.format(run=event.run, head=pull.head)}\n", event.run)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"the event or GitHub's answer is not as expected: {type(error).__name__} {error}") from None


def own_comment(github: GitHub, number: int) -> tuple[int, dict[str, Any] | None]:
    """Our comment on a pull request, if there is one, and its place among all."""
    place, ours = 0, None
    for at, comment in enumerate(github.pages(f"issues/{number}/comments")):
        if (comment.get("user") or {}).get("login") == BOT and MARKED.search(comment.get("body") or ""):
            place, ours = at, comment
    return place, ours


def _write(github: GitHub, pull: PullRequest, body: str, run: int) -> str:
    place, ours = own_comment(github, pull.number)
    found = MARKED.search(ours["body"]) if ours else None
    if found and int(found[1]) > run:
        raise UserError(f"a newer run has commented on #{pull.number}")
    watermark = CML_WATERMARK.search(ours["body"]) if ours else None
    problem = ""
    if shutil.which("cml") and (ours is None or (watermark and place < CML_PAGE)):
        problem = _by_cml(pull, body)
        if not problem:
            return f"a comment on #{pull.number}, by CML"
    aside = f" (CML failed: {problem})" if problem else ""
    content: dict[str, Any] = {"body": body}
    if ours is None:
        github.call("POST", f"issues/{pull.number}/comments", json=content)
        return f"a new comment on #{pull.number}{aside}"
    if watermark:  # or CML would not know it again, and write another
        content["body"] += f"\n{watermark[0]}\n"
    github.call("PATCH", f"issues/comments/{int(ours['id'])}", json=content)
    return f"the comment on #{pull.number}, in place{aside}"


def _by_cml(pull: PullRequest, body: str) -> str:
    """Have CML write the comment; empty if it did, else why not."""
    file = Path(os.environ.get("RUNNER_TEMP", ".dvc/tmp")) / "slipway-comment.md"
    write_text(file, body)
    command = ["cml", "comment", "update", "--publish=false", f"--target=pr/{pull.number}"]
    command += [f"--watermark-title={CML_TITLE}", str(file)]
    environment = os.environ | {"ITERATIVE_DO_NOT_TRACK": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    finally:
        file.unlink(missing_ok=True)
    if done.returncode == 0:
        return ""
    said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return (said or [f"exit code {done.returncode}"])[-1].strip()[:200]
