"""Send a frame to an endpoint and fetch its map."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.ai.ml.entities import EndpointAuthKeys, ManagedOnlineEndpoint
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from tifffile import imread, imwrite

from gliomap._files import atomic_folder
from gliomap.captures import read_frame
from gliomap.deploy.azure._client import Connection
from gliomap.deploy.azure._faults import azure_faults
from gliomap.engine import MAP_FILES, RESULT
from gliomap.errors import AzureError, UsageError

__all__ = ["Scored", "score_in_azure"]

_LIMIT = 10_000_000
"""Size limit for a request to a managed endpoint, in bytes."""
_SECONDS = 90.0
_TURNED_AWAY = {
    401: (
        "does not accept the key or token that was just issued",
        "Run the command again: a key may have been replaced meanwhile. If the error persists, sign in again with `az login`.",
    ),
    403: (
        "knows you, but you may not request maps",
        "Ask its owner for a role on it that allows onlineEndpoints/score/action, such as 'AzureML Data Scientist'.",
    ),
}


@dataclass(frozen=True)
class Scored:
    """The answer of an endpoint.

    Attributes
    ----------
    result
        Content of result.json.
    sent, received
        Size in bytes.
    seconds
        Stage (reading, round trip) → seconds on this side; those in the endpoint are in `result`.
    """

    result: dict[str, Any]
    sent: int
    received: int
    seconds: dict[str, float]


def score_in_azure(
    connection: Connection,
    endpoint: str,
    frames: Mapping[str, Path],
    out: Path | None,
    *,
    deployment: str | None = None,
    overwrite: bool = False,
) -> Scored:
    """Send a frame with its references, and write the files of its map as `gliomap classify -o` does.

    Parameters
    ----------
    connection
        Connection to the workspace; it provides the endpoint's key or, for an endpoint with sign-in, a token.
    endpoint
        Its name.
    frames
        raw, white, dark and, if needed, white_dark → TIFF file.
    out
        Folder for map, arrays and result.json, or None.
    deployment
        Send the frame to this one, whatever its share of the requests.
    overwrite
        Replace `out`.

    Raises
    ------
    CaptureError
        A file is not a frame.
    UsageError
        The frames are too large for a managed endpoint, or the endpoint refuses them.
    AzureError
        The endpoint does not exist, or does not admit the caller.
    """
    begun = time.perf_counter()
    files = {role: (f"{role}.tif", _packed(path), "image/tiff") for role, path in frames.items()}
    sent = sum(len(content) for _, content, _ in files.values())
    with azure_faults(f"endpoint {endpoint}"):
        found = connection.client.online_endpoints.get(endpoint)
        shown = _shown(connection, endpoint)
    if isinstance(found, ManagedOnlineEndpoint) and sent > _LIMIT:
        raise UsageError(
            "frames",
            f"have {sent / 1e6:.1f} MB; a managed endpoint accepts {_LIMIT / 1e6:.0f}",
            "Deploy --to kubernetes, or use `gliomap serve` beside the camera.",
        )
    headers = {"Authorization": f"Bearer {shown}", "Accept": "application/zip"}
    if deployment is not None:
        headers["azureml-model-deployment"] = deployment
    read = time.perf_counter()
    with azure_faults(f"endpoint {endpoint}"):
        answer = _post(connection, endpoint, HttpRequest("POST", str(found.scoring_uri), files=files, headers=headers))
    done = time.perf_counter()
    content = answer.read()
    result = _kept(endpoint, content, out, overwrite=overwrite)
    times = {"reading": round(read - begun, 3), "round_trip": round(done - read, 3)}
    return Scored(result, sent, len(content), times)


def _packed(path: Path) -> bytes:
    """Compress a frame losslessly to about half its size, so that three of them fit into one request."""
    taken_at = read_frame(path).taken_at  # raises if the file is not a frame
    buffer = io.BytesIO()
    imwrite(buffer, imread(path), photometric="minisblack", metadata=None, compression="zlib", datetime=taken_at)
    return buffer.getvalue()


def _shown(connection: Connection, endpoint: str) -> str:
    """The credential that the endpoint requires: its key, its own token, or the caller's token for Azure's endpoints."""
    found = connection.client.online_endpoints.get_keys(endpoint)
    return str(found.primary_key if isinstance(found, EndpointAuthKeys) else found.access_token)


def _post(connection: Connection, endpoint: str, request: HttpRequest) -> HttpResponse:
    try:
        return connection.ask(request, signed=False, timeout=_SECONDS)
    except HttpResponseError as error:
        if error.status_code in _TURNED_AWAY:
            raise AzureError(f"endpoint {endpoint}", *_TURNED_AWAY[error.status_code]) from error
        problem = _problem(error)
        if problem is None:
            raise
        raise UsageError(
            f"endpoint {endpoint}", f"refuses the frame: {problem['detail']}", str(problem.get("remedy", ""))
        ) from error


def _problem(error: HttpResponseError) -> dict[str, Any] | None:
    """The problem reported by GlioMap's scoring script, if the answer comes from it."""
    try:
        told = json.loads(error.response.text()) if error.response is not None else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and "detail" in told else None


def _kept(endpoint: str, content: bytes, out: Path | None, *, overwrite: bool) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in MAP_FILES}
            result: dict[str, Any] = json.loads(files[RESULT])
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        told = "Was it deployed with `gliomap azure deploy`? Deploy it with this version."
        raise AzureError(f"endpoint {endpoint}", f"answers with something other than a map ({error})", told) from error
    if out is not None:
        with atomic_folder(out, overwrite=overwrite) as folder:
            for name, part in files.items():
                (folder / name).write_bytes(part)
    return result
