"""The command blocks of a page: found, and run in the order of the page, as in one terminal.

A fenced block of the language `sh` is run by bash and has to end with 0. A comment on the line above says otherwise:

    <!-- needs: a GitHub account -->   it is not run, unless this machine has what it needs
    <!-- background -->                it goes on running until the end of the page; its port is waited for
    <!-- exit: 1 -->                   it has to end with that code
    <!-- file: params.yaml -->         above a block of another language: what a reader puts into that file

What a block exports, and where it goes by `cd`, holds for those after it.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from markdown_it import MarkdownIt
from ruamel.yaml import YAML
from test_container import why_not

SECONDS = 300  # that one block may take
SHOWN = 25  # lines of output in a failure
MARKER = re.compile(r"<!-- *([a-z]+)(?:: *(.*?))? *-->")
# What a block may need, and whether this machine has it: what is None no test has.
NEEDS: Mapping[str, Callable[[], object] | None] = {
    "a cluster": None,
    "a conflict": None,
    "a DVC remote elsewhere": None,
    "a GitHub account": None,
    "a GPU": None,
    "a registry": None,
    "a release": None,
    "a terminal": None,
    "a whole machine": None,
    "an S3 bucket": None,
    "half an hour or more": None,
    "the network": None,
    "Windows": None,
    "Docker": lambda: not why_not(),
    "HAProxy": lambda: shutil.which("haproxy"),
    "skopeo": lambda: shutil.which("skopeo"),
}


class BlockError(Exception):
    """A block that did not do what its page says, or a marker that there is not."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment above it says."""

    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it is run here."""
        return self.language == "sh" and (self.marker != "needs" or all(map(is_here, self.needs)))

    @property
    def may_run(self) -> bool:
        """Whether there is a machine that runs it in a test."""
        return self.language == "sh" and all(NEEDS[need] for need in self.needs)

    @property
    def needs(self) -> list[str]:
        """What it cannot run without."""
        return re.split(r", | and ", self.value) if self.marker == "needs" and self.value else []


def is_here(need: str) -> bool:
    """Whether this machine has what a block needs."""
    check = NEEDS[need]
    return check is not None and bool(check())


def find_blocks(page: str, text: str) -> list[Block]:
    """The blocks of a page that are commands, or that go into a file.

    Raises:
        BlockError: The comment above a block is none that there is.
    """
    blocks, above = [], ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.map is not None:
            language = token.info.split(" ")[0]
            match = MARKER.fullmatch(above)
            marker, value = (match[1], match[2] or "") if match else ("", above)
            block = Block(page, token.map[0] + 1, language, token.content, marker, value)
            if language == "sh":
                check_marker(block, above)
                blocks.append(block)
            elif marker == "file":
                blocks.append(block)
        if token.type == "html_block":
            above = token.content.strip().rsplit("\n", 1)[-1]
        elif token.nesting == 0:
            above = next((line for line in token.content.splitlines()[-1:] if line.startswith("<!--")), "")
    return blocks


def check_marker(block: Block, above: str) -> None:
    """Refuse what is no marker of a command block."""
    unknown = [need for need in block.needs if need not in NEEDS]
    if unknown:
        raise BlockError(f"{block.where}: needs {unknown[0]!r}, which is none of {', '.join(NEEDS)}")
    sound = {"": not above.startswith("<!--"), "needs": block.value, "background": not block.value,
             "exit": block.value.isdigit()}  # fmt: skip
    if not sound.get(block.marker):
        raise BlockError(f"{block.where}: {above!r} is no marker of a command block; see {Path(__file__).name}")


def run_page(blocks: list[Block], root: Path, state: Path, environment: Mapping[str, str]) -> list[Block]:
    """Run the blocks of a page in a project, one after the other; those that were run.

    Raises:
        BlockError: One did not end as its page says; the message names page, line, command and output.
    """
    ran = []
    with ended() as background:
        for block in blocks:
            if block.marker == "file":
                put(block, root)
            elif block.marker == "background":
                background.append(start(block, root, state, environment))
            elif block.is_run:
                run(block, root, state, environment)
            else:
                continue
            ran.append(block)
    return ran


def run(block: Block, root: Path, state: Path, environment: Mapping[str, str]) -> None:
    """Run a block to its end."""
    output = state / "output"
    with output.open("wb") as log, popen(block, root, state, environment, log) as process:
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            end(process)
            raise BlockError(failure(block, f"did not end in {SECONDS} s", output)) from None
    expected = int(block.value) if block.marker == "exit" else 0
    if code != expected:
        raise BlockError(failure(block, f"ended with {code}, not {expected}", output))


def start(block: Block, root: Path, state: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a block that goes on, and wait until it listens on a port."""
    output = state / f"background-{block.line}"
    with output.open("wb") as log:
        process = popen(block, root, state, environment, log)
    for _ in range(SECONDS * 5):
        if process.poll() is not None:
            raise BlockError(failure(block, f"was to go on, and ended with {process.returncode}", output))
        if listens(process.pid):
            return process
        time.sleep(0.2)
    end(process)
    raise BlockError(failure(block, f"listened on no port in {SECONDS} s", output))


def popen(block: Block, root: Path, state: Path, environment: Mapping[str, str], log: Any) -> "subprocess.Popen[bytes]":
    """Start bash on a block, where the block before it left off."""
    left, folder = state / "environment", state / "folder"
    before = f'[ ! -e "{left}" ] || {{ . "{left}"; cd "$(cat "{folder}")"; }}\n'
    after = "" if block.marker == "background" else f'trap \'export -p >"{left}"; pwd >"{folder}"\' EXIT\n'
    command = ["bash", "-e", "-o", "pipefail", "-c", before + after + block.text]
    return subprocess.Popen(
        command, cwd=root, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def failure(block: Block, what: str, output: Path) -> str:
    """What a person has to know to mend a block."""
    tail = output.read_text(errors="replace").splitlines()[-SHOWN:]
    return "\n".join([f"{block.where}: the block {what}", block.text.rstrip(), "--- its output ended with", *tail])


def put(block: Block, root: Path) -> None:
    """Put a block into its file: a new file as it is; of YAML and TOML, keys beside those that are there.

    Raises:
        BlockError: It is not of the language of its file.
    """
    file = root / block.value
    try:
        match file.suffix:
            case ".yaml" | ".yml":
                yaml = YAML()
                content = yaml.load(file.read_text()) if file.exists() else {}
                merge(content, yaml.load(block.text))
                with file.open("w") as sink:
                    yaml.dump(content, sink)
                return
            case ".toml":
                tomllib.loads(block.text)
            case ".json":
                json.loads(block.text)
            case ".py":
                ast.parse(block.text)
    except (ValueError, SyntaxError, TypeError) as error:
        raise BlockError(f"{block.where}: is not what {block.value} can hold: {error}") from None
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)


def merge(content: Any, more: Mapping[str, Any]) -> None:
    """Put keys into a mapping, deep."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), Mapping):
            merge(content[key], value)
        else:
            content[key] = value


@contextmanager
def ended() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that are put into the list are ended at the end."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for process in started:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(pid: int) -> bool:
    """Whether a process, or one that it started, listens on a port."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        return any(each.status == psutil.CONN_LISTEN for process in family for each in process.net_connections("tcp"))
    return False
