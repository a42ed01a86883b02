"""Which libraries are loaded when, and that the small installation is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest

HEAVY = ("mlflow", "azure", "azureml", "sqlalchemy", "alembic")


def script(code: str, **environment: str) -> list[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=known | environment
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import gliomap, gliomap.workflows, gliomap.tracking, gliomap.cli._main",
        "import gliomap.serving",
        "import gliomap.cli; gliomap.cli.run(['runs', 'list', 'STUDY', '-q'])",
        "import gliomap.cli; gliomap.cli.run(['train', 'STUDY', '--model', 'lda', '--dry-run', '-q'])",
    ],
)
def test_neither_mlflow_nor_azure_is_loaded_before_it_is_needed(code: str, made: Path) -> None:
    ask = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    assert script(f"{code.replace('STUDY', str(made))}\n{ask}") == []


def test_runs_list_loads_no_slow_library(made: Path) -> None:
    names = ("numpy", "torch", "matplotlib", "sklearn", "h5py", "onnxruntime")
    ask = f"import json, sys; print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    assert script(f"import gliomap.cli; gliomap.cli.run(['runs', 'list', {str(made)!r}, '-q'])\n{ask}") == []


def test_store_and_registry_work_with_the_small_installation(study: Path, empty_store: Path, tmp_path: Path) -> None:
    """That is, without the libraries that only full MLflow brings, and without any connection."""
    (study / "mlflow.db").write_bytes(empty_store.read_bytes())
    absent = ("pandas", "flask", "pyarrow", "docker", "graphene", "gunicorn", "skops", "matplotlib", "torch")
    code = f"""
import json, socket, sys
for name in {absent!r}:
    sys.modules[name] = None
def refuse(*given, **named):
    raise AssertionError(f"a connection to {{given}}")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
from gliomap.tracking import *
run = open_run({str(study / "runs" / "net")!r})
store = store_of_run(run.path, None)
made = register_run(run, store)
promote(store, ModelReference(made.name, 1))
print(json.dumps([made.version, fetch_bundle(store, ModelReference(made.name, None, "champion")).name]))
"""
    found, identity = script(code, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (found, len(identity)) == (1, 64)


def test_a_mirror_loads_no_library_that_it_does_not_need(study: Path, empty_store: Path) -> None:
    """It takes processor time from the training. The run here is evaluated, reported and bundled."""
    (study / "mlflow.db").write_bytes(empty_store.read_bytes())
    names = ("pandas", "azureml", "azure", "torch", "sklearn", "scipy", "h5py", "matplotlib", "onnxruntime")
    code = f"""
import json, sys
from pathlib import Path
from gliomap.tracking import Sender, store_of_study
from gliomap.tracking._mlflow import leave_out_extras
study = Path({str(study)!r})
store = store_of_study(study)
leave_out_extras(store)
assert Sender(store).send(study / "runs" / "net").changed
print(json.dumps([name for name in {names!r} if name in sys.modules]))
"""
    assert script(code) == []


def test_mlflow_and_its_azure_plugin_fit_together() -> None:
    """Older pairs can be installed together without complaint, and then the plugin does not load."""
    try:
        plugin = version("azureml-mlflow")
    except PackageNotFoundError:
        if os.environ.get("GLIOMAP_CI"):
            pytest.fail("the plugin is not installed, and CI needs it")
        pytest.skip('needs the plugin: pip install "gliomap[azure]"')
    assert plugin.startswith("1.62.")
    assert version("mlflow-skinny") == "3.15.0"
    code = """
import json, warnings
warnings.simplefilter("ignore")
from importlib.metadata import entry_points
found = [one for group in GROUPS for one in entry_points(group=group) if "azureml" in one.value]
print(json.dumps([one.load().__name__ for one in found]))
"""
    groups = [group for group in entry_points().groups if group.startswith("mlflow.")]
    assert {"mlflow.tracking_store", "mlflow.model_registry_store", "mlflow.artifact_repository"} <= set(groups)
    loaded = script(code.replace("GROUPS", repr(groups)), MLFLOW_DISABLE_TELEMETRY="true")
    assert len(loaded) >= 3
    mirror = """
import json, sys
from gliomap.tracking import Store
from gliomap.tracking._mlflow import leave_out_extras, load_mlflow
leave_out_extras(Store("azureml://workspace"))
load_mlflow()
print(json.dumps([name for name in ("pandas", "azureml.mlflow") if name in sys.modules]))
"""
    assert script(mirror) == ["azureml.mlflow"]
