"""What every stage runs within."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from slipway.errors import UserError
from slipway.stages import started


def blas_threads() -> set[int]:
    np.dot(np.ones(2), np.ones(2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_linear_algebra_gets_one_thread_within_a_stage_and_its_own_number_after_it() -> None:
    with threadpool_limits(2, "blas"):
        with started("train"):
            within = blas_threads()
        assert (within, blas_threads()) == ({1}, {2})


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_of_trees_wait_without_spinning_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    script = "import sys, slipway.stages, os; print('sklearn' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert printed.split() == ["False", found]


def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, started("train"):
        raise UserError("params.yaml: train.model: unknown")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: train: params.yaml: train.model: unknown\n"


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), started("train"):
        _ = 1 / 0


@pytest.mark.parametrize(
    ("error", "code", "told"), [("KeyboardInterrupt", -signal.SIGINT, False), ("KeyError", 1, True)]
)
def test_an_interrupted_stage_is_quiet_and_a_bug_is_not(error: str, code: int, told: bool) -> None:
    script = f"import slipway.stages; raise {error}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, told)
    assert told or not done.stderr
