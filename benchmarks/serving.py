"""How fast the service answers: beside peers of the same model, the bare model file, and the predictor in-process.

All servers are up together and are put under load in turns, ours before each of the others, so that a ratio compares
what was measured seconds apart. They share one environment, so every peer has the fast event loop and HTTP parser that
ours brings. wrk sends the next request of a connection when the answer to the last one is there.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import tables
from measure import run
from servers import PEERS, Load, Rows, Running, Server, busy_seconds, running
from waiting import ENVIRONMENT

BIN = Path(sys.executable).parent
TRAINED_ON = 2_000  # rows of the table; every one that is trained on is asked for
CONNECTIONS, SIZES = (1, 8, 32), (1, 1000)
OURS, STOCK, MLFLOW, FASTAPI, LIMIT = "Slipway", "stock BentoML", "MLflow", "FastAPI", "the limit"
COLUMNS, ALONE = "Slipway, by columns", "the predictor alone"
TIMES = {STOCK: (4, 8), MLFLOW: (3,), FASTAPI: (3,)}  # how many times their requests/s ours shall answer
JUDGED = 8  # connections at which the targets hold

Measure = Callable[[], Load]


def serving(
    repeat: int, sizes: Sequence[int], connections: Sequence[int], seconds: int, out: Path
) -> list[dict[str, Any]]:
    """Measure requests/s, latency, time to start and memory of every server.

    Raises:
        SystemExit: wrk is missing, or a server did not answer, or not rightly.
    """
    if not shutil.which("wrk"):
        sys.exit("error: wrk, which puts the servers under load, is missing; install it (Debian: apt install wrk)")
    with tables.project(TRAINED_ON, out, copies=2) as root, ExitStack() as stack:
        tables.stages(root, sys.executable, without=("check-data", "check-model", "evaluate"))
        folder = root / "peers"
        folder.mkdir()
        servers = all_servers(folder)
        run([sys.executable, PEERS / "models.py", folder], root, ENVIRONMENT | servers[STOCK].environment)
        asked = json.loads((folder / "rows.json").read_text("utf-8"))

        def start(name: str) -> AbstractContextManager[Running]:
            return running(servers[name], folder, asked["rows"], asked["answers"])

        up = {name: stack.enter_context(start(name)) for name in servers}
        found = []
        for size in sizes:
            files = write_requests(servers, asked["rows"], size, folder)
            for number in connections:
                runs: dict[str, Measure] = {
                    name: partial(up.get(name, up[OURS]).load, file, number, seconds) for name, file in files.items()
                }
                if COLUMNS in files:
                    runs[ALONE] = partial(alone, folder, files[COLUMNS], seconds)
                found += cell(size, number, in_turns(runs, repeat))
        memory = {name: server.memory() for name, server in up.items()}
        stack.close()
        starts: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(repeat):
            for name in servers:
                with start(name) as server:
                    starts[name].append(server.seconds)
    return [*found, *(resources(name, starts, memory[name]) for name in servers)]


def all_servers(folder: Path) -> dict[str, Server]:
    """Every server with one worker, and else as it comes; ours as `slipway serve` starts it."""
    from slipway.delivery.serve import command, environment

    quiet = {"BENTOML_DO_NOT_TRACK": "true"}
    address = ("--host", "127.0.0.1", "--port", "{port}")
    uvicorn = (BIN / "uvicorn", "--app-dir", PEERS, *address)
    stock = quiet | {"BENTOML_HOME": str(folder / "stock"), "PYTHONPATH": str(PEERS)}
    ours = environment(folder / "release") | {"BENTOML_HOME": str(folder / "ours")}
    servers = (
        Server(OURS, command("127.0.0.1", "{port}"), ours, "/readyz", "/predict", list, shares),
        Server(
            STOCK, (BIN / "bentoml", "serve", "stock:Stock", *address), stock, "/readyz", "/predict",
            lambda rows: {"rows": rows}, lambda answer: [row[1] for row in answer],
        ),
        Server(
            MLFLOW, (BIN / "mlflow", "models", "serve", "-m", folder / "mlflow", "--env-manager", "local", *address),
            {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}, "/ping", "/invocations",
            lambda rows: {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}},
            lambda answer: [row[1] for row in answer["predictions"]],
        ),
        Server(
            FASTAPI, (*uvicorn, "fast:app"), {"PEERS": str(folder)}, "/ready", "/predict",
            list, lambda answer: [row[1] for row in answer["probabilities"]],
        ),
        Server(
            LIMIT, (*uvicorn, "--no-access-log", "limit:app"), {"PEERS": str(folder)}, "/", "/",
            list, lambda answer: [row[1] for row in answer["probabilities"]],
        ),
    )  # fmt: skip
    return {server.name: server for server in servers}


def shares(answer: Any) -> list[float]:
    """The probability of the positive class of each row, from an answer of ours."""
    return [list(row["probabilities"].values())[1] for row in answer["predictions"]]


def write_requests(servers: Mapping[str, Server], rows: Rows, size: int, folder: Path) -> dict[str, Path]:
    """For each server a file of requests of so many rows, one a line, which ask for every row in turns."""
    forms = {name: server.body for name, server in servers.items()}
    if size > 1:
        forms[COLUMNS] = by_columns
    files = {name: folder / f"{name}, {size} rows.jsonl" for name in forms}
    for name, file in files.items():
        endless = cycle(rows)
        with file.open("w", encoding="utf-8") as lines:
            for _ in range(max(len(rows) // size, 20)):
                body = forms[name](list(islice(endless, size)))
                lines.write(json.dumps(body, separators=(",", ":")) + "\n")
    return files


def by_columns(rows: Rows) -> Any:
    """The form for batches."""
    return {"columns": {name: [row[name] for row in rows] for name in rows[0]}}


def alone(folder: Path, requests: Path, seconds: int) -> Load:
    """The predictor without a server around it."""
    command = [sys.executable, PEERS / "inprocess.py", folder / "release/model", requests, str(seconds)]
    start, busy = time.perf_counter(), busy_seconds()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603
    others = max(busy_seconds() - busy, 0) / (time.perf_counter() - start)
    return Load(**json.loads(done.stdout), others=others)


def in_turns(runs: Mapping[str, Measure], repeat: int) -> list[dict[str, tuple[Load, Load]]]:
    """For each round and each name but ours: what ours did, and right after it the other; a first round warms up."""
    others = [name for name in runs if name != OURS]
    return [{name: (runs[OURS](), runs[name]()) for name in others} for _ in range(repeat + 1)][1:]


def cell(size: int, connections: int, rounds: Sequence[Mapping[str, tuple[Load, Load]]]) -> list[dict[str, Any]]:
    """One record for ours and each of the others; ours is compared with each by the runs beside its own."""
    where = f"{size:,} row{'s' if size > 1 else ''}, {connections} at once"
    found = [figures(f"{where}, {OURS}", [ours for turn in rounds for ours, _ in turn.values()], size)]
    for name in rounds[0]:
        entry = figures(f"{where}, {name}", [turn[name][1] for turn in rounds], size)
        found.append(entry)
        if name == COLUMNS:
            continue
        # The predictor alone is given columns, and runs right after the server was.
        pairs = [(turn[COLUMNS][1] if name == ALONE else turn[name][0], turn[name][1]) for turn in rounds]
        ratios = [ours.rate / other.rate for ours, other in pairs]
        entry |= {"ratio": median(ratios), "ratios": ratios}
        entry["p99_ratio"] = median(ours.p99 / other.p99 for ours, other in pairs)
        entry["ratio_of"] = f"times its requests/s from {COLUMNS if name == ALONE else OURS}, "
        entry["ratio_of"] += f"at {entry['p99_ratio']:.2f} times its p99"
        if connections == JUDGED and size == 1 and name in TIMES:
            entry["targets"] = {f"ratio >= {times}": entry["ratio"] >= times for times in TIMES[name]}
            entry["targets"]["p99 <= 1/3"] = entry["p99_ratio"] <= 1 / 3
        elif connections == JUDGED and name == ALONE:
            entry["targets"] = {"ratio >= 0.7": entry["ratio"] >= 0.7}
    return found


def figures(what: str, runs: Sequence[Load], size: int) -> dict[str, Any]:
    """Medians over some runs."""
    rates = [load.rate for load in runs]
    found = {"what": what, "runs": len(runs), "rows": size, "requests_per_second": median(rates)}
    found |= {"requests_per_second_min": min(rates), "requests_per_second_max": max(rates)}
    found["rows_per_second"] = size * median(rates)
    found["others"] = median(load.others for load in runs)
    return found | {f"{name}_ms": median(getattr(load, name) for load in runs) for name in ("p50", "p99", "cpu")}


def resources(name: str, starts: Mapping[str, Sequence[float]], memory: tuple[float, float]) -> dict[str, Any]:
    """How long a server takes until it has answered, and what it holds after the load."""
    found: dict[str, Any] = {"what": f"start and memory, {name}", "start_seconds": median(starts[name])}
    found |= {"starts": list(starts[name]), "worker_mb": memory[0], "all_mb": memory[1]}
    if name == STOCK:
        ratios = [ours / stock for ours, stock in zip(starts[OURS], starts[name], strict=True)]
        found |= {"ratio": median(ratios), "ratios": ratios, "ratio_of": f"of its time to start is what {OURS} takes"}
        found["targets"] = {"ratio <= 0.5": median(ratios) <= 0.5}
    return found
