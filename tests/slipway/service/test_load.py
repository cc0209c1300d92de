"""The service against what nobody thought of: generated requests, and minutes of load."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from releases import with_settings
from schemathesis import GenerationMode, checks
from servers import serving

from slipway.service.release import MODEL, example, load_golden
from slipway.signature import load_signature

Releases = Callable[[str], Path]
MORE = int(os.environ.get("SLIPWAY_CASES", "1"))  # times as many generated requests
HOLDS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(("name", "cases"), [("churn", 150), ("diabetes", 60), ("wine", 60), ("wide", 5)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_generated_request_breaks_the_service_or_its_document(
    releases: Releases, tmp_path: Path, name: str, cases: int, mode: GenerationMode
) -> None:
    codes: Counter[int] = Counter()
    with serving(releases(name), tmp_path) as server, requests.Session() as session:
        document = schemathesis.openapi.from_dict(server.get("/openapi.json").json())
        document.config.update(base_url=server.url)

        def check(case: schemathesis.Case) -> None:
            answer = case.call(session=session)
            codes[answer.status_code] += 1
            case.validate_response(answer, checks=HOLDS)
            # What the document cannot say: that columns are equally long, and that a text is a date.
            if mode is GenerationMode.POSITIVE and name != "churn" and "columns" not in str(case.body)[:12]:
                assert answer.status_code == 200, answer.text

        for found in document.get_all_operations():
            operation = found.ok()
            if operation.path == "/predict":
                generated(operation, mode, cases)(check)()
            elif mode is GenerationMode.POSITIVE:  # there is nothing to get wrong
                generated(operation, mode, 3)(check)()
        assert "Traceback" not in server.log.read_text()
    assert codes[422] if mode is GenerationMode.NEGATIVE else codes[200]
    assert max(codes) < 500


def generated(operation: Any, mode: GenerationMode, cases: int) -> Callable[[Any], Any]:
    """A decorator that calls a check with generated requests."""

    def of(check: Any) -> Any:
        limited = settings(
            max_examples=cases * MORE,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        return limited(given(case=operation.as_strategy(generation_mode=mode))(check))

    return of


SOAK_SECONDS = float(os.environ.get("SLIPWAY_SOAK_SECONDS", "15"))


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_under_steady_load_memory_stays_flat_and_nothing_is_lost(releases: Releases, tmp_path: Path) -> None:
    # Given a service that logs its predictions into small files, of which few are kept
    folder = tmp_path / "release"
    shutil.copytree(releases("churn"), folder)
    with_settings(folder, predictions={"to": str(tmp_path / "log"), "file_mb": 1, "keep_mb": 5, "queue": 1000})
    row = example(load_signature(folder / MODEL), load_golden(folder / MODEL))
    script = tmp_path / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
        f"wrk.body = [==[{json.dumps([row])}]==]\n"
    )
    with serving(folder, tmp_path / "home") as server:
        worker = psutil.Process(server.process.pid)
        done: list[subprocess.CompletedProcess[str]] = []

        def load(seconds: float) -> None:
            command = ["wrk", "-t1", "-c8", f"-d{max(int(seconds), 1)}s", "-s", str(script), f"{server.url}/predict"]
            done.append(subprocess.run(command, capture_output=True, text=True, check=True))

        load(5)  # warm: allocators, caches
        # When it answers at full speed for a while
        thread = threading.Thread(target=load, args=(SOAK_SECONDS,))
        memory = []
        thread.start()
        while thread.is_alive():
            memory.append(worker.memory_info().rss)
            time.sleep(1)
        thread.join()
        counts = server.metrics()
        log = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    # Then every request was answered, memory stayed where it was, and the log kept its limits
    assert all("Non-2xx" not in run.stdout and "Socket errors" not in run.stdout for run in done), done
    fifth = max(len(memory) // 5, 1)
    early, late = (sorted(part)[len(part) // 2] for part in (memory[:fifth], memory[-fifth:]))
    assert late - early < 8e6, f"{early / 1e6:.0f} MB grew to {late / 1e6:.0f} MB"
    outcomes = {
        o: counts.get(f'slipway_prediction_log_requests_total{{outcome="{o}"}}', 0) for o in ("written", "dropped")
    }
    assert outcomes["written"] > 0
    assert sum(outcomes.values()) <= counts["slipway_rows_total"]
    assert sum(file.stat().st_size for file in (tmp_path / "log").iterdir()) < 8e6
    assert not [line for line in log if line["level"] == "error"]
