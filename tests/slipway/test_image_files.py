"""What is found in an image that must not be there: each finding on an image that has it, and none on a clean one."""

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping

import pytest

from slipway.delivery.image.files import File, listing, named, offences, read_files

PACKAGES = "app/venv/lib/python3.12/site-packages"
SOURCE = "app/bento/src"
PROGRAM = 0o755
CLEAN = {
    "etc/passwd": b"root:x:0:0",
    "usr/bin/perl": b"",
    f"{PACKAGES}/numpy/__init__.py": b"import math",
    f"{PACKAGES}/numpy-2.4.0.dist-info/METADATA": b"Name: numpy",
    f"{PACKAGES}/ruamel_yaml-0.18.dist-info/METADATA": b"Name: ruamel.yaml",
    f"{SOURCE}/requirements.txt": b"numpy==2.4.0 \\\n    --hash=sha256:00\nruamel.yaml==0.18\n",
    f"{SOURCE}/slipway/__init__.py": b"",
    f"{SOURCE}/slipway/__pycache__/predictor.cpython-312.pyc": b"",
    f"{SOURCE}/slipway/service/main.py": b"",
    f"{SOURCE}/release/model/model.onnx": b"\x08\x08",
    f"{SOURCE}/release/release.json": b"{}",
}


def as_tar(files: Mapping[str, bytes], modes: Mapping[str, int] | None = None) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), (modes or {}).get(path, 0o644)
            tar.addfile(member, io.BytesIO(content))
    out.seek(0)
    return out


def failing(extra: Mapping[str, bytes], modes: Mapping[str, int] | None = None, *, skops: bool = False) -> set[str]:
    files, kept = read_files(as_tar(CLEAN | dict(extra), modes), listing(as_tar({"etc/passwd": b"root:x:0:0"})))
    return {name for name, found in offences(files, kept, skops=skops) if found}


def torch_file() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}))
    return out.getvalue()


def test_a_clean_image_has_nothing_against_it():
    assert failing({}) == set()


@pytest.mark.parametrize(
    ("path", "content", "mode", "check"),
    [
        ("srv/model.pkl", b"", 0o644, "no pickle"),
        ("srv/model.joblib", b"", 0o644, "no pickle"),
        ("srv/model.bin", pickle.dumps({"a": 1}), 0o644, "no pickle"),
        ("srv/weights", torch_file(), 0o644, "no pickle"),
        ("usr/bin/gcc-12", b"", PROGRAM, "no compiler"),
        ("usr/bin/x86_64-linux-gnu-g++", b"", PROGRAM, "no compiler"),
        ("usr/local/bin/cargo", b"", PROGRAM, "no compiler"),
        ("usr/bin/git", b"", PROGRAM, "no installer"),
        ("usr/local/bin/pip3.12", b"", PROGRAM, "no installer"),
        ("usr/local/bin/uv", b"", PROGRAM, "no installer"),
        ("usr/local/lib/python3.12/site-packages/pip/__init__.py", b"", 0o644, "no installer"),
        ("root/.bash_history", b"ls", 0o600, "no shell history"),
        ("home/a/.python_history", b"", 0o600, "no shell history"),
        ("var/lib/apt/lists/mirror_dists_stable_main_binary-amd64_Packages.lz4", b"", 0o644, "no package caches"),
        ("var/cache/apt/pkgcache.bin", b"", 0o644, "no package caches"),
        ("root/.cache/pip/http/0", b"", 0o644, "no package caches"),
        ("tmp/numpy-2.4-cp312.whl", b"", 0o644, "no package caches"),
        ("srv/.env", b"A=1", 0o644, "no secret"),
        ("root/.netrc", b"", 0o600, "no secret"),
        ("app/.dvc/config.local", b"", 0o644, "no secret"),
        ("app/.git/config", b"", 0o644, "no secret"),
        ("srv/notes.txt", b"-----BEGIN RSA " + b"PRIVATE KEY-----\n" + b"A" * 64, 0o644, "no secret"),
        ("srv/settings.py", b"KEY = 'AKIA" + b"ABCDEFGHIJKLMNOP'", 0o644, "no secret"),
        ("srv/token", b"ghp_" + b"a1" * 18, 0o644, "no secret"),
        (f"{PACKAGES}/pandas/__init__.py", b"", 0o644, "no training code"),
        (f"{PACKAGES}/sklearn/base.py", b"", 0o644, "no training code"),
        (f"{PACKAGES}/onnx/__init__.py", b"", 0o644, "no training code"),
        (f"{SOURCE}/slipway/stages/train.py", b"", 0o644, "no training code"),
        (f"{SOURCE}/slipway/__pycache__/tables.cpython-312.pyc", b"", 0o644, "no training code"),
        (f"{SOURCE}/release/train.txt", b"", 0o644, "no training code"),
        (f"{SOURCE}/release/holdout.parquet", b"", 0o644, "no data"),
        (f"{PACKAGES}/left_pad-1.0.dist-info/METADATA", b"", 0o644, "locked packages only"),
        ("srv/open", b"x", 0o666, "nothing anybody may write"),
        ("usr/bin/sudo", b"x", 0o4755, "nothing that gives root"),
    ],
)
def test_what_must_not_be_there_is_found(path, content, mode, check):
    assert check in failing({path: content}, {path: mode})


def test_only_programs_are_compilers():
    """given a file that has a compiler's name and is no program, when looked at, then it is none"""
    extra = {"usr/share/doc/gcc": b"", f"{PACKAGES}/go": b""}
    assert failing(extra, dict.fromkeys(extra, 0o644)) == set()


def test_what_the_base_has_is_not_ours():
    """given a data file that the base image has, when it is the same, then it counts as the base's; changed, as ours"""
    base = {"usr/share/zones.csv": b"a,b"}
    same, _ = read_files(as_tar(base), listing(as_tar(base)))
    other, _ = read_files(as_tar({"usr/share/zones.csv": b"a,b,c"}), listing(as_tar(base)))
    assert [file.own for file in (*same, *other)] == [False, True]


def test_a_skops_model_may_have_scikit_learn_and_nothing_more():
    assert failing({f"{PACKAGES}/sklearn/base.py": b""}, skops=True) == set()
    assert failing({f"{PACKAGES}/pandas/__init__.py": b""}, skops=True) == {"no training code"}


def test_an_image_without_requirements_is_not_locked():
    files = [File(f"{PACKAGES}/numpy-2.4.0.dist-info/METADATA", 1, 0o644, own=True)]
    assert dict(offences(files, {}, skops=False))["locked packages only"]


def test_many_findings_are_not_all_named():
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert named(["a"]) == "a"
