"""A bundle as an MLflow model: the unchanged bundle, and beside it the few files by which MLflow recognises a model.

The model consists of GlioMap's code and the bundle's data; no part of it is a pickle.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gliomap import __version__
from gliomap.tracking._mlflow import load_mlflow

if TYPE_CHECKING:
    from gliomap.bundles import Bundle

__all__ = ["BUNDLE_FOLDER", "LOADER", "model_path", "write_mlflow_model"]

BUNDLE_FOLDER = "bundle"
LOADER = "gliomap.tracking.pyfunc"
"""The module with which MLflow's pyfunc loads the model."""


def model_path(bundle: Bundle) -> str:
    """The bundle's path among the files of a run; different content never has the same path."""
    return f"model-{bundle.identity[:12]}"


def write_mlflow_model(bundle: Bundle, folder: Path) -> None:
    """Fill an empty folder with MLmodel, requirements.txt, python_env.yaml and the bundle."""
    load_mlflow()
    from mlflow.models import Model

    from gliomap.bundles import copy_bundle

    copy_bundle(bundle.path, folder / BUNDLE_FOLDER)
    python = ".".join(map(str, sys.version_info[:3]))
    environment = f"python: '{python}'\ndependencies:\n- -r requirements.txt\n"
    (folder / "python_env.yaml").write_text(environment, encoding="utf-8")
    (folder / "requirements.txt").write_text(f"gliomap=={__version__}\nmlflow\n", encoding="utf-8")
    model = Model(
        metadata={
            "bundle_identity": bundle.identity,
            "sensor": None if bundle.manifest.sensor is None else bundle.manifest.sensor.name,
            "bands": bundle.manifest.model.n_bands,
            "classes": list(bundle.manifest.classes.names),
        }
    )
    model.add_flavor(
        "python_function",
        loader_module=LOADER,
        data=BUNDLE_FOLDER,
        env={"virtualenv": "python_env.yaml"},
        python_version=python,
    )
    model.save(str(folder / "MLmodel"))
