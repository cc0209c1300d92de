"""`python inprocess.py MODEL REQUESTS SECONDS`: the predictor alone, given columns of lists as JSON gives them."""

import json
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from slipway.predictor import Predictor


def main(model: Path, requests: Path, seconds: float) -> None:
    """Predict again and again, and print calls a second, their times and the CPU's, as the load generator does."""
    predictor = Predictor(model, threads=1)
    batches = cycle(json.loads(line)["columns"] for line in requests.read_text("utf-8").splitlines())
    predictor.predict(next(batches))
    cpu, moments = time.process_time(), [time.perf_counter()]
    while moments[-1] - moments[0] < seconds:
        predictor.predict(next(batches))
        moments.append(time.perf_counter())
    p50, p99 = 1e3 * np.percentile(np.diff(moments), (50, 99))
    calls = len(moments) - 1
    found = {"rate": calls / (moments[-1] - moments[0]), "p50": p50, "p99": p99}
    print(json.dumps(found | {"cpu": 1e3 * (time.process_time() - cpu) / calls}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
