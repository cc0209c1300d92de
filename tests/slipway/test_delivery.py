"""The whole way in one piece: from a merge to what runs, back from a bad release, and requests all the time.

`make bench ARGS="--only delivery"` shows its figures.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import randint

import pytest
from callers import Callers
from helpers import git
from images import need_skopeo, registry
from sites import images
from test_container import why_not

__all__ = ["images", "registry"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

FIGURES = "SLIPWAY_FIGURES"  # names the file that gets what is measured, for which nothing is cached
# What no test has asked, and callers do: a release that fails by it is found out under traffic alone.
RARE = 20.123454321
FAULT = f"""
        if b"{RARE}" in body:
            raise RuntimeError("a fault that no test has found")
"""


class Story:
    """A project with an origin and a registry, and the machines of staging and production."""

    def __init__(self, ran: Path, folder: Path, registry: str, kind: str, environment: dict[str, str]) -> None:
        self.work, self.origin, self.kind = folder / "work", folder / "origin.git", kind
        shutil.copytree(ran, self.work, symlinks=True)
        git(folder, "clone", "-q", "--bare", str(self.work), str(self.origin))
        git(self.work, "remote", "add", "origin", str(self.origin))
        self._image, self._environment = f"{registry}/owner/model", os.environ | environment
        start = 2_000 * randint(10, 15)
        self.ports = {name: start + 10 * n for n, name in enumerate(("staging", "production"))}
        for port in self.ports.values():
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is taken"

    def slipway(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "slipway", *words],
            cwd=self.work, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def merge(self, change: Callable[[Path], None]) -> str:
        """Merge a change of the code that serves; its version."""
        git(self.work, "pull", "-q", "--rebase", "origin", "main")
        change(self.work / "src/slipway/service/serving.py")
        git(self.work, "commit", "-qam", "change the service")
        git(self.work, "push", "-q", "origin", "main")
        return git(self.work, "rev-parse", "HEAD").strip()[:12]

    def release(self) -> None:
        self.slipway("release", "--to", self._image)

    def deploy(self, environment: str, *words: str, code: int = 0) -> list[tuple[float, str]]:
        """Deploy; what was said, and when."""
        command = [sys.executable, "-u", "-m", "slipway", "deploy", environment, "--to", self.kind, "--no-monitoring"]
        with subprocess.Popen(
            [*command, "--port", str(self.ports[environment]), *words],
            cwd=self.work, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said = [(time.monotonic(), "")] + [(time.monotonic(), line) for line in process.stdout]
        assert process.returncode == code, said
        return said

    def promote(self) -> None:
        """Ask for the promotion, and merge what was asked for."""
        said = self.slipway("promote", "staging", "production")
        found = re.search(r"(promote/\S+?)[,;:]?(\s|$)", said)
        assert found, said
        git(self.work, "fetch", "-q", "origin")
        git(self.work, "checkout", "-q", "main")
        git(self.work, "pull", "-q", "--rebase", "origin", "main")
        git(self.work, "merge", "-q", "--no-edit", f"origin/{found[1]}")
        git(self.work, "push", "-q", "origin", "main")

    def lineage(self, what: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.slipway("lineage", what, "--json"))
        return found

    def body(self, texture: float | None = None) -> bytes:
        """A request."""
        golden = json.loads((self.work / "artifacts/model/golden.json").read_text())
        row = {name: values[0] for name, values in golden["rows"].items()}
        return json.dumps([row | ({"mean texture": texture} if texture else {})]).encode()


@pytest.fixture
def story(
    request: pytest.FixtureRequest, ran: Path, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Story]:
    need_skopeo()
    if reason := why_not():
        pytest.skip(f"no image is built here: {reason}")
    made = Story(ran, tmp_path, registry, "compose", {"GATEWAY_IMAGE": request.getfixturevalue("images")["gateway"]})
    yield made
    for environment in made.ports:
        if (made.work / ".deploy" / environment / "state.json").exists():
            made.slipway("deploy", environment, "--stop")


@pytest.fixture
def figures() -> Iterator[dict[str, float]]:
    """What is measured on the way."""
    found: dict[str, float] = {}
    yield found
    if out := os.environ.get(FIGURES):
        Path(out).write_text(json.dumps(found))


@contextmanager
def timed(figures: dict[str, float], what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    figures[what] = time.monotonic() - began


def comment(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"# {time.time()}\n")


def fault(path: Path) -> None:
    text = path.read_text()
    begin = re.search(r"    def respond\(.*?\) -> Answered:\n(        \"\"\".*?\"\"\"\n)", text, re.DOTALL)
    assert begin
    path.write_text(text[: begin.end()] + FAULT + text[begin.end() :])


def moment(said: list[tuple[float, str]], what: str) -> float:
    """When it was said."""
    return next(when for when, line in said if what in line)


def test_from_a_merge_to_what_runs_and_back_from_a_bad_release(story, figures):
    first = story.merge(comment)
    with timed(figures, "merge to staging committed, nothing cached"):
        if FIGURES in os.environ:
            story.slipway("image", "--no-cache")
        story.release()
    story.deploy("staging", "--observe", "1")
    assert story.lineage("staging")["commit"][:12] == first
    with Callers(story.ports["staging"], story.body(), rate=20) as testers:
        story.promote()
        story.deploy("production", "--observe", "1")
        with Callers(story.ports["production"], story.body(RARE)) as callers:
            second = story.merge(comment)
            with timed(figures, "merge to staging committed, nothing but code to build"):
                story.release()
            story.deploy("staging", "--observe", "1")
            story.promote()
            good = story.deploy("production", "--observe", "5")

            story.merge(fault)
            story.release()  # no test finds it
            story.deploy("staging", "--observe", "1")
            story.promote()
            said = story.deploy("production", "--observe", "30", "--revert", code=1)
            story.deploy("production")  # git and the machine tell the same
    assert testers.lost + callers.lost == []
    assert callers.versions == {first, second}
    assert len(testers.versions) == 3  # it does what staging's callers ask for
    assert any("requests failed" in line for _, line in said), said
    assert git(story.origin, "log", "-1", "--format=%s", "main").strip() == (
        "Roll production back to model-v2 from model-v3"
    )
    assert story.lineage("production")["commit"][:12] == second
    assert story.lineage(f"http://127.0.0.1:{story.ports['production']}")["commit"][:12] == second
    figures["a good release: from deploying it to its traffic"] = moment(good, "has the traffic") - good[0][0]
    back = moment(said, "has the traffic again") - moment(said, "has the traffic\n")
    figures["a bad release had the traffic"] = back
    figures["answers, all but one in a hundred"] = callers.slowest(0.01)
    figures["answers, the slowest"] = callers.slowest(0)
    figures["requests"] = len(testers.answers) + len(callers.answers)
    figures["requests lost"] = len(testers.lost) + len(callers.lost)
