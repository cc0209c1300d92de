"""The commands of the documents: each is run in a clean clone, in the order of its page, or says what it needs."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest
from blocks import BlockError, find_blocks, run_page
from filelock import FileLock
from helpers import ROOT, copy_project, git, made_once, shared
from images import free_port
from rendering import terminal

from slipway.tools import find_uv

PAGES = sorted(
    str(path.relative_to(ROOT))
    for place in ("README.md", "docs/**/*.md", "deploy/**/*.md", "CONTRIBUTING.md")
    for path in ROOT.glob(place)
)
TABLES = ("my.csv", "customers.csv")  # a reader's own
CHURN = """\
import random, sys
random.seed(0)
rows = []
for number in range(600):
    plan, months = random.choice(["basic", "plus", "pro"]), random.randint(1, 60)
    calls, spent = random.randint(0, 9), round(random.gauss(40, 12), 2)
    risk = 3 - months / 8 + calls / 2 - 2 * (plan == "pro") + random.gauss(0, 1)
    rows.append([f"c{number:05}", plan, months, calls, spent, "yes" if risk > 0 else "no"])
with open(sys.argv[1], "w") as file:
    for row in [["customer", "plan", "months", "calls", "spent", "churned"], *rows]:
        file.write(",".join(map(str, row)) + "\\n")
"""


def has_commands(page: str) -> bool:
    """Whether a test can run any block of a page; one with a wrong marker is named by a test of its own."""
    with suppress(BlockError):
        return any(block.may_run for block in find_blocks(page, (ROOT / page).read_text()))
    return False


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What a terminal has; nothing of whoever runs the tests."""
    kept = terminal(GIT_PAGER="cat", GIT_EDITOR="true", NO_PROXY="127.0.0.1")
    kept["PATH"] += os.pathsep + str(Path(find_uv()).parent)  # pages say what to write where it is not on the path
    return kept


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A clone that was set up and run."""

    def prepare(folder: Path) -> None:
        root = copy_project(folder / "project")
        git(root, "branch", "-M", "main")
        if (cache := ROOT / ".dvc/cache").is_dir():
            shutil.copytree(cache, root / ".dvc/cache", ignore=shutil.ignore_patterns("tmp"))
        (root / ".venv").unlink()
        shell(root, environment, "make repro")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "run", "--allow-empty")

    return made_once(tmp_path_factory, "documents", prepare) / "project"


@pytest.fixture
def clone(prepared: Path, tmp_path: Path, environment: dict[str, str]) -> Iterator[Path]:
    """A copy of it with an environment of its own; what it deployed is ended."""
    root = tmp_path / "slipway"
    shutil.copytree(
        prepared, root, symlinks=True, ignore=lambda folder, _: [".venv"] if folder == str(prepared) else []
    )
    move_environment(prepared / ".venv", root / ".venv")
    for name, value in {"user.name": "test", "user.email": "test@example.org", "init.defaultBranch": "main"}.items():
        git(root, "config", name, value)
    shell(root, environment, "make setup")
    yield root
    for environment_of in (root / ".deploy").glob("*/"):
        shell(root, environment, f"uv run --frozen slipway deploy {environment_of.name} --stop")


def move_environment(source: Path, target: Path) -> None:
    """An environment like another one: compiled already, which a new one would be by whoever comes first, for long."""
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    for script in (target / "bin").iterdir():
        if script.is_file() and not script.is_symlink() and bytes(source) in (content := script.read_bytes()):
            mode = script.stat().st_mode
            script.unlink()
            script.write_bytes(content.replace(bytes(source), bytes(target)))
            script.chmod(mode)


def give_origin(root: Path) -> None:
    """What a clone was cloned from."""
    origin = root.parent / "cloned.git"
    git(root, "clone", "-q", "--bare", str(root), str(origin))
    git(root, "remote", "add", "origin", str(origin))
    git(root, "fetch", "-q")
    git(root, "branch", "-q", "--set-upstream-to", "origin/main")


def shell(root: Path, environment: dict[str, str], command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_marker_of_a_page_is_one_that_there_is(page: str) -> None:
    find_blocks(page, (ROOT / page).read_text())


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if has_commands(page)])
def test_every_command_of_a_page_does_what_the_page_says(
    page: str, clone: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> None:
    text, state = (ROOT / page).read_text(), clone.parent / "state"
    state.mkdir()
    if "git remote add origin" not in text:
        give_origin(clone)
    for name in TABLES:
        if f"FILE={name}" in text or f"adopt {name}" in text:
            subprocess.run(["python3", "-c", CHURN, name], cwd=clone, check=True)
    blocks = find_blocks(page, text)

    # The pages name ports, so that those which serve have to take turns.
    commands = [block for block in blocks if block.is_run]
    serves = any(block.marker == "background" or " deploy" in block.text for block in commands)
    with FileLock(shared(tmp_path_factory, "ports.lock")) if serves else nullcontext():
        ran = run_page(blocks, clone, state, environment)

    marked = len(blocks) - len(ran)
    print(f"{page}: {len(ran)} blocks run, {marked} marked")  # noqa: T201  # shown by -rP


FAULTY = [
    (
        "```sh\ntrue\n```\n\n```sh\ncd /\nls gone\necho on\n```\n",
        r"page.md:5: the block ended with [12], not 0\n(.|\n)*ls gone",
    ),
    ("<!-- exit: 1 -->\n```sh\nexit 3\n```\n", "page.md:2: the block ended with 3, not 1"),
    ("<!-- background -->\n```sh\necho why; exit 4\n```\n", r"was to go on, and ended with 4(.|\n)*why"),
    ("<!-- file: new.py -->\n```python\nif\n```\n", "page.md:2: is not what new.py can hold"),
    ("```sh\nfalse | true\n```\n", "page.md:1: the block ended with 1, not 0"),
]
UNSOUND = [
    ("<!-- nedes: a cluster -->\n```sh\ntrue\n```\n", "page.md:2: '<!-- nedes: a cluster -->' is no marker"),
    ("<!-- needs: patience -->\n```sh\ntrue\n```\n", "page.md:2: needs 'patience', which is none of"),
    ("<!-- needs: Docker and patience -->\n```sh\ntrue\n```\n", "page.md:2: needs 'patience', which is none of"),
    ("<!-- exit: no -->\n```sh\ntrue\n```\n", "is no marker"),
    ("A line.\n<!-- needs -->\n```sh\ntrue\n```\n", "page.md:3: '<!-- needs -->' is no marker"),
]


@pytest.mark.parametrize(("text", "message"), FAULTY)
def test_a_block_that_does_not_do_what_its_page_says_is_named(
    text: str, message: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    with pytest.raises(BlockError, match=message):
        run_page(find_blocks("page.md", text), tmp_path, tmp_path, environment)


@pytest.mark.parametrize(("text", "message"), UNSOUND)
def test_a_marker_that_there_is_not_is_named(text: str, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        find_blocks("page.md", text)


def test_a_page_is_one_terminal_and_files_are_filled_on_the_way(tmp_path: Path, environment: dict[str, str]) -> None:
    page = """
1. Begin:

   ```sh
   mkdir below && cd below && export SAID=so
   ```

<!-- file: params.yaml -->
```yaml
train: {model: random_forest}
```
<!-- needs: a cluster -->
```sh
kubectl get pods
```
<!-- exit: 3 -->
```sh
test "$SAID" = so && grep -q random_forest ../params.yaml && grep -q 'folds: 5' ../params.yaml && exit 3
```
<!-- background -->
```sh
python3 -m http.server --bind 127.0.0.1 PORT
```
```sh
python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:PORT")'
```
```yaml
not: run
```
""".replace("PORT", str(free_port()))
    (tmp_path / "params.yaml").write_text("train:\n  folds: 5\n  model: linear\n")
    (state := tmp_path / "state").mkdir()
    blocks = find_blocks("page.md", page)

    ran = run_page(blocks, tmp_path, state, environment)

    assert [block.line for block in blocks if block not in ran] == [13]
    assert [block.line for block in ran] == [4, 9, 17, 21, 24]
    assert (tmp_path / "below").is_dir()
    time.sleep(0.1)
    assert not any(b"http.server" in command for command in commands())


def commands() -> Iterator[bytes]:
    for process in psutil.process_iter(["ppid", "cmdline"]):
        if process.info["ppid"] == os.getpid():
            yield " ".join(process.info["cmdline"] or ()).encode()


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/comparison.md"])
def test_the_size_that_is_told_is_that_of_the_tree(page: str) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py"))
    told = re.search(r"some ([\d,]+) lines", (ROOT / page).read_text())
    assert told
    assert int(told[1].replace(",", "")) == pytest.approx(lines, rel=0.1)
