"""Settings of the workspace: from the command line, the environment, or the studio's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gliomap._fields import field_faults
from gliomap.errors import UsageError

__all__ = ["CLOUDS", "AzureSettings", "CloudPlaces", "find_settings"]


@dataclass(frozen=True, slots=True)
class CloudPlaces:
    """Addresses of an Azure cloud.

    Attributes
    ----------
    sign_in
        Host for signing in.
    management
        Scope of a token for the workspace.
    storage
        Host suffix of storage accounts.
    """

    sign_in: str
    management: str
    storage: str


CLOUDS = {
    "AzureCloud": CloudPlaces("login.microsoftonline.com", "https://management.azure.com/.default", "core.windows.net"),
    "AzureUSGovernment": CloudPlaces(
        "login.microsoftonline.us", "https://management.core.usgovcloudapi.net/.default", "core.usgovcloudapi.net"
    ),
    "AzureChinaCloud": CloudPlaces(
        "login.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default", "core.chinacloudapi.cn"
    ),
}

CONFIG = "config.json"
_PLACES = (CONFIG, ".azureml/config.json")
_VARIABLES = {
    "subscription_id": ("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION"),
    "resource_group": ("AZURE_RESOURCE_GROUP", "AZUREML_ARM_RESOURCEGROUP"),
    "workspace_name": ("AZURE_ML_WORKSPACE", "AZUREML_ARM_WORKSPACE_NAME"),
}
"""Field → variables, of which the first one set counts; Azure sets the second of each inside its own jobs."""
CLOUD_VARIABLE = "AZURE_CLOUD"
_REMEDY = (
    "Download config.json in the studio (workspace's name at the top right → Download config file) and pass it with"
    " --config, or set AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP and AZURE_ML_WORKSPACE."
)


class _ConfigFile(BaseModel):
    """config.json as the studio writes it; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    subscription_id: str
    resource_group: str
    workspace_name: str


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """A workspace of Azure Machine Learning.

    Attributes
    ----------
    subscription_id, resource_group, workspace_name
        As the studio shows them.
    cloud
        A name of `CLOUDS`.
    """

    subscription_id: str
    resource_group: str
    workspace_name: str
    cloud: str = "AzureCloud"

    @property
    def places(self) -> CloudPlaces:
        """Addresses of its cloud."""
        return CLOUDS[self.cloud]

    @property
    def arm_id(self) -> str:
        """The workspace's full resource id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace_name}"
        )


def find_settings(
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    folder: Path = Path(),
    **given: str | None,
) -> AzureSettings:
    """Collect the settings: given values override the environment, which overrides config.json.

    Parameters
    ----------
    environ
        Environment variables.
    config
        A config.json; None for the first one in `folder`, its `.azureml`, or a folder above, if any.
    folder
        Where the search begins.
    **given
        subscription_id, resource_group, workspace_name, cloud; None if not given.

    Raises
    ------
    UsageError
        A field is missing everywhere, or config.json is not valid.
    """
    found: dict[str, str] = _from_file(config, folder)
    for name, variables in _VARIABLES.items():
        told = given.get(name) or next((environ[one] for one in variables if environ.get(one)), None)
        if told:
            found[name] = told
    missing = [name for name in _VARIABLES if not found.get(name)]
    if missing:
        raise UsageError("azure", f"lacks {', '.join(missing)}", _REMEDY)
    cloud = given.get("cloud") or environ.get(CLOUD_VARIABLE) or "AzureCloud"
    if cloud not in CLOUDS:
        raise UsageError(f"cloud {cloud!r}", "is unknown", f"Choose one of: {', '.join(CLOUDS)}.")
    return AzureSettings(**found, cloud=cloud)


def _from_file(config: Path | None, folder: Path) -> dict[str, str]:
    if config is None:
        here = folder.resolve()
        places = (above / place for above in (here, *here.parents) for place in _PLACES)
        config = next((place for place in places if _is_workspace(place)), None)
        if config is None:
            return {}
    try:
        return _ConfigFile.model_validate_json(config.read_bytes()).model_dump()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(config, "does not exist", _REMEDY) from error
    except ValidationError as error:
        raise UsageError(config, f"is not the config.json of a workspace ({field_faults(error)})", _REMEDY) from error


def _is_workspace(path: Path) -> bool:
    """Whether a file found by searching is the right one: many programs have a config.json."""
    return path.is_file() and b'"workspace_name"' in path.read_bytes()
