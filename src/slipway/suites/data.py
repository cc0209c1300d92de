"""The data suite: is the table sound, and are the two sides of the split alike, apart, and large enough?"""

from slipway import layout
from slipway.files import read_table
from slipway.params import load_params
from slipway.schema import load_schema
from slipway.stages import started
from slipway.suites import write_suite
from slipway.suites.job import Job
from slipway.suites.launch import run_suite


def main() -> None:
    """Run the stage in the project's root."""
    with started("check-data"):
        schema, params = load_schema(), load_params()
        job = Job(
            suite="data",
            schema=schema,
            settings=params.suites,
            conditions=params.suites.data.model_dump(exclude={"max_age_days"}),
            train=read_table(layout.TRAIN),
            holdout=read_table(layout.HOLDOUT),
            ordered=params.split.strategy == "time",
        )
        write_suite(layout.SUITE_REPORTS["data"], "data", run_suite(job, layout.SUITES / "data.html"))


if __name__ == "__main__":
    main()
