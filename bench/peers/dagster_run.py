"""python dagster_run.py chain|fan COUNT [processes]: ops that do nothing; prints the seconds of the run."""
import os
import sys
import time

from dagster import DagsterInstance, In, Nothing, execute_job, job, op, reconstructable

SHAPE, COUNT = sys.argv[1], int(sys.argv[2])


@op
def first():
    return None


@op(ins={"before": In(Nothing)})
def nothing():
    return None


def wire(count: int):
    last = first()
    for i in range(count - 1):
        step = nothing.alias(f"s{i}")(last)
        last = step if SHAPE == "chain" else last


@job
def measured():
    wire(COUNT)


if __name__ == "__main__":
    os.makedirs(os.environ["DAGSTER_HOME"], exist_ok=True)
    with DagsterInstance.get() as instance:
        begun = time.monotonic()
        if "processes" in sys.argv:
            result = execute_job(reconstructable(measured), instance)
        else:
            result = measured.execute_in_process(instance=instance)
        seconds = time.monotonic() - begun
        if not result.success:
            sys.exit("the run failed")
        print(seconds)
