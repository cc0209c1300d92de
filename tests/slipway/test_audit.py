"""`make audit`: what it asks the vulnerability service, and what it does with the answers."""

import os
import subprocess
import tomllib

from fake_osv import fake_osv
from helpers import ROOT


def audit(url: str, *more: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "UV_HTTP_RETRIES": "0"}
    command = ["make", "--no-print-directory", "audit", f"ARGS=--service-url {url} {' '.join(more)}"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def test_every_package_that_is_locked_is_asked_for_and_one_that_is_vulnerable_fails():
    with fake_osv({"jinja2": "GHSA-0000"}) as (url, asked):
        found = audit(url)
        waived = audit(url, "--ignore", "GHSA-0000")
    assert found.returncode != 0
    assert "GHSA-0000" in found.stdout
    assert waived.returncode == 0, waived.stderr
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    foreign = {(package["name"], package["version"]) for package in locked if "registry" in package["source"]}
    assert {(query["package"]["name"], query["version"]) for query in asked} == foreign


def test_nothing_known_passes_and_a_service_that_is_away_does_not():
    with fake_osv({}) as (url, _):
        assert audit(url).returncode == 0
    away = audit("http://127.0.0.1:9")
    assert away.returncode != 0
    assert "error sending request" in away.stderr
