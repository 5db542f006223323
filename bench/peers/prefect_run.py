"""python prefect_run.py chain|fan COUNT: steps that do nothing, as Prefect tasks; prints the seconds of the run."""
import sys
import time

from prefect import flow, task


@task
def nothing(before=None):
    return None


@flow
def chain(count: int):
    last = None
    for _ in range(count):
        last = nothing(last)


@flow
def fan(count: int):
    for future in [nothing.submit() for _ in range(count)]:
        future.result()


shape, count = {"chain": chain, "fan": fan}[sys.argv[1]], int(sys.argv[2])
shape(3)  # starts its server, as ours is started
begun = time.monotonic()
shape(count)
print(time.monotonic() - begun)
