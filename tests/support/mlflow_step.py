"""What a step may do with the stock MLflow client and its own token; argv[1] is a run of somebody else."""

import sys

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()
foreign = client.get_run(sys.argv[1])  # reading is free


def refused(work):
    try:
        work()
    except MlflowException as error:
        assert error.error_code == "PERMISSION_DENIED", error
    else:
        raise AssertionError("a write was taken")


mlflow.set_experiment("a step's own")
with mlflow.start_run() as top:
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 1.0, step=1)
    mlflow.set_tag("k", "v")
    mlflow.log_text("hello", "notes/readme.txt")
    for i in range(2):
        with mlflow.start_run(nested=True, run_name=f"fold {i}"):
            mlflow.log_metrics({"acc": 0.5 + i}, step=i)
with mlflow.start_run(run_id=top.info.run_id):  # taken up again by its id
    mlflow.log_metric("loss", 0.5, step=2)
mlflow.set_experiment(experiment_id=foreign.info.experiment_id)
with mlflow.start_run(tags={"mlflow.parentRunId": foreign.info.run_id}) as beside:
    mlflow.log_metric("acc", 1.0)
    mlflow.log_text("bytes", "model.txt")
client.delete_run(beside.info.run_id)
client.restore_run(beside.info.run_id)

run_id, experiment_id = foreign.info.run_id, foreign.info.experiment_id
refused(lambda: mlflow.start_run(run_id=run_id))
refused(lambda: client.log_metric(run_id, "m", 1.0))
refused(lambda: client.log_param(run_id, "p", "1"))
refused(lambda: client.log_batch(run_id, tags=[mlflow.entities.RunTag("t", "x")]))
refused(lambda: client.set_terminated(run_id))
refused(lambda: client.delete_run(run_id))
refused(lambda: client.delete_experiment(experiment_id))
refused(lambda: client.rename_experiment(experiment_id, "mine"))
refused(lambda: client.set_experiment_tag(experiment_id, "t", "x"))
refused(lambda: client.create_registered_model("mine"))
try:
    client.log_text(run_id, "mine", "readme.txt")
except Exception as error:  # the artifact repository passes the answer of HTTP on
    assert "403" in str(error) or "PERMISSION_DENIED" in str(error), error
else:
    raise AssertionError("an artifact was taken")

after = client.get_run(run_id)
assert after.to_dictionary() == foreign.to_dictionary(), after
assert client.list_artifacts(run_id) == []
loss = client.get_metric_history(top.info.run_id, "loss")
assert [(m.step, m.value) for m in loss] == [(1, 1.0), (2, 0.5)]
found = client.search_runs([top.info.experiment_id])
assert {run.info.run_name for run in found} >= {"fold 0", "fold 1"}
assert len(found) == 3
print("every expectation holds")
