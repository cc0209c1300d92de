import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from releases import served, with_settings

from slipway.predictor import Prediction
from slipway.service.predictions import Entry, PredictionWriter
from slipway.service.serving import Serving
from slipway.service.settings import PredictionLog
from slipway.service.table import Table
from slipway.signature import Signature

SIGNATURE = Signature(task="binary", target="y", classes=("no", "yes"), threshold=0.5, inputs=(), prior=(0.5, 0.5))


def entry(number: int = 0, rows: int = 2) -> Entry:
    values = np.tile([0.25, 0.75], (rows, 1))
    table = Table(["a", "b"], [(number, "x")] * rows)
    return Entry(f"id{number}", 1_700_000_000.0 + number, table, Prediction(values, np.ones(rows, np.int64)), "model")


class Writing:
    """A prediction log and what it says of itself."""

    def __init__(self, to: Path | str, **settings: Any) -> None:
        self.outcomes: Counter[str] = Counter()
        self.writer = PredictionWriter(
            PredictionLog(to=str(to), **settings),
            SIGNATURE,
            "v1",
            lambda what, count: self.outcomes.update({what: count}),
        )

    def until(self, **outcomes: int) -> None:
        end = time.monotonic() + 20
        while any(self.outcomes[name] < count for name, count in outcomes.items()):
            assert time.monotonic() < end, self.outcomes
            time.sleep(0.01)


def lines_in(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_line_holds_request_row_time_features_answer_version_and_variant(tmp_path: Path) -> None:
    log = Writing(tmp_path)
    log.writer.put(entry(7))
    log.writer.close()
    assert lines_in(tmp_path)[1] == {
        "request_id": "id7",
        "row": 1,
        "time": "2023-11-14T22:13:27.000+00:00",
        "version": "v1",
        "variant": "model",
        "features": {"a": 7, "b": "x"},
        "prediction": "yes",
        "probabilities": [0.25, 0.75],
    }


def test_git_does_not_see_what_people_sent(tmp_path: Path) -> None:
    log = Writing(tmp_path / "log")
    log.writer.put(entry())
    log.writer.close()
    assert (tmp_path / "log/.gitignore").read_text() == "*\n"


def test_a_folder_that_cannot_be_written_to_is_told_before_anybody_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    Writing(tmp_path / "file/log").writer.close()
    assert "the prediction log cannot be written" in capsys.readouterr().err


def test_files_are_closed_by_size_and_by_age(tmp_path: Path) -> None:
    log = Writing(tmp_path, file_mb=0.001, file_seconds=1000)
    for number in range(40):
        log.writer.put(entry(number))
    log.until(written=40)
    assert len(list(tmp_path.glob("*.jsonl"))) >= 5
    log.writer.close()
    assert len(lines_in(tmp_path)) == 80
    old = Writing(tmp_path / "old", file_seconds=0.1)
    old.writer.put(entry())
    end = time.monotonic() + 20
    while not list((tmp_path / "old").glob("*.jsonl")):  # without another request
        assert time.monotonic() < end
        time.sleep(0.05)
    old.writer.close()


def test_the_oldest_files_go_when_there_are_too_many_or_they_are_too_old(tmp_path: Path) -> None:
    for number in range(10):
        file = tmp_path / f"predictions-2020010{number}T000000-1-x.jsonl"
        file.write_bytes(b" " * 1000)
        os.utime(file, (time.time() - 1000 + number, time.time() - 1000 + number))
    ancient = tmp_path / "predictions-20190101T000000-1-x.jsonl"
    ancient.write_bytes(b" ")
    os.utime(ancient, (0, 0))
    (tmp_path / "mine.txt").write_text("not the log's")
    log = Writing(tmp_path, keep_mb=0.0045, keep_days=1)
    log.writer.put(entry())
    log.until(written=1)
    end = time.monotonic() + 20
    while ancient.exists() or len(list(tmp_path.glob("predictions-2020*"))) > 4:
        assert time.monotonic() < end
        time.sleep(0.05)
    log.writer.close()
    assert [file.name[12:20] for file in sorted(tmp_path.glob("predictions-2020*"))] == [
        "20200106", "20200107", "20200108", "20200109",
    ]  # fmt: skip
    assert (tmp_path / "mine.txt").exists()


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PredictionWriter, "_write", lambda *_: time.sleep(0.2))
    log = Writing(tmp_path, queue=5)
    began = time.monotonic()
    for number in range(1000):
        log.writer.put(entry(number))
    assert time.monotonic() - began < 0.2
    assert log.outcomes["dropped"] >= 990


def test_a_share_of_the_requests_is_kept(tmp_path: Path) -> None:
    log = Writing(tmp_path, sample=0.3)
    for number in range(2000):
        log.writer.put(entry(number, rows=1))
    log.writer.close()
    assert 480 <= len(lines_in(tmp_path)) <= 720  # six standard deviations
    assert not lines_in(tmp_path / "none")


def test_finished_files_go_to_object_storage(tmp_path: Path) -> None:
    bucket = fsspec.filesystem("memory")
    log = Writing("memory://bucket/predictions")
    log.writer.put(entry())
    log.writer.close()
    (name,) = bucket.ls("/bucket/predictions", detail=False)
    assert len(bucket.cat(name).splitlines()) == 2
    bucket.rm("/bucket", recursive=True)


def test_a_dead_bucket_keeps_files_here_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = fsspec.filesystem("memory")
    put, dead = type(bucket).put_file, [True]

    def sometimes(self: Any, *words: Any, **options: Any) -> Any:
        if dead[0]:
            raise ConnectionError("no route to host")
        return put(self, *words, **options)

    monkeypatch.setattr(type(bucket), "put_file", sometimes)
    monkeypatch.setattr("slipway.service.predictions.RETRY", 0.0)
    log = Writing("memory://dead/log", file_mb=1e-9)
    log.writer.put(entry(1))
    log.until(written=1)
    time.sleep(0.1)
    dead[0] = False
    log.writer.put(entry(2))
    log.writer.close()
    assert len(bucket.ls("/dead/log", detail=False)) == 2
    bucket.rm("/dead", recursive=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_fails_no_request(
    release: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a disk that is full, and gets room again
    real, full = Path.open, [True]

    def opened(path: Path, *words: Any, **options: Any) -> Any:
        return real(Path("/dev/full") if full[0] and path.name.endswith(".part") else path, *words, **options)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr("slipway.service.predictions.RETRY", 0.0)
    folder = with_settings(release("wide"), predictions={"to": str(tmp_path / "log")})
    serving = served(folder)
    body = json.dumps(dict.fromkeys(serving.signature.names, 0.5)).encode()
    # When requests come, then each is answered, and what could not be written is counted
    for _ in range(5):
        assert json.loads(serving.respond(body, "id").body)["fallback"] is None
    until_counted(serving, "failed", 5)
    full[0] = False
    serving.respond(body, "id")
    until_counted(serving, "written", 1)
    serving.close()
    assert len(lines_in(tmp_path / "log")) == 1


def until_counted(serving: Serving, outcome: str, count: int) -> None:
    end = time.monotonic() + 20
    labels = {"outcome": outcome}
    while (serving.registry.get_sample_value("slipway_prediction_log_requests_total", labels) or 0) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_folder_that_is_taken_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.service.predictions.RETRY", 0.0)
    folder = tmp_path / "log"
    log = Writing(folder, file_mb=1e-9)
    log.writer.put(entry(1))
    log.until(written=1)
    subprocess.run(["rm", "-r", str(folder)], check=True)
    for number in range(3):
        log.writer.put(entry(number))
        time.sleep(0.05)
    log.writer.close()
    assert lines_in(folder)


def test_a_clock_that_jumps_does_not_stop_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Writing(tmp_path, file_seconds=0.2)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    log.writer.put(entry(1))
    log.until(written=1)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    log.writer.put(entry(2))
    log.until(written=2)
    log.writer.close()
    assert log.outcomes == {"written": 2}


def test_a_growing_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path[:0] = sys.argv[2:];"
        "from test_predictions import Writing, entry; log = Writing(sys.argv[1]);"
        "log.writer.put(entry()); log.until(written=1); print('there', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"there\n"
            log = Writing(tmp_path)
            log.writer.put(entry(5))
            log.writer.close()
            assert len(list(tmp_path.glob("*.part"))) == 1
        finally:
            other.kill()
    Writing(tmp_path).writer.close()
    assert not list(tmp_path.glob("*.part"))
    assert len(lines_in(tmp_path)) == 4
