"""How time and memory grow with the table: `prepare` against a bare copy, and the whole line on a million rows.

`python benchmarks/tables.py COUNT FILE` writes such a table.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from measure import Usage, record, run

from slipway.settings import read_yaml

ROOT = Path(__file__).parent.parent
SEED, CHUNK = 20_260_101, 100_000
ROW_BYTES = 250  # 30 numbers with noise do not compress
SIZES, LARGE = (10**4, 10**5, 10**6, 10**7), 10**7  # the targets are about tables of this size
BARE = "import sys, polars; polars.scan_parquet(sys.argv[1]).sink_parquet(sys.argv[2])"
INPUTS = ("prepare", "check-data")  # the stages that know nothing of the model
PARAMS = {
    "evaluate": {"slices": [{"column": "mean area", "bins": [420, 550, 780]}]},
    "gates": {"metrics": {"roc_auc": {"min": 0.97}}, "worst_slice": {"balanced_accuracy": {"min": 0.8}}},
}


def write_table(rows: int, path: Path) -> None:
    """Draw rows of the demo data, put 5 % of noise on every number, and write them and their contract.

    The same count gives the same rows, and a shorter table is the start of a longer one.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.datasets import load_breast_cancer

    from slipway.files import replaced, write_json

    demo = load_breast_cancer()
    names = [str(name) for name in demo.feature_names]
    limits = zip(names, demo.data.min(axis=0), demo.data.max(axis=0), strict=True)
    numbers = {name: {"type": "number", "min": 0.9 * low, "max": 1.1 * high} for name, low, high in limits}
    contract = {
        "source": {"files": "*.parquet", "format": "parquet"},
        "target": {"column": "diagnosis", "task": "binary", "classes": ["benign", "malignant"]},
        "columns": {"diagnosis": {"type": "category"}} | numbers,
    }
    write_json(path.with_suffix(".json"), contract)
    kind = pa.schema([("diagnosis", pa.string()), *((name, pa.float64()) for name in names)])
    with replaced(path) as draft, pq.ParquetWriter(draft, kind, compression="zstd", use_dictionary=False) as writer:
        for number, start in enumerate(range(0, rows, CHUNK)):
            generator = np.random.default_rng([SEED, number])
            chosen = generator.integers(len(demo.data), size=CHUNK)[: rows - start]
            values = demo.data[chosen] * generator.uniform(0.95, 1.05, (CHUNK, len(names)))[: rows - start]
            diagnosis = np.where(demo.target[chosen] == 0, "malignant", "benign")
            writer.write_table(pa.table([pa.array(diagnosis), *map(pa.array, values.T)], schema=kind))


@contextmanager
def project(rows: int, out: Path, copies: int) -> Iterator[Path]:
    """A bare project around a table, below `out`; the table stays there for the next time.

    Raises:
        SystemExit: The disk has no room for the table and as many copies of it.
    """
    table = out / "data" / f"{rows}.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)
    need, free = (copies + (not table.exists())) * rows * ROW_BYTES / 1e9, shutil.disk_usage(out).free / 1e9
    if need > free:
        sys.exit(f"error: {out}: {rows:,} rows need {need:.1f} GB of disk, {free:.1f} are free; see --rows")
    if not table.exists():
        run([sys.executable, __file__, str(rows), table], out)
    with TemporaryDirectory(prefix="project-", dir=out) as folder:
        root = Path(folder)
        for name in ("data", "src/model"):
            (root / name).mkdir(parents=True)
        (root / "data/table.parquet").symlink_to(table)
        shutil.copy(table.with_suffix(".json"), root / "src/model/schema.yaml")  # JSON is YAML
        (root / "params.yaml").write_text(json.dumps(PARAMS))
        yield root


def prepare(repeat: int, sizes: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """Measure prepare and a bare scan-to-Parquet of the same file in turns, and compare them pair by pair."""
    found: list[dict[str, Any]] = []
    for rows in sorted(sizes):
        with project(rows, out, copies=2) as root:
            copy = root / "copy.parquet"
            bare: list[str | Path] = [sys.executable, "-c", BARE, root / "data/table.parquet", copy]
            pairs: list[tuple[Usage, Usage]] = []
            for _ in range(1 + repeat * (1 if rows >= LARGE else 2)):
                os.sync()  # what was written before is not paid for by the next
                copied = run(bare, root)
                copy.unlink()
                os.sync()
                pairs.append((copied, run([sys.executable, "-m", "slipway.stages.prepare"], root)))
        del pairs[0]  # it brought file and code into the system's cache
        entry = record(f"prepare, {rows:,} rows", [whole for _, whole in pairs], rows)
        entry["ratios"] = [copied.wall / whole.wall for copied, whole in pairs]
        entry |= {"ratio": median(entry["ratios"]), "ratio_of": "of the copy's rows/s"}
        if found:
            entry["growth"] = {name: entry[name] / found[-1][name] for name in ("rows", "seconds", "peak_mb")}
        if rows >= LARGE:
            entry["targets"] = {"ratio >= 0.5": entry["ratio"] >= 0.5, "peak MB < 2000": entry["peak_mb"] < 2000}
        found += [record(f"bare copy, {rows:,} rows", [copied for copied, _ in pairs], rows), entry]
    return found


def scale(sizes: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """Measure every stage of the line, once, with a linear and a boosted model."""
    found: list[dict[str, Any]] = []
    for rows in sizes:
        with project(rows, out, copies=3) as root:
            for model, known in (("linear", ()), ("hist_gradient_boosting", INPUTS)):
                (root / "params.yaml").write_text(json.dumps(PARAMS | {"train": {"model": model}}))
                costs = stages(root, sys.executable, without=known)
                found += [
                    record(name if name in INPUTS else f"{name}, {model}", [usage], rows)
                    for name, usage in costs.items()
                ]
    return found


def stages(root: Path, python: str, without: Collection[str] = ()) -> dict[str, Usage]:
    """Run the commands of `dvc.yaml` one after the other, without DVC, and leave some out."""
    commands = {name: shlex.split(stage["cmd"]) for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items()}
    return {
        name: run([python if word == "python" else word for word in words], root, timeout=3600)
        for name, words in commands.items()
        if name not in without
    }


if __name__ == "__main__":
    write_table(int(sys.argv[1]), Path(sys.argv[2]))
