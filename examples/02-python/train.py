"""Fits a line by gradient descent; goes on from the newest checkpoint, saves itself on SIGTERM."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import mlflow

EX_TEMPFAIL = 75  # "run me again elsewhere": no retry of the step is spent
SAVE_EVERY = 50

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--lr", type=float, required=True)
args = parser.parse_args()
epochs = json.loads(Path(os.environ["ANNEAL_PARAMS_FILE"]).read_text())["epochs"]
checkpoints = Path(os.environ["ANNEAL_CHECKPOINT_DIR"])
status_file = Path(os.environ["ANNEAL_STATUS_FILE"])

stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))


def save(state):
    """Writes beside and renames into place: nobody ever sees half a checkpoint."""
    mlflow.flush_async_logging()  # points first: a resumed curve has no gap
    hidden = checkpoints / ".writing"
    hidden.mkdir()
    (hidden / "state.json").write_text(json.dumps(state))
    hidden.rename(checkpoints / f"epoch-{state['epoch']}")


def tell(progress, message):
    text = json.dumps({"progress": progress, "message": message})
    status_file.with_suffix(".tmp").write_text(text)
    status_file.with_suffix(".tmp").rename(status_file)


text = (args.data / "points.csv").read_text()
points = [tuple(map(float, line.split(","))) for line in text.splitlines()]
state = {"epoch": 0, "a": 0.0, "b": 0.0}
if resume := os.environ["ANNEAL_RESUME_FROM"]:
    state = json.loads((Path(resume) / "state.json").read_text())

with mlflow.start_run(run_name=os.environ["ANNEAL_STEP"]):
    mlflow.log_param("lr", args.lr)
    while state["epoch"] < epochs:
        errors = [(x, state["a"] * x + state["b"] - y) for x, y in points]
        state["a"] -= args.lr * 2 * sum(e * x for x, e in errors) / len(points)
        state["b"] -= args.lr * 2 * sum(e for _, e in errors) / len(points)
        state["epoch"] += 1
        loss = sum(e * e for _, e in errors) / len(points)
        mlflow.log_metric("loss", loss, step=state["epoch"])
        if stopping or state["epoch"] % SAVE_EVERY == 0:
            save(state)
            tell(state["epoch"] / epochs, f"epoch {state['epoch']} of {epochs}")
        if stopping:
            sys.exit(EX_TEMPFAIL)

Path("out").mkdir()
Path("out/line.json").write_text(json.dumps({"a": state["a"], "b": state["b"]}))
