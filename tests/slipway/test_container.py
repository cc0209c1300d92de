"""The image, built and run for real. Without a container engine these tests are skipped."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from helpers import git, slipway, write
from test_scan import GRYPE, SYFT, known

from slipway.delivery.image.build import OCI
from slipway.delivery.image.container import running
from slipway.delivery.image.engine import find_engine
from slipway.delivery.release.overlay import deployed
from slipway.errors import UserError
from slipway.params import load_params


@cache
def why_not() -> str:
    """Why no image can be built and run here; empty if it can."""
    try:
        engine = find_engine(runs=True)
        engine.fetch(os.environ.get("SLIPWAY_IMAGE_BASE") or load_params().image.base)
    except UserError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project, run, with its image."""
    if reason := why_not():
        pytest.skip(f"no image is built here: {reason}")
    root = tmp_path_factory.mktemp("image") / "project"
    shutil.copytree(ran, root, symlinks=True)
    done = slipway(root, "image", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == facts(root)
    yield root
    find_engine(runs=True).quietly("image", "rm", "--force", facts(root)["image"])


def facts(root: Path) -> dict:
    return json.loads((root / "artifacts/image.json").read_text())


def checks(output: str) -> dict[str, bool]:
    """Which checks passed, of what `image-test` printed."""
    return {match[2]: match[1] == "✓" for match in re.finditer(r"(?m)^([✓✗]) (.+?)(?: {2}.*)?$", output)}


def derived(root: Path, recipe: str, files: dict[str, str]) -> Iterator[str]:
    """An image on top of the project's."""
    context = root / "artifacts/derived"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    for name, text in files.items():
        (context / name).write_text(text)
    (context / "Dockerfile").write_text(f"FROM {facts(root)['image']}\n{recipe}")
    engine, name = find_engine(runs=True), f"slipway-derived:{facts(root)['id'][-12:]}"
    engine.call("build", "--tag", name, str(context), problem="the derived image cannot be built")
    yield name
    engine.quietly("image", "rm", "--force", name)


def test_the_image_says_what_it_is(built):
    found, commit = facts(built), git(built, "rev-parse", "HEAD").strip()
    release = json.loads((built / "artifacts/release/release.json").read_text())
    assert found["image"] == f"slipway:{commit[:12]}"
    assert found["labels"][f"{OCI}.revision"] == commit
    assert found["labels"][f"{OCI}.version"] == release["version"] == commit[:12]
    assert found["labels"]["slipway.data"] == release["data"]
    assert found["labels"]["slipway.lock"] == release["lock"]
    assert found["labels"]["slipway.model.format"] == "onnx"
    assert found["labels"]["slipway.requirements"] == "serve"
    assert find_engine(runs=True).facts(found["image"]).labels.items() >= found["labels"].items()
    assert 0 < found["over_base"] < 220e6


def test_the_image_passes_its_test(built):
    done = slipway(built, "image-test", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["passed"]
    assert len(found["checks"]) >= 20
    assert checks(done.stderr) == {each["name"]: each["passed"] for each in found["checks"]}


def test_a_scan_tells_machines_what_it_found(built, tmp_path, monkeypatch):
    for name, script in {"syft": SYFT, "grype": GRYPE}.items():
        write(tmp_path, f"bin/{name}", script).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    root = tmp_path / "project"
    shutil.copytree(built, root, symlinks=True)
    write(root, "listed.json", json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"name": "openssl"}]}))
    for severity, code in {"Low": 0, "Critical": 1}.items():
        write(root, "known.json", known(severity))
        done = slipway(root, "scan", "--json")
        assert done.returncode == code, done.stderr
        found = json.loads(done.stdout)
        assert found["passed"] == (code == 0)
        assert [each["passed"] for each in found["checks"]] == [True, code == 0]


def test_the_same_commit_gives_the_same_image(built):
    """given an image, when it is built once more without any layer of before, then every file is the same, and so are
    the layers that are copied; in the one that takes away the engine notes when"""
    first = facts(built)
    before, layers = contents(first["image"]), layers_of(first["image"])
    shutil.rmtree(built / "artifacts/release")
    shutil.rmtree(built / ".bentoml")
    done = slipway(built, "image", "--no-cache")
    assert done.returncode == 0, done.stderr
    second = facts(built)
    after = contents(second["image"])
    assert second["id"] != first["id"]  # or nothing was built
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == set()
    assert layers_of(second["image"])[-2:] == layers[-2:]


def contents(image: str) -> dict[str, str]:
    """The hashes of an image's files."""
    with find_engine(runs=True).exported(image) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        return {
            member.name: hashlib.file_digest(tar.extractfile(member), "sha256").hexdigest()  # type: ignore[arg-type]
            if member.isfile()
            else member.linkname
            for member in tar
        }


def layers_of(image: str) -> list[str]:
    said = find_engine(runs=True).call("image", "inspect", "--format", "{{json .RootFS.Layers}}", image, problem="gone")
    return json.loads(said)


# Answers everything with 200 and the same numbers, and drops what it is doing when it is told to stop.
CARELESS = """
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(0.05 if self.command == "POST" else 0)
        body = b'{"fallback": null, "model_version": "VERSION", "columns": {"prediction": [1], "probabilities": {}}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = answer
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 3000), Handler).serve_forever()
"""
SPOILT = """
USER root
COPY service.py /service.py
RUN mkdir -p /root /usr/local/bin /app/venv/lib/python3/site-packages/pandas /var/lib/apt/lists \\
    && for tool in gcc pip; do echo '#!/bin/sh' > /usr/local/bin/$tool; chmod 755 /usr/local/bin/$tool; done \\
    && echo ls > /root/.bash_history && echo KEY=1 > /srv/.env && echo > /srv/model.pkl && echo a > /srv/rows.csv \\
    && echo > /app/venv/lib/python3/site-packages/pandas/__init__.py \\
    && mkdir -p /app/venv/lib/python3/site-packages/left_pad-1.0.dist-info \\
    && echo > /app/venv/lib/python3/site-packages/left_pad-1.0.dist-info/METADATA \\
    && echo > /var/lib/apt/lists/mirror_main_Packages \\
    && echo open > /srv/open && chmod 666 /srv/open && echo > /srv/up && chmod 4755 /srv/up \\
    && dd if=/dev/urandom of=/srv/fat bs=1M count=60
ENV SERVICE_TOKEN=abc
LABEL slipway.data=
HEALTHCHECK CMD ["false"]
ENTRYPOINT ["python", "/service.py"]
CMD []
"""


def test_whatever_is_wrong_with_an_image_is_found(built):
    """given an image on top of ours with everything wrong that is looked for, when tested, then every check but that it
    gets ready fails, and is named"""
    version = facts(built)["labels"][f"{OCI}.version"]
    for name in derived(built, SPOILT, {"service.py": CARELESS.replace("VERSION", version)}):
        done = slipway(built, "image-test", "--image", name)
        found = checks(done.stdout)
        assert done.returncode == 1, done.stdout + done.stderr
        assert {check for check, passed in found.items() if passed} == {"gets ready"}, done.stdout
        assert all(check in done.stderr for check, passed in found.items() if not passed)


def test_another_model_never_gets_ready(built):
    """given an image with golden rows of another model, when tested, then it does not get ready, which is said"""
    golden = json.loads((built / "artifacts/release/model/golden.json").read_text())
    golden["answers"] = [list(reversed(shares)) for shares in golden["answers"]]
    recipe = "COPY golden.json /app/bento/src/release/model/golden.json"
    for name in derived(built, recipe, {"golden.json": json.dumps(golden)}):
        done = slipway(built, "image-test", "--image", name, "--patience", "8")
        assert done.returncode == 1
        assert [check for check, passed in checks(done.stdout).items() if not passed] == ["gets ready"]


def test_answers_that_are_off_are_found(built):
    """given right answers other than the image gives, when tested, then it says by how much"""
    file = built / "artifacts/release/model/golden.json"
    text = file.read_text()
    golden = json.loads(text)
    golden["answers"][1] = [share + 0.01 for share in golden["answers"][1]]
    try:
        file.write_text(json.dumps(golden))
        done = slipway(built, "image-test")
    finally:
        file.write_text(text)
    assert [check for check, passed in checks(done.stdout).items() if not passed] == ["answers the golden rows"]
    assert "off by 0.01" in done.stdout


def test_the_bento_runs_without_the_image(built):
    """given the Bento in the project's store, when BentoML serves it by its tag, then it is its own code that runs"""
    tag = facts(built)["bento"]
    code = (
        "import bentoml, sys\n"
        "from _bentoml_impl.loader import load\n"
        f"load({tag!r})\n"
        f"print(sys.modules['slipway.predictor'].__file__); print(bentoml.get({tag!r}).path)"
    )
    environment = {"BENTOML_HOME": str(built / ".bentoml"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, folder = done.stdout.splitlines()[-2:]
    assert Path(file).is_relative_to(folder)


def test_an_image_that_ends_at_once_says_why(built):
    """given an image that cannot start, when run, then the wait ends with it, and its last words are told"""
    for name in derived(built, 'ENTRYPOINT ["python", "-c", "import nothing_of_the_kind"]\nCMD []', {}):
        with running(find_engine(runs=True), name, memory_mb=256) as container:
            assert container.wait(20) is None
            assert "No module named 'nothing_of_the_kind'" in container.last_words()


def test_it_stops_while_it_starts(built):
    """given an image that is just starting, when it gets SIGTERM, then it ends at once and need not be killed"""
    engine = find_engine(runs=True)
    with running(engine, facts(built)["image"], memory_mb=512) as container:
        time.sleep(0.2)
        started = time.monotonic()
        engine.call("stop", "--time", "30", container.name, problem="it cannot be stopped")
        assert time.monotonic() - started < 15
        assert container.state()["ExitCode"] != 137


def test_a_release_gets_the_image_into_a_registry_and_its_digest_into_git(built, tmp_path):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    root, images = tmp_path / "project", tmp_path / "images/model"
    shutil.copytree(built, root, symlinks=True)
    git(root, "config", "user.name", "test")
    git(root, "config", "user.email", "test@example.org")
    commit = git(root, "rev-parse", "HEAD").strip()
    done = slipway(root, "release", "--to", f"oci:{images}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(checks(done.stderr).values())
    assert "model-v1: " in done.stderr
    found = deployed("staging", root)
    assert found is not None
    told = json.loads(done.stdout)
    assert (told["ships"], told["image"], told["digest"]) == (True, str(images), found.digest)
    assert (told["release"], told["commit"]) == (found.document(), git(root, "rev-parse", "main").strip())
    assert (found.commit, found.image) == (commit, str(images))
    (manifest,) = json.loads((images / "index.json").read_text())["manifests"]
    assert manifest["digest"] == found.digest
    git(root, "checkout", "-q", commit)  # as a run that is started again has it
    again = slipway(root, "release", "--to", f"oci:{images}")
    assert again.returncode == 0, again.stderr
    assert "nothing that ships has changed since model-v1" in again.stdout
    assert "✓" not in again.stdout  # neither built nor tested once more
    told = slipway(root, "lineage", "staging", "--verify")
    assert f"{images} has {found.digest[:19]}" in " ".join(told.stdout.split())
