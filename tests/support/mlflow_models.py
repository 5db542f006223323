"""Registers models with the stock MLflow client (`register`), and reads them later (`read`)."""

import os
import sys
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()


def files(uri):
    """The files that a download of this URI gives, with their texts."""
    with tempfile.TemporaryDirectory() as folder:
        found = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        texts = {}
        for place, _, names in os.walk(found):
            for name in names:
                path = os.path.join(place, name)
                texts[os.path.relpath(path, found)] = open(path).read()
        texts.pop("registered_model_meta", None)  # the client's own note
        return texts


def register():
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "model/MLmodel")
        mlflow.log_text("old", "model/data/weights.txt")
    run_id = run.info.run_id
    version = mlflow.register_model(f"runs:/{run_id}/model", "digits")
    assert (version.version, version.status, version.run_id) == ("1", "READY", run_id)
    # by hand, with each of the URIs that a client makes
    client.create_model_version("digits", f"runs:/{run_id}/model", run_id)
    client.create_model_version("digits", f"{run.info.artifact_uri}/model", run_id)
    assert client.copy_model_version("models:/digits/1", "copied").version == "1"
    try:
        client.create_model_version("digits", f"runs:/{run_id}/nothing", run_id)
    except MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST", error
        assert "There are no files in" in str(error)
    else:
        raise AssertionError("a version of nothing was made")
    # what is written to the run from now on is nobody's model
    client.log_text(run_id, "new", "model/data/weights.txt")
    client.log_text(run_id, "more", "model/data/more.txt")


def read():
    before = {"MLmodel": "flavors: {}", "data/weights.txt": "old"}
    names = ["digits/1", "digits/2", "digits/3", "digits@champion", "copied/1"]
    for name in names:
        assert files(f"models:/{name}") == before, (name, files(f"models:/{name}"))
    (version,) = client.search_model_versions("name='copied'")
    assert version.source == "models:/digits/1"
    run_id = client.get_model_version("digits", "1").run_id
    assert files(f"runs:/{run_id}/model")["data/weights.txt"] == "new"
    assert client.get_model_version_by_alias("digits", "champion").version == "2"


{"register": register, "read": read}[sys.argv[1]]()
print("every expectation holds")
