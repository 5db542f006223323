"""Log one run with the stock MLflow client: nothing in here knows about Anneal."""

import math

import mlflow

mlflow.set_experiment("hello")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("lr", 0.1)
    for step in range(100):
        mlflow.log_metric("loss", math.exp(-step / 20), step=step)
    mlflow.log_text("It works.", "notes.txt")
print("logged run", run.info.run_id)
