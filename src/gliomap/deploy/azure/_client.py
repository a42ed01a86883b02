"""The connection to a workspace. The identity comes from Azure's own credential chain; no credential is stored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from azure.ai.ml import MLClient
from azure.core import PipelineClient
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import DefaultAzureCredential

from gliomap.deploy.azure._faults import SIGN_IN, azure_faults
from gliomap.deploy.azure._settings import AzureSettings
from gliomap.errors import AzureError

if TYPE_CHECKING:
    from azure.ai.ml.entities import Datastore
    from azure.storage.blob import ContainerClient

__all__ = ["RETRIES", "Connection", "connect", "plain", "quiet"]

RETRIES: dict[str, Any] = {"retry_total": 4, "retry_backoff_factor": 0.4, "retry_backoff_max": 20}


@dataclass(frozen=True)
class Connection:
    """A connection to a workspace.

    Attributes
    ----------
    settings
        The workspace.
    credential
        The caller's credential.
    client
        Client of azure-ai-ml.
    """

    settings: AzureSettings
    credential: DefaultAzureCredential
    client: MLClient

    @cached_property
    def datastore(self) -> Datastore:
        """The workspace's default datastore, without its secrets."""
        with azure_faults("default datastore"):
            found: Datastore = self.client.datastores.get_default()
        return found

    @cached_property
    def services(self) -> str:
        """Address of the run history service in the workspace's region."""
        with azure_faults(f"workspace {self.settings.workspace_name}"):
            address = self.client.workspaces.get(self.settings.workspace_name).discovery_url
            return str(self.ask(HttpRequest("GET", str(address))).json()["history"])

    def ask(self, request: HttpRequest, *, signed: bool = True, timeout: float = 60) -> HttpResponse:
        """Send a request for which azure-ai-ml has no method, with or without the caller's token.

        Parameters
        ----------
        request
            Request with an absolute address.
        signed
            Send the caller's token.
        timeout
            Longest wait for an answer, in seconds.

        Raises
        ------
        azure.core.exceptions.HttpResponseError
            The status is 400 or above; `azure_faults` converts it.
        """
        signing = [BearerTokenCredentialPolicy(self.credential, self.settings.places.management)] if signed else []
        policies = [RetryPolicy(**RETRIES), *signing]
        client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(request.url, policies=policies)
        with client:
            answer = client.send_request(request, connection_timeout=10, read_timeout=timeout)
        answer.raise_for_status()
        return answer

    def container(self, datastore: str | None = None) -> ContainerClient:
        """The blob container behind a datastore, accessed with the caller's identity, never with the account's key.

        Parameters
        ----------
        datastore
            Its name; None for the default one.

        Raises
        ------
        AzureError
            The datastore does not exist, or does not hold blobs.
        """
        from azure.storage.blob import ContainerClient

        with azure_faults(f"datastore {datastore or 'by default'}"):
            store = self.datastore if datastore is None else self.client.datastores.get(datastore)
        account, name = getattr(store, "account_name", None), getattr(store, "container_name", None)
        if account is None or name is None:
            raise AzureError(
                f"datastore {store.name}",
                f"is a {store.type}, not a blob container",
                "Make a blob datastore the default.",
            )
        return ContainerClient(
            f"https://{account}.blob.{self.settings.places.storage}",
            name,
            credential=self.credential,
            max_block_size=BLOCK,
            max_single_get_size=BLOCK,
            max_chunk_get_size=BLOCK,
            **RETRIES,
        )


BLOCK = 4 * 2**20
"""Block size for large files, so that a broken connection costs little."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep azure-ai-ml's dots and colours off standard output and error, which are GlioMap's."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def plain(state: object) -> str:
    """A state as Azure writes it, whether given as text or as an enumeration member."""
    return str(getattr(state, "value", state))


@contextmanager
def connect(settings: AzureSettings) -> Iterator[Connection]:
    """Open a connection, without any request yet and without telemetry.

    Raises
    ------
    AzureError
        As in `azure_faults`, for what happens in the block.
    """
    try:
        credential = DefaultAzureCredential(
            authority=settings.places.sign_in,
            exclude_interactive_browser_credential=True,
            process_timeout=20,
            **RETRIES,
        )
    except ValueError as error:  # a variable is set but empty, or the certificate is missing
        raise AzureError("sign-in", f"the credentials in the environment cannot be used ({error})", SIGN_IN) from error
    with credential, azure_faults(f"workspace {settings.workspace_name}"):
        client = MLClient(
            credential,
            settings.subscription_id,
            settings.resource_group,
            settings.workspace_name,
            cloud=settings.cloud,
            show_progress=False,
            enable_telemetry=False,
            logging_enable=False,
            **RETRIES,
        )
        yield Connection(settings, credential, client)
