"""The YAML documents that say what is wanted; `az ml` takes the same. Each is checked before anything is sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from azure.ai.ml import (
    load_compute,
    load_data,
    load_environment,
    load_job,
    load_model,
    load_online_deployment,
    load_online_endpoint,
    load_workspace,
)

from gliomap.deploy.azure._faults import azure_faults
from gliomap.errors import UsageError

__all__ = ["SCHEMAS", "Document", "DocumentKind", "as_yaml"]

SCHEMAS = "https://azuremlschemas.azureedge.net/latest"

DocumentKind = Literal[
    "workspace", "compute", "data", "environment", "job", "model", "online-endpoint", "online-deployment"
]

_LOADERS: Mapping[DocumentKind, Callable[..., Any]] = {
    "workspace": load_workspace,
    "compute": load_compute,
    "data": load_data,
    "environment": load_environment,
    "job": load_job,
    "model": load_model,
    "online-endpoint": load_online_endpoint,
    "online-deployment": load_online_deployment,
}
_REMOTE = ("azureml:", "azureml://", "https://", "wasbs://")


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes
    ----------
    kind
        As `az ml` calls it.
    content
        What it says.
    verb
        What `az ml KIND` does with it.
    """

    kind: DocumentKind
    content: Mapping[str, Any]
    verb: str = "create"

    def yaml(self) -> str:
        """As YAML, after the command that takes it."""
        text = yaml.dump(dict(self.content), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
        return f"# az ml {self.kind} {self.verb} --file THIS\n{text}"

    def load(self) -> Any:
        """As azure-ai-ml understands it.

        Raises
        ------
        AzureError
            It does not.
        UsageError
            A file that it names is not there; the loaders do not look.
        """
        for name, path in _local_paths(self.content):
            if not path.exists():
                raise UsageError(path, f"is not there, and the {self.kind}'s {name} names it", "Check the path.")
        with azure_faults(f"{self.kind} {self.content.get('name', '')}".strip()):
            return _LOADERS[self.kind](source=io.StringIO(self.yaml()))


def as_yaml(*documents: Document) -> str:
    """Documents as one text, `---` between them."""
    return "---\n".join(document.yaml() for document in documents)


class _Plain(yaml.SafeDumper):
    """No anchors; long commands as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a thing again where it stands twice."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(str, _text)


def _local_paths(content: Any) -> list[tuple[str, Path]]:
    """Every `path` and `code` that is on this machine."""
    found = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            found += _local_paths(value)
        elif name in ("path", "code") and isinstance(value, str) and not value.startswith(_REMOTE):
            found.append((name, Path(value)))
    return found
