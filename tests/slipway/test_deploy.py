"""One machine that follows git: real services behind a real HAProxy, with requests flowing all the time."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from helpers import slipway
from images import cut_after, free_port
from sites import HARM, Site, bento, images, registry, site

from slipway.delivery.asking import Failed
from slipway.delivery.deploy import follow as following
from slipway.delivery.deploy.follow import end
from slipway.delivery.deploy.state import load_state
from slipway.delivery.release.registry import Registry
from slipway.errors import UserError

__all__ = ["bento", "images", "registry", "site"]  # fixtures
pytestmark = pytest.mark.slow

both = pytest.mark.parametrize("site", ["processes", "compose"], indirect=True)
# A good release, up to a certain request, which it says that it has got.
HARMED = """
_sound = Serving.respond
def _until_harmed(self, body, request_id):
    if body == {request!r}:
        _harm()
        return Answered({request!r}, 0, None)
    return _sound(self, body, request_id)
Serving.respond = _until_harmed
def _broken(*_, **__):
    raise RuntimeError("broken")
"""
CRASHES = """
def _harm():
    import os
    os._exit(1)
"""
FAILS = """
def _harm():
    Serving.respond = _broken
"""
FALLS_BACK = """
def _harm():
    from slipway.predictor import Predictor
    Predictor.predict_matrix = Predictor.predict = _broken
"""


def test_the_command_tells_machines_what_runs(site):
    digest = site.release()
    where = ["--to", "processes", "--port", str(site.port), "--observe", "0.5"]

    done = slipway(site.project.work, "deploy", "production", *where, "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["environment"], found["port"], found["kind"]) == ("production", site.port, "processes")
    assert found["slots"][found["active"]]["digest"] == digest
    assert "production runs model-v1" in done.stderr
    ended = slipway(site.project.work, "deploy", "production", "--stop", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["slots"]) == (0, {})


@both
def test_a_new_release_takes_over_and_no_request_is_lost(site):
    site.release()
    assert site.deploy() == 0
    assert site.said[-1] == f"production runs model-v1 ({site.version('model-v1')}) on http://127.0.0.1:{site.port}"
    assert site.deploy() == 0  # again, it does nothing
    assert len(site.said) == 1
    site.release()
    with site.load() as found:
        assert site.deploy() == 0
        assert site.deploy() == 0
    assert found.lost == []
    assert found.versions == {site.version("model-v1"), site.version("model-v2")}
    assert site.ask() == site.version("model-v2")


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def never_ready(source: Path) -> None:
    (source / "release/model/model.onnx").write_bytes(b"nothing")


def other_answers(source: Path) -> None:
    """It finds itself right, whatever it answers."""
    append(source / "slipway/service/release.py", "\n\ndef prove(*_):\n    return 0.0\n")
    golden = source / "release/model/golden.json"
    content = json.loads(golden.read_text())
    content["answers"] = [[row[1], row[0]] for row in content["answers"]]
    golden.write_text(json.dumps(content))


def harmed(source: Path, fault: str) -> None:
    append(source / "slipway/service/serving.py", f"{HARMED.format(request=HARM)}{fault}")


def crashes(source: Path) -> None:
    harmed(source, CRASHES)


def fails(source: Path) -> None:
    harmed(source, FAILS)


def falls_back(source: Path) -> None:
    harmed(source, FALLS_BACK)


@pytest.mark.parametrize(
    ("site", "spoil", "patience", "why"),
    [
        ("processes", never_ready, 8, "it ended|was not ready"),
        ("processes", other_answers, 60, "off by"),
        ("processes", crashes, 60, "ended|not ready any more|requests failed|does not answer"),
        ("processes", fails, 60, "requests failed|not ready any more|500: "),
        ("processes", falls_back, 60, "fallback"),
        ("compose", never_ready, 8, "it ended|was not ready"),
        ("compose", crashes, 60, "ended|not ready any more|requests failed|does not answer"),
        ("compose", fails, 60, "requests failed|not ready any more|500: "),
    ],
    indirect=["site"],
)
def test_a_bad_release_is_sent_back_the_old_one_keeps_answering_and_git_can_say_so(site, spoil, patience, why):
    site.release()
    assert site.deploy() == 0
    bad = site.release(spoil)
    with site.load() as found:
        assert site.deploy(harmed_when="has the traffic", patience=patience, observe=40, revert=True) == 1
        time.sleep(0.5)
    old, new = site.version("model-v1"), site.version("model-v2")
    if spoil is not falls_back:  # whose answers come, with 200, but are no model's
        assert found.lost == []
    assert found.versions <= {old, new}
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
    assert site.deploy(patience=6) == 1
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


def switched(site: Site, seconds: str) -> "subprocess.Popen[str]":
    """A command that is watching the release which has just got the traffic."""
    command = [sys.executable, "-u", "-m", "slipway", "deploy", "production", "--to", site.kind, "--no-monitoring"]
    watching = subprocess.Popen(
        [*command, "--port", str(site.port), "--observe", seconds], stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert any("has the traffic" in line for line in iter(watching.stdout.readline, ""))
    return watching


@pytest.mark.parametrize(("spoil", "code"), [(None, 0), (fails, 1), (crashes, 1)])
def test_a_release_that_was_watched_when_the_command_was_killed_is_watched_on(site, spoil, code):
    site.release()
    site.deploy()
    site.release(*([spoil] if spoil else []))
    with site.load() as found:
        with switched(site, "60") as watching:
            watching.kill()
        if spoil is crashes:  # while nobody watches
            ending = psutil.Process(process_of(site, "green"))
            site.harm()
            ending.wait(20)
        if spoil is None:
            assert site.deploy(observe=2.0) == 0
        else:
            assert site.deploy(harmed_when="is watched again", observe=40) == 1
    assert found.lost == []
    state = load_state(following.HOME / "production")
    assert state is not None
    assert state.unproved is None
    assert len(state.rejected) == code
    assert spoil is crashes or any("is watched again" in line for line in site.said)
    assert site.ask() == site.version("model-v1" if code else "model-v2")


def test_a_gateway_that_ends_is_no_fault_of_the_release_that_is_watched(site):
    site.release()
    site.deploy()
    site.release()
    with switched(site, "4") as watching:
        psutil.Process(int((following.HOME / "production/gateway.pid").read_text().split()[0])).kill()
        said, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "the gateway has ended, and is started again" in said
    assert site.ask() == site.version("model-v2")


@pytest.mark.parametrize("site", ["compose"], indirect=True)
def test_containers_that_are_killed_come_back_by_themselves_and_a_registry_that_is_gone_stops_nothing(site, registry):
    site.release()
    site.deploy()
    site.release()
    assert site.deploy() == 0
    state = load_state(following.HOME / "production")
    assert state is not None
    assert state.active is not None
    with site.load() as found:
        kill(str(state.slots[state.active].process))
        time.sleep(2)
    assert found.lost == []  # the slot of before helps out
    (project,) = [
        line.partition("=")[2]
        for line in (following.HOME / "production/compose.env").read_text().splitlines()
        if line.startswith("COMPOSE_PROJECT_NAME=")
    ]
    kill(docker("ps", "--quiet", "--filter", f"name=^{project}-gateway-1$"))
    for _ in range(100):
        try:
            assert site.ask() == site.version("model-v2")
        except OSError:
            time.sleep(0.1)
        else:
            break
    assert site.deploy() == 0
    with cut_after(registry, 10**12) as gate:
        site.registry = Registry(f"{gate.address}/owner/model")
        site.release()
    with pytest.raises(UserError, match=r"model-v3 cannot be pulled: .*connection refused"):
        site.deploy()
    assert site.ask() == site.version("model-v2")


@pytest.mark.parametrize("site", ["compose"], indirect=True)
def test_what_watches_the_model_sees_it_and_hears_of_other_alerts(site, images, monkeypatch):
    for name in ("prometheus", "alertmanager", "grafana", "mlflow"):
        monkeypatch.setenv(f"{name.upper()}_IMAGE", images.get(name, images["idle"]))
        monkeypatch.setenv(f"{name.upper()}_PORT", str(free_port()))
    site.release()
    assert site.deploy(monitoring=True) == 0
    assert not any("warning" in line for line in site.said), site.said
    told = asked("slipway_model_info")
    assert {(each["namespace"], each["pod"], each["version"]) for each in told} == {
        ("production", "blue", site.version("model-v1"))
    }
    asked('haproxy_frontend_http_requests_total{proxy="model"}')
    rules = Path("deploy/kubernetes/components/monitoring/rules.yaml")
    text = rules.read_text()
    assert "ModelSlow" in text
    site.project.merge("another name", **{str(rules): text.replace("ModelSlow", "ModelVerySlow")})
    assert site.deploy(monitoring=True) == 0
    for _ in range(100):
        if "ModelVerySlow" in json.dumps(prometheus("/api/v1/rules")):
            break
        time.sleep(0.2)
    else:
        raise AssertionError("Prometheus was not told")


def prometheus(path: str) -> dict[str, Any]:
    """What Prometheus answers, once it is ready: before that it listens, and says 503."""
    for _ in range(200):
        connection = HTTPConnection("127.0.0.1", int(os.environ["PROMETHEUS_PORT"]), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status == HTTPStatus.OK:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise AssertionError("Prometheus does not get ready")


def asked(query: str) -> list[dict[str, str]]:
    """The labels of what Prometheus finds, once it does."""
    for _ in range(200):
        if found := prometheus(f"/api/v1/query?query={quote(query)}")["data"]["result"]:
            return [each["metric"] for each in found]
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has no {query}")


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def kill(container: str) -> None:
    """Kill a container's process, which is no `docker kill`: that is taken for the wish that it stays down."""
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)


def test_without_haproxy_callers_are_told_where_to_ask(site, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "haproxy" else which(name))
    for name, code, port in (("model-v1", 0, 1), ("model-v2", 0, 2), ("model-v3", 1, 2)):
        site.release(*([other_answers] if code else []))
        assert site.deploy() == code
        if not code:
            assert f"production runs {name}" in site.said[-1]
            assert f"http://127.0.0.1:{site.port + port} " in site.said[-1]
    site.port += 2
    assert site.ask() == site.version("model-v2")


def test_a_full_disk_is_said_and_what_runs_runs_on(site):
    site.release()
    site.deploy()
    site.release()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises((UserError, OSError), match=r"cannot be pulled|too large"):
            site.deploy()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert site.ask() == site.version("model-v1")
    assert site.deploy() == 0
    assert site.ask() == site.version("model-v2")


def test_a_release_that_got_well_is_no_longer_one_that_was_sent_back(site, monkeypatch):
    site.release()
    with monkeypatch.context() as patch:
        patch.setattr("slipway.delivery.deploy.slots.Slot.prove", lambda *_: (_ for _ in ()).throw(Failed("off")))
        assert site.deploy() == 1
        assert site.said[-1] == "--retry tries it again"
    assert site.deploy() == 1
    assert site.deploy(retry=True) == 0
    state = load_state(following.HOME / "production")
    assert state is not None
    assert state.rejected == {}


def test_the_old_release_is_started_again_if_it_ended_before_it_is_needed(site):
    site.release()
    site.deploy()
    old = process_of(site, "blue")
    site.release(fails)
    with switched(site, "60") as watching:
        os.kill(old, signal.SIGKILL)
        with site.load():
            site.harm()
            said, _ = watching.communicate(timeout=60)
    assert "model-v1 has ended, and is started again" in said
    assert "blue has the traffic again" in said
    assert site.ask() == site.version("model-v1")


def process_of(site: Site, colour: str) -> int:
    state = load_state(following.HOME / "production")
    assert state is not None
    return int(state.slots[colour].process)  # type: ignore[index]


def test_a_port_that_somebody_has_is_no_fault_of_a_release(site):
    site.release()
    for above in (1, 0, 3):  # the second leaves the slot running
        taken = pytest.raises(UserError, match=f"port {site.port + above}, where .* is taken")
        with socket.create_server(("127.0.0.1", site.port + above)), taken:
            site.deploy()
    assert site.deploy() == 0
    with pytest.raises(UserError, match=r"port .* is taken"):
        site.deploy("staging")
    assert {site.ask() for _ in range(20)} == {site.version("model-v1")}
    assert site.deploy() == 0


@pytest.mark.parametrize("lost", ["state.json", "damaged", ".deploy"])
def test_what_a_machine_has_forgotten_is_not_harmed_and_can_be_ended(site, lost):
    site.release()
    site.deploy()
    home = following.HOME / "production"
    if lost == "damaged":
        (home / "state.json").write_text("{")
        with pytest.raises(UserError, match=r"is damaged; `slipway deploy --stop` ends what runs"):
            site.deploy()
    elif lost == ".deploy":
        shutil.rmtree(following.HOME)
        with pytest.raises(UserError, match="is taken"):
            site.deploy()
    else:
        (home / lost).unlink()
        with pytest.raises(UserError, match="is taken"):
            site.deploy()
    assert site.ask() == site.version("model-v1")
    end("production", site.said.append)
    with pytest.raises(ConnectionRefusedError):
        site.ask()
    assert site.deploy() == 0
    assert site.ask() == site.version("model-v1")


def test_a_slot_that_was_emptied_is_filled_again(site):
    site.release()
    site.deploy()
    os.kill(process_of(site, "blue"), signal.SIGKILL)
    shutil.rmtree(following.HOME / "production/blue")
    assert site.deploy() == 0
    assert "model-v1 does not start again: " in site.said[1]
    assert site.ask() == site.version("model-v1")


@pytest.mark.parametrize("name", ["../elsewhere", "nowhere", ""])
def test_a_slip_of_the_pen_leaves_nothing_behind(site, name):
    (site.project.work.parent / "elsewhere").mkdir(mode=0o755)
    with pytest.raises(UserError, match=r"is no (name of an )?environment"):
        site.deploy(name)
    assert not following.HOME.exists()
    assert (site.project.work.parent / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_machine_follows_the_branch_and_an_origin_that_is_gone_stops_nothing(site):
    site.release()
    command = [sys.executable, "-m", "slipway", "deploy", "production", "--port", str(site.port), "--to", "processes"]
    command += ["--watch", "0.5", "--observe", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            lines = iter(watching.stdout.readline, "")
            assert any("production runs model-v1" in line for line in lines)
            site.release()
            assert any("production runs model-v2" in line for line in lines)
            second = site.version("model-v2")
            site.project.origin.rename(site.folder / "gone")
            assert any("origin cannot be fetched from: fatal: " in line for line in lines)
            os.kill(process_of(site, "green"), signal.SIGKILL)
            assert any("model-v2 has ended, and is started again" in line for line in lines)
            for _ in range(300):  # meanwhile the one of before helps out
                if site.ask() == second:
                    break
                time.sleep(0.1)
            assert site.ask() == second
            (site.folder / "gone").rename(site.project.origin)
            busy = slipway(site.project.work, "deploy", "production", "--port", site.port)
            assert busy.returncode == 2
            assert "another `slipway deploy` is at work there" in busy.stderr
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 0
        finally:
            watching.kill()
    assert site.ask() == second


def test_nothing_to_run_and_an_image_that_is_gone_are_one_line(site):
    with pytest.raises(UserError, match="nothing is released to production yet"):
        site.deploy()
    site.release()
    shutil.rmtree(site.folder / "images")
    with pytest.raises(UserError, match=r"does not have sha256:.*, which git names"):
        site.deploy()
