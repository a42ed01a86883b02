"""The YAML documents of what to create; `az ml` accepts the same. Each is checked before anything is sent."""

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
        Name of its kind in `az ml`.
    content
        Its content.
    verb
        Verb of `az ml KIND` that takes it.
    """

    kind: DocumentKind
    content: Mapping[str, Any]
    verb: str = "create"

    def yaml(self) -> str:
        """The document as YAML, after a comment with the command that takes it."""
        text = yaml.dump(dict(self.content), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
        return f"# az ml {self.kind} {self.verb} --file THIS\n{text}"

    def load(self) -> Any:
        """Parse it with azure-ai-ml.

        Raises
        ------
        AzureError
            azure-ai-ml does not accept it.
        UsageError
            A file that it names does not exist; the loaders do not check.
        """
        for name, path in _local_paths(self.content):
            if not path.exists():
                raise UsageError(path, f"does not exist, but is the {name} of the {self.kind}", "Check the path.")
        with azure_faults(f"{self.kind} {self.content.get('name', '')}".strip()):
            return _LOADERS[self.kind](source=io.StringIO(self.yaml()))


def as_yaml(*documents: Document) -> str:
    """Join documents to one text, separated by `---`."""
    return "---\n".join(document.yaml() for document in documents)


class _Plain(yaml.SafeDumper):
    """Writes no anchors, and multi-line text as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write an object again each time it appears."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(str, _text)


def _local_paths(content: Any) -> list[tuple[str, Path]]:
    """Every `path` and `code` that is a local path."""
    found = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            found += _local_paths(value)
        elif name in ("path", "code") and isinstance(value, str) and not value.startswith(_REMOTE):
            found.append((name, Path(value)))
    return found
