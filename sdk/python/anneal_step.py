"""What a Python step finds of its contract. One file, no dependency: copy it beside your script."""

import json
import os
import pathlib
import shutil
import signal

_stop = False


def params():
    """The parameters of the run."""
    return json.loads(_path("ANNEAL_PARAMS_FILE").read_text())


def input(name):
    """The path of an artifact, or the text of a value."""
    return _required("ANNEAL_INPUT_" + name.upper().replace("-", "_"))


def output(name):
    """Where the declared output `name` must be written: a file or a folder."""
    return _path("ANNEAL_OUTPUT_DIR") / name


def outputs(**values):
    """Writes plain outputs (numbers, texts, lists), once, when they are known."""
    _write(output("outputs.json"), values)


def progress(fraction=None, message=None, eta_seconds=None, metrics=None):
    """Says how far the step is (0 to 1), for whoever watches."""
    said = {"progress": fraction, "message": message, "eta_seconds": eta_seconds, "metrics": metrics}
    _write(_path("ANNEAL_STATUS_FILE"), {k: v for k, v in said.items() if v is not None})


def card(name, content):
    """Shows a card under `name` while the step runs and after: Markdown (a text) or JSON (anything else)."""
    folder = _path("ANNEAL_CARD_DIR")
    if isinstance(content, str):
        _replace(folder / (name + ".md"), content)
    else:
        _write(folder / (name + ".json"), content)


def resume_from():
    """The newest checkpoint's path, or None on a fresh start."""
    path = os.environ.get("ANNEAL_RESUME_FROM", "")
    return pathlib.Path(path) if path else None


class checkpoint:
    """`with checkpoint("step-100") as folder:` — taken only if the block ends well."""

    def __init__(self, name):
        folder = _path("ANNEAL_CHECKPOINT_DIR")
        self._unfinished, self._finished = folder / ("." + name), folder / name

    def __enter__(self):
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir()
        return self._unfinished

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self._unfinished.rename(self._finished)


def should_stop():
    """True once the step was asked to end: save a checkpoint and end with sys.exit(75)."""
    return _stop


def _on_sigterm(number, frame):
    global _stop
    _stop = True


# only where a step runs: the helper may be imported by tests and notebooks
if "ANNEAL_GRACE_SECONDS" in os.environ:
    signal.signal(signal.SIGTERM, _on_sigterm)


def _required(name):
    value = os.environ.get(name)
    if value is None:
        raise RuntimeError(f"{name} is not set: this works inside a step, for what its plan declares")
    return value


def _path(name):
    return pathlib.Path(_required(name))


def _write(path, value):
    """NaN is refused here instead of later."""
    _replace(path, json.dumps(value, allow_nan=False))


def _replace(path, text):
    """By rename, so that nobody sees half of it."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(path)
