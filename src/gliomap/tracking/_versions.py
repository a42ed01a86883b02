"""Model versions in a registry, and how they are named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gliomap.errors import UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["IDENTITY_TAG", "ModelReference", "RegisteredVersion", "names", "registered", "versions_of"]

IDENTITY_TAG = "gliomap.bundle"
"""The tag of a version with the identity of its bundle."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """`models:/NAME/VERSION` or `models:/NAME@ALIAS`; without version and alias, the newest version."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelReference | None:
        """Parse a reference; None for a text that does not begin with `models:`.

        Raises
        ------
        UsageError
            The text has neither a version nor an alias.
        """
        if not text.startswith("models:"):
            return None
        found = re.fullmatch(r"models:/+([^/@]+)(?:/(\d+)|@([\w.-]+))", text)
        if found is None:
            raise UsageError(text, "names no version", "Write models:/NAME/3 or models:/NAME@champion.")
        return cls(found[1], int(found[2]) if found[2] else None, found[3])


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a model.

    Attributes
    ----------
    name, version
        `models:/NAME/VERSION`.
    aliases
        Its aliases, sorted.
    identity
        Identity of its bundle; None if something else was registered under this name.
    run_id
        Its run in MLflow; None for a bundle without a run.
    created_at
        When it was registered.
    source
        Where its files are.
    new
        Whether it was registered just now, not earlier.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    identity: str | None
    run_id: str | None
    created_at: datetime
    source: str
    new: bool = field(default=False, compare=False)

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.version}"


def names(client: MlflowClient) -> Iterator[str]:
    """The names of all models."""
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from (model.name for model in page)
        token = page.token
        if not token:
            return


def versions_of(client: MlflowClient, name: str) -> list[RegisteredVersion]:
    """All versions of a model; empty if there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    aliases: dict[str, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += [registered(one, tuple(sorted(aliases.get(str(one.version), ())))) for one in page]
        token = page.token
        if not token:
            return found


def registered(version: ModelVersion, aliases: tuple[str, ...]) -> RegisteredVersion:
    """A version built from MLflow's description."""
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        aliases=aliases,
        identity=version.tags.get(IDENTITY_TAG),
        run_id=version.run_id or None,
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        source=version.source or "",
    )
