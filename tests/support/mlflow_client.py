"""Logs and reads back with the stock MLflow client; every expected value is written down here."""

import math
import os
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

client = MlflowClient()


def refuses(code, work):
    try:
        work()
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, code)
    else:
        raise AssertionError(f"expected {code}")


# experiments
experiment_id = client.create_experiment("vision", tags={"team": "a"})
experiment = client.get_experiment(experiment_id)
assert (experiment.name, experiment.tags) == ("vision", {"team": "a"})
assert client.get_experiment_by_name("vision").experiment_id == experiment_id
assert client.get_experiment_by_name("nothing") is None
refuses("RESOURCE_ALREADY_EXISTS", lambda: client.create_experiment("vision"))
assert {e.name for e in client.search_experiments()} == {"Default", "vision"}

# a run through the fluent api
mlflow.set_experiment("vision")
with mlflow.start_run(run_name="first") as active:
    run_id = active.info.run_id
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"depth": 3, "empty": ""})
    mlflow.set_tag("stage", "trial")
    for step in range(50):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"acc": 0.5, "nan": math.nan, "inf": math.inf}, step=7)
    mlflow.log_text("hello", "notes/readme.txt")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.bin")
        with open(path, "wb") as file:
            file.write(bytes(range(256)) * 1000)
        mlflow.log_artifact(path, "model")

run = client.get_run(run_id)
assert run.info.status == "FINISHED" and run.info.run_name == "first"
assert run.info.experiment_id == experiment_id
assert run.data.params == {"lr": "0.1", "depth": "3", "empty": ""}
assert run.data.tags["stage"] == "trial" and run.data.tags["mlflow.runName"] == "first"
assert run.data.metrics["loss"] == 1 / 50 and run.data.metrics["acc"] == 0.5
assert math.isnan(run.data.metrics["nan"])
assert run.data.metrics["inf"] == 1.7976931348623157e308

history = client.get_metric_history(run_id, "loss")
assert [(m.step, m.value) for m in history] == [(s, 1 / (s + 1)) for s in range(50)]
assert client.get_metric_history(run_id, "nothing") == []

# batches; sending one again changes nothing
second = client.create_run(experiment_id, run_name="second")
metrics = [Metric("m", float(i), 1_700_000_000_000 + i, i) for i in range(1000)]
for _ in range(2):
    client.log_batch(second.info.run_id, metrics=metrics)
params, tags = [Param("p", "1")], [RunTag("t", "x")]
client.log_batch(second.info.run_id, params=params, tags=tags)
assert len(client.get_metric_history(second.info.run_id, "m")) == 1000
assert client.get_run(second.info.run_id).data.metrics["m"] == 999.0

# params are written once, and a refused batch leaves nothing behind
refuses("INVALID_PARAMETER_VALUE", lambda: client.log_param(run_id, "lr", 0.2))
bad = [Param("new", "1"), Param("p", "2")]
refuses(
    "INVALID_PARAMETER_VALUE",
    lambda: client.log_batch(second.info.run_id, params=bad),
)
assert client.get_run(second.info.run_id).data.params == {"p": "1"}

# artifacts
assert {f.path for f in client.list_artifacts(run_id)} == {"notes", "model"}
(weights,) = client.list_artifacts(run_id, "model")
assert (weights.path, weights.is_dir, weights.file_size) == ("model/weights.bin", False, 256_000)
with tempfile.TemporaryDirectory() as folder:
    path = client.download_artifacts(run_id, "model/weights.bin", folder)
    assert open(path, "rb").read() == bytes(range(256)) * 1000
    path = client.download_artifacts(run_id, "", folder)
    assert open(os.path.join(path, "notes/readme.txt")).read() == "hello"
assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/readme.txt") == "hello"

# search, paging, lifecycle
found = client.search_runs([experiment_id], max_results=1)
assert len(found) == 1 and found.token
rest = client.search_runs([experiment_id], max_results=1, page_token=found.token)
assert {found[0].info.run_id, rest[0].info.run_id} == {run_id, second.info.run_id}
client.set_terminated(second.info.run_id, "FAILED")
client.update_run(second.info.run_id, name="renamed")
assert client.get_run(second.info.run_id).info.status == "FAILED"
assert client.get_run(second.info.run_id).data.tags["mlflow.runName"] == "renamed"
client.delete_run(second.info.run_id)
assert [r.info.run_id for r in client.search_runs([experiment_id])] == [run_id]
refuses("INVALID_PARAMETER_VALUE", lambda: client.log_metric(second.info.run_id, "m", 1))
client.restore_run(second.info.run_id)
client.delete_tag(run_id, "stage")
assert "stage" not in client.get_run(run_id).data.tags
refuses("RESOURCE_DOES_NOT_EXIST", lambda: client.get_run("0" * 32))

print("every expectation holds")
