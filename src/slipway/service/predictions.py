"""The prediction log: what was asked and answered, kept for monitoring, off the way of requests.

Requests are put on a bounded queue and dropped, and counted, where it is full. A thread writes them as JSON lines, one
row a line, into a file that grows until it is large or old enough; then it gets its final name, and is uploaded if the
log goes to object storage. Whatever goes wrong there is counted and logged, and no request hears of it.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile, gettempdir
from threading import Thread
from typing import Any, BinaryIO, NotRequired, TypedDict
from uuid import uuid4

import msgspec

from slipway.errors import UserError
from slipway.predictor import Prediction
from slipway.service.logs import reason, trouble
from slipway.service.settings import PredictionLog
from slipway.service.table import Table
from slipway.signature import Signature

GROWING = ".part"
PAUSE = 0.5  # seconds between looks at the age of a file
TIDY = 60.0  # seconds between looks for files that are too old
RETRY = 5.0  # seconds before a folder that could not be written to is tried again


class Line(TypedDict):
    """One row that was asked, and its answer: a line of the log."""

    request_id: str
    """Of the request, as in the answer's header `X-Request-ID`."""
    row: int
    """Its place in the request, from 0 on."""
    time: str
    """When it was asked: UTC, ISO 8601, to the millisecond."""
    version: str
    """Of the release that answered."""
    variant: str
    """What of it answered: `model`, or the fallback, `previous` or `prior`."""
    features: dict[str, Any]
    """The inputs by name, as sent."""
    prediction: str | float
    """The class, or the number."""
    probabilities: NotRequired[list[float]]
    """Of the classes, in the order of the contract; a number has none."""


@dataclass(frozen=True)
class Entry:
    """One request of n rows and its answer."""

    request_id: str
    at: float  # seconds since the epoch
    table: Table
    prediction: Prediction
    variant: str


def check_target(to: str) -> None:
    """Stop at a URL that nobody here knows how to write to, rather than when the first file is full.

    Raises:
        UserError: It is such a URL.
    """
    if "://" not in to:
        return
    import fsspec

    try:
        fsspec.get_filesystem_class(to.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise UserError(f"predictions to {to}: {error}; add its fsspec driver to the group `serve`") from None


class PredictionWriter:
    """Writes the prediction log.

    Args:
        settings: Where to, how often and how much.
        signature: Names the classes.
        version: Of the model.
        counted: Is told an outcome (written, dropped, failed) and a number of requests.
    """

    def __init__(
        self, settings: PredictionLog, signature: Signature, version: str, counted: Callable[[str, int], None]
    ) -> None:
        self._settings, self._signature, self._version, self._counted = settings, signature, version, counted
        self._remote = settings.to if "://" in settings.to else None
        # The same for each start, so that what could not be sent before is sent then.
        spool = f"slipway-predictions-{sha256(settings.to.encode()).hexdigest()[:12]}"
        self._folder = Path(gettempdir(), spool) if self._remote else Path(settings.to)
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._waiting = 0  # rows
        self._random = random.Random()  # noqa: S311  # a sample, not a secret
        self._file: BinaryIO | None = None
        self._path = Path()
        self._opened, self._size, self._ill_until = 0.0, 0, 0.0
        self._thread = Thread(target=self._work, name="prediction log", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Take a request, or drop it; never waits."""
        if self._settings.sample < 1 and self._random.random() >= self._settings.sample:
            return
        rows = len(entry.table)
        if self._waiting and self._waiting + rows > self._settings.queue:
            self._counted("dropped", 1)
            return
        self._waiting += rows
        self._queue.put(entry)

    def close(self, seconds: float = 5.0) -> None:
        """Write what is waiting, close the file and end, within so many seconds."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        self._guarded(self._prepare)
        self._guarded(self._recover)
        last_tidy = -TIDY
        while True:
            try:
                entry = self._queue.get(timeout=PAUSE)
            except Empty:
                pass
            else:
                if entry is None:
                    self._guarded(self._finish)
                    return
                self._write(entry)
                self._waiting -= len(entry.table)
            finished = self._file is not None and self._is_full()
            if finished:
                self._guarded(self._finish)
            if finished or time.monotonic() - last_tidy > TIDY:
                last_tidy = time.monotonic()
                self._guarded(self._recover)
                self._guarded(self._tidy)

    def _write(self, entry: Entry) -> None:
        if time.monotonic() < self._ill_until:
            self._counted("failed", 1)
            return
        try:
            if self._file is None:
                self._open()
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines(entry))
            self._file.write(content)  # type: ignore[union-attr]
            self._file.flush()  # type: ignore[union-attr]
            self._size += len(content)
        except Exception as error:  # a full disk, a folder that is gone: monitoring suffers, predictions do not
            self._ill(error)
            self._counted("failed", 1)
        else:
            self._counted("written", 1)

    def _lines(self, entry: Entry) -> list[Line]:
        moment = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")
        names, labels, answers = entry.table.names, entry.prediction.labels, entry.prediction.values
        lines = []
        for row, values in enumerate(zip(*entry.table.columns, strict=True)):
            line: Line = {
                "request_id": entry.request_id,
                "row": row,
                "time": moment,
                "version": self._version,
                "variant": entry.variant,
                "features": dict(zip(names, values, strict=True)),
                "prediction": float(answers[row]) if labels is None else self._signature.classes[labels[row]],
            }
            if labels is not None:
                line["probabilities"] = answers[row].tolist()
            lines.append(line)
        return lines

    def _prepare(self) -> None:
        """Make the folder, out of git's sight, and find out whether it can be written to before anybody asks."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._remote is None and not (ignored := self._folder / ".gitignore").exists():
            ignored.write_text("*\n", encoding="utf-8")  # what people sent belongs into no commit
        with TemporaryFile(dir=self._folder):
            pass

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"predictions-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid4().hex[:8]}.jsonl"
        self._path = self._folder / name
        self._file = self._path.with_name(name + GROWING).open("ab")
        flock(self._file, LOCK_EX | LOCK_NB)
        self._opened, self._size = time.monotonic(), 0

    def _is_full(self) -> bool:
        age = time.monotonic() - self._opened
        return self._size >= self._settings.file_mb * 1e6 or age >= self._settings.file_seconds

    def _finish(self) -> None:
        """Close the file, name it for good, and send it on."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            self._path.with_name(self._path.name + GROWING).rename(self._path)
        if self._remote:
            self._upload()

    def _recover(self) -> None:
        """Give files that a killed process left their final name; whoever still writes one holds its lock."""
        for left in self._folder.glob(f"predictions-*{GROWING}"):
            with left.open("rb") as file, suppress(BlockingIOError):
                flock(file, LOCK_EX | LOCK_NB)
                left.rename(left.with_suffix(""))

    def _upload(self) -> None:
        """Send finished files to object storage; those that do not get there stay, and are tried again."""
        import fsspec

        system, root = fsspec.core.url_to_fs(self._remote)
        for path in sorted(self._folder.glob("predictions-*.jsonl")):
            system.makedirs(root, exist_ok=True)
            system.put_file(str(path), f"{root.rstrip('/')}/{path.name}")
            path.unlink()

    def _tidy(self) -> None:
        """Remove files that are too old or too many."""
        files = []
        for path in self._folder.glob("predictions-*.jsonl"):
            with suppress(FileNotFoundError):  # another service on this folder was first
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        kept, oldest = 0, time.time() - self._settings.keep_days * 86_400
        for changed, size, path in sorted(files, reverse=True):
            kept += size
            if kept > self._settings.keep_mb * 1e6 or changed < oldest:
                path.unlink(missing_ok=True)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # as in `_write`
            self._ill(error)

    def _ill(self, error: Exception) -> None:
        """Say once in a while what is wrong, and leave the folder alone for some seconds."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        if time.monotonic() >= self._ill_until:
            trouble("the prediction log cannot be written", reason=reason(error))
        self._ill_until = time.monotonic() + RETRY
