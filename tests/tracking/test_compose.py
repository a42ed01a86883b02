"""The compose file of the tracking server keeps what the project and its docs promise."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from support import PROJECT

FOLDER = PROJECT / "deploy" / "tracking"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def test_server_and_clients_have_the_same_version() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {
        re.sub(r".*==", "", one)
        for name in ("track", "mlflow-server")
        for one in extras[name]
        if "mlflow" in one and "==" in one
    }
    (image,) = re.findall(r"mlflow==([\d.]+)", (FOLDER / "Dockerfile").read_text(encoding="utf-8"))
    assert pinned == {image}


def test_the_server_listens_on_loopback_and_its_database_nowhere(services: dict[str, Any]) -> None:
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services["database"]


def test_the_password_comes_from_the_environment(services: dict[str, Any]) -> None:
    assert services["database"]["environment"]["POSTGRES_PASSWORD"].startswith("${GLIOMAP_TRACKING_PASSWORD:?")
    assert "${GLIOMAP_TRACKING_PASSWORD:?}@database" in services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]


def test_database_and_files_outlive_the_containers(services: dict[str, Any]) -> None:
    assert services["database"]["volumes"] == ["database:/var/lib/postgresql/data"]
    assert services["mlflow"]["volumes"] == ["artifacts:/artifacts"]
    assert '"/artifacts"' in (FOLDER / "Dockerfile").read_text(encoding="utf-8")
