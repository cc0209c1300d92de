"""What an image consists of, and what is known to be wrong with it.

syft, grype and cosign are stand-ins that say what those say, since what they look up is on servers.
"""

import json
from pathlib import Path

import pytest
from helpers import write

from slipway.delivery.image.engine import Engine
from slipway.delivery.image.scan import scan_image
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.verify import verify
from slipway.errors import UserError

SYFT = """#!/bin/sh
echo "syft $*" >>called
for word; do case "$word" in spdx-json=*) cp listed.json "${word#spdx-json=}" ;; esac; done
"""
GRYPE = """#!/bin/sh
echo "grype $*" >>called
cat known.json
"""
COSIGN = """#!/bin/sh
echo "cosign $*" >>called
case "$1" in verify) exit 0 ;; *) echo "no matching attestations" >&2; exit 1 ;; esac
"""


def known(*severities: str) -> str:
    """What grype says of holes so severe."""
    fix = {"versions": ["3.0.17-1"], "state": "fixed"}
    matches = [
        {
            "vulnerability": {"id": f"CVE-2026-{number}", "severity": severity, "fix": fix},
            "artifact": {"name": "openssl", "version": "3.0.16-1", "type": "deb"},
        }
        for number, severity in enumerate(severities)
    ]
    return json.dumps({"matches": matches})


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tools on the path."""
    for name, script in {"syft": SYFT, "grype": GRYPE, "cosign": COSIGN}.items():
        write(tmp_path, f"bin/{name}", script).chmod(0o755)
    write(tmp_path, "listed.json", json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"name": "openssl"}]}))
    write(tmp_path, "known.json", known())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("severities", "passes"), [((), True), (("Low", "Medium"), True), (("Low", "High"), False), (("Critical",), False)]
)
def test_a_grave_hole_that_is_mended_fails_the_scan_and_is_named(desk, severities, passes):
    (desk / "known.json").write_text(known(*severities))
    listed, looked = scan_image(Engine("docker"), "slipway:1", desk / "out/sbom.spdx.json")
    assert (listed.passed, listed.detail) == (True, f"1 packages, in {desk}/out/sbom.spdx.json")
    assert looked.passed == passes
    if not passes:
        grave = len(severities) - 1
        assert looked.detail == f"CVE-2026-{grave} in openssl 3.0.16-1, mended in 3.0.17-1"
    assert (desk / "called").read_text().splitlines() == [
        f"syft scan docker:slipway:1 --output spdx-json={desk}/out/sbom.spdx.json",
        f"grype sbom:{desk}/out/sbom.spdx.json --only-fixed --output json",
    ]


def test_many_holes_are_counted(desk):
    (desk / "known.json").write_text(known(*["High"] * 8))
    *_, looked = scan_image(Engine("podman"), "slipway:1", desk / "sbom.spdx.json")
    assert looked.detail.endswith("; and 3 more")


def test_a_tool_that_is_missing_or_fails_is_one_line_and_no_pass(desk):
    (desk / "known.json").write_text("failed to load vulnerability db")
    with pytest.raises(UserError, match=r"sbom.spdx.json: cannot be looked up: "):
        list(scan_image(Engine("docker"), "slipway:1", desk / "sbom.spdx.json"))
    (desk / "bin/syft").write_text("#!/bin/sh\necho 'no such image' >&2\nexit 1\n")
    with pytest.raises(UserError, match="slipway:1: cannot be listed: no such image"):
        list(scan_image(Engine("docker"), "slipway:1", desk / "sbom.spdx.json"))
    (desk / "bin/grype").unlink()
    with pytest.raises(UserError, match="grype missing"):
        list(scan_image(Engine("docker"), "slipway:1", desk / "sbom.spdx.json"))


def test_a_signature_is_looked_for_with_who_may_sign_and_each_is_told_by_itself(desk, monkeypatch):
    monkeypatch.setattr("slipway.delivery.release.verify._stored", lambda _: None)
    monkeypatch.setattr("slipway.delivery.release.verify._approved", lambda _: None)
    made = Lineage.model_construct(image="ghcr.io/o/r", digest=f"sha256:{'a' * 64}", reviewers=())
    _, signed, listed, _ = verify(made)
    assert (signed.holds, listed.holds) == (None, None)
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    _, signed, listed, _ = verify(made)
    assert (signed.what, signed.holds, signed.said) == ("signature", True, "cosign verifies it")
    assert (listed.what, listed.holds, listed.said) == ("SBOM", False, "no matching attestations")
    called = (desk / "called").read_text()
    assert called.count("--certificate-identity-regexp ^https://github.com/o/r/ ghcr.io/o/r@sha256:") == 2
    assert "verify-attestation --type spdxjson" in called
