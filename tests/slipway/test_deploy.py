"""One machine that follows git: real services behind a real HAProxy, with requests flowing all the time."""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import randint

import psutil
import pytest
from images import need_skopeo, tiny_image
from test_release import Project

from helpers import git, made_once, slipway
from slipway.delivery.deploy import follow as following
from slipway.delivery.deploy.follow import Wishes, end, follow
from slipway.delivery.deploy.state import load_state
from slipway.delivery.image.bento import assemble, build_bento
from slipway.delivery.image.build import OCI, OWN
from slipway.delivery.release.promote import propose_promotion, push_now
from slipway.delivery.release.registry import Registry, Stored
from slipway.delivery.release.release import release
from slipway.delivery.ship import ship
from slipway.errors import UserError
from slipway.service.release import example, load_golden
from slipway.signature import load_signature

pytestmark = pytest.mark.slow

CRASHES = "import os, threading\nthreading.Timer(SECONDS, os._exit, (1,)).start()\n"
FALLS_BACK = """\
import threading
def spoil():
    from slipway.predictor import Predictor
    def broken(*_, **__):
        raise RuntimeError("broken")
    Predictor.predict_matrix = Predictor.predict = broken
threading.Timer(SECONDS, spoil).start()
"""


@pytest.fixture(scope="session")
def bento(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Bento of the demo's model."""

    def make(folder: Path) -> None:
        root, before = folder / "project", Path.cwd()
        shutil.copytree(ran, root, symlinks=True)
        os.chdir(root)
        try:
            ship()
            assemble(Path("artifacts/release"), folder / "context")
            made = build_bento(folder / "context", "model-service", "1", "2026-01-01T00:00:00+00:00")
        finally:
            os.chdir(before)
        shutil.copytree(root / made, folder / "bento")

    return made_once(tmp_path_factory, "bento", make) / "bento"


class Site:
    """A project whose releases have images that really serve, and a machine that runs them."""

    def __init__(self, folder: Path, bento: Path) -> None:
        self.project, self.folder, self._bento = Project(folder), folder, bento
        self.images, self.port, self.said = folder / "images", self._free(), list[str]()

    @staticmethod
    def _free() -> int:
        """A port with two free ones above it, below those that the kernel gives to who asks."""
        return next(
            port for port in iter(lambda: randint(20_000, 32_000), 0) if all(_is_free(port + k) for k in range(3))
        )

    def release(self, spoil: Callable[[Path], None] = lambda _: None) -> str:
        """Merge, release and promote; the digest."""
        commit = self.project.merge("a change")
        own = self.folder / "content" / "app/bento"
        shutil.rmtree(self.folder / "content", ignore_errors=True)
        shutil.copytree(self._bento, own)
        about = own / "src/release/release.json"
        content = json.loads(about.read_text()) | {"version": commit[:12], "commit": commit, "dirty": False}
        about.write_text(json.dumps(content))
        spoil(own / "src")
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(self.folder / "content/app", "app")
        labels = {f"{OCI}.revision": commit, f"{OWN}.verdict": "pass"}
        digest = tiny_image(self.images, commit[:12], labels, layer=layer.getvalue())
        release(Registry(str(self.images), folder=True), Stored(digest, labels))
        push_now(propose_promotion("staging", "production", "main"), "main")
        return digest

    def deploy(self, *, observe: float = 1.0, revert: bool = False, retry: bool = False) -> int:
        self.said.clear()
        wishes = Wishes("production", "main", self.port, 60, observe, 0, retry, revert)
        return follow(wishes, self.said.append)

    def ask(self) -> str:
        """The version that answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/predict", self.request, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        found = json.loads(answer.read())
        assert found["fallback"] is None
        return str(found["model_version"])

    @property
    def request(self) -> bytes:
        model = self._bento / "src/release/model"
        return json.dumps([example(load_signature(model), load_golden(model))]).encode()

    def version(self, name: str) -> str:
        return git(self.project.origin, "rev-parse", f"{name}^{{commit}}~1").strip()[:12]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def site(bento: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    need_skopeo()
    if shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("haproxy is not installed")
    made = Site(tmp_path, bento)
    monkeypatch.chdir(made.project.work)
    yield made
    if following.HOME.is_dir():
        end("production", 8080, print)  # whatever port it is said to be


class Load:
    """What became of requests that came all the time."""

    def __init__(self) -> None:
        self.versions: list[str] = []
        self.lost: list[str] = []


@contextmanager
def load(site: Site, threads: int = 4) -> Iterator[Load]:
    """Ask all the time, over connections of its own."""
    found, over = Load(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                found.versions.append(site.ask())
            except Exception as error:  # whatever it is, the request is lost
                found.lost.append(f"{type(error).__name__}: {error}")
            time.sleep(0.005)

    askers = [threading.Thread(target=ask) for _ in range(threads)]
    for each in askers:
        each.start()
    try:
        yield found
    finally:
        over.set()
        for each in askers:
            each.join()


def test_a_new_release_takes_over_and_no_request_is_lost(site):
    site.release()
    assert site.deploy() == 0
    assert site.said[-1] == f"production runs model-v1 ({site.version('model-v1')}) on http://127.0.0.1:{site.port}"
    assert site.deploy() == 0  # again, it does nothing
    assert len(site.said) == 1
    site.release()
    with load(site) as found:
        assert site.deploy() == 0
    assert found.lost == []
    assert {*found.versions} == {site.version("model-v1"), site.version("model-v2")}
    assert site.ask() == site.version("model-v2")


def never_ready(source: Path) -> None:
    (source / "release/model/model.onnx").write_bytes(b"nothing")


def other_answers(source: Path) -> None:
    golden = source / "release/model/golden.json"
    content = json.loads(golden.read_text())
    content["answers"] = [[row[1], row[0]] for row in content["answers"]]
    golden.write_text(json.dumps(content))


def crashes(source: Path) -> None:
    (source / "sitecustomize.py").write_text(CRASHES.replace("SECONDS", "12"))


def falls_back(source: Path) -> None:
    (source / "sitecustomize.py").write_text(FALLS_BACK.replace("SECONDS", "12"))


@pytest.mark.parametrize(
    ("spoil", "patience", "why"),
    [
        (never_ready, 8, "it ended|was not ready"),
        (other_answers, 8, "it ended|was not ready|off by"),
        (crashes, 60, "ended|not ready any more|requests failed|does not answer"),
        (falls_back, 60, "answers were the fallback's"),
    ],
)
def test_a_bad_release_is_sent_back_the_old_one_keeps_answering_and_git_can_say_so(site, spoil, patience, why):
    site.release()
    assert site.deploy() == 0
    bad = site.release(spoil)
    with load(site) as found:
        wishes = Wishes("production", "main", site.port, patience, 40, 0, retry=False, revert=True)
        assert follow(wishes, site.said.append) == 1
        time.sleep(0.5)
    old, new = site.version("model-v1"), site.version("model-v2")
    if spoil is not falls_back:  # whose answers come, with 200, but are no model's
        assert found.lost == []
    assert {*found.versions} <= {old, new}
    assert site.ask() == old
    state = load_state(following.HOME / "production")
    assert state is not None
    assert list(state.rejected) == [bad]
    assert any(part in state.rejected[bad] for part in why.split("|")), state.rejected
    assert site.project.log()[0] == "Roll production back to model-v1 from model-v2"
    assert site.deploy() == 0  # git and the machine tell the same again
    assert site.ask() == old


def test_what_was_sent_back_is_not_tried_again_unless_asked_to(site):
    site.release()
    site.deploy()
    site.release(never_ready)
    wishes = Wishes("production", "main", site.port, 6, 1, 0, retry=False, revert=False)
    assert follow(wishes, site.said.append) == 1
    assert "slipway rollback production --to model-v1 --now" in site.said[-1]
    assert site.deploy() == 1
    assert not any("starts in" in line for line in site.said)
    assert "it was sent back before" in site.said[0]


def test_a_service_or_a_gateway_that_was_killed_is_brought_back(site):
    site.release()
    site.deploy()
    state = load_state(following.HOME / "production")
    assert state is not None
    assert state.active is not None
    os.kill(state.slots[state.active].process, signal.SIGKILL)
    assert site.deploy() == 0
    assert "has ended, and is started again" in site.said[0]
    assert site.ask() == site.version("model-v1")
    gateway = int((following.HOME / "production/gateway.pid").read_text().split()[0])
    psutil.Process(gateway).kill()
    assert site.deploy() == 0
    assert site.ask() == site.version("model-v1")


def test_a_machine_follows_the_branch_and_an_origin_that_is_gone_stops_nothing(site):
    site.release()
    command = [sys.executable, "-m", "slipway", "deploy", "production", "--port", str(site.port), "--watch", "0.5"]
    with subprocess.Popen([*command, "--observe", "0.5"], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = iter(watching.stdout.readline, "")
        assert any("production runs model-v1" in line for line in lines)
        site.release()
        assert any("production runs model-v2" in line for line in lines)
        site.project.origin.rename(site.folder / "gone")
        assert any("origin cannot be fetched from" in line for line in lines)
        assert site.ask() == git(site.folder / "gone", "rev-parse", "model-v2^{commit}~1").strip()[:12]
        (site.folder / "gone").rename(site.project.origin)
        busy = slipway(site.project.work, "deploy", "production", "--port", site.port)
        assert busy.returncode == 2
        assert "another `slipway deploy` is at work there" in busy.stderr
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    assert site.ask() == site.version("model-v2")


def test_nothing_to_run_and_an_image_that_is_gone_are_one_line(site):
    with pytest.raises(UserError, match="nothing is released to production yet"):
        site.deploy()
    site.release()
    shutil.rmtree(site.images)
    with pytest.raises(UserError, match=r"does not have sha256:.*, which git names"):
        site.deploy()
