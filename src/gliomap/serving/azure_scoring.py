"""The scoring script of an Azure Machine Learning endpoint: its inference server calls `init` and `run`.

The engine, the checks and the answers are those of `gliomap serve`. A request is the thesis's JSON, or
multipart/form-data with the files `raw`, `white` and `dark` (TIFF or uint16 numbers), answered in the form that the Accept
header asks for. The bundle is found in AZUREML_MODEL_DIR.
"""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

from gliomap.bundles import MANIFEST
from gliomap.errors import BundleError, GlioMapError, RequestError
from gliomap.serving._answers import Answer, chosen_form
from gliomap.serving._bodies import ROLES, FrameBytes
from gliomap.serving._json import dump_json
from gliomap.serving._problems import MEDIA_TYPE, problem_of
from gliomap.serving._service import Ask, Service
from gliomap.serving._settings import ServiceSettings
from gliomap.serving._thesis import thesis_answer

__all__ = ["find_bundle", "init", "run"]

MODEL_VARIABLE = "AZUREML_MODEL_DIR"
_CLIENT = "azure"


def init() -> None:
    """Load the bundle and try it out; the endpoint is not ready before that."""
    _service()


def run(request: AMLRequest) -> AMLResponse:
    """Answer one request; faults become RFC 9457 problem details, as in the service."""
    name = request.headers.get("x-ms-request-id") or uuid.uuid4().hex
    try:
        answer = _answer(request, name)
    except GlioMapError as error:
        problem = problem_of(error, name)
        body = dump_json(problem.model_dump(mode="json", exclude_none=True))
        return AMLResponse(body, problem.status, {"Content-Type": MEDIA_TYPE})
    response = AMLResponse(answer.body, 200, {"Content-Type": answer.media_type})
    # Not through the constructor, which splits values at commas into several headers.
    response.headers.update(answer.headers)
    return response


rawhttp(run)
"""Marks `run` for the server, which then passes requests on unchanged."""


def find_bundle(folder: Path) -> Path:
    """Find the bundle in a model's folder: the folder itself, or the one folder or .zip below it.

    Raises
    ------
    BundleError
        There is none, or more than one.
    """
    found = sorted({path.parent for path in folder.rglob(MANIFEST)} | set(folder.rglob("*.zip")))
    if len(found) != 1:
        raise BundleError(
            folder,
            f"holds {len(found) or 'no'} bundles",
            "Register one bundle as the model: gliomap azure deploy BUNDLE.",
        )
    return found[0]


@cache
def _service() -> Service:
    return Service(ServiceSettings(bundle=find_bundle(Path(os.environ[MODEL_VARIABLE])), max_reference_age=None))


def _answer(request: AMLRequest, name: str) -> Answer:
    if request.mimetype == "application/json":
        return Answer(thesis_answer(_service(), request.get_data(), _CLIENT, name)[0], "application/json", {})
    frames = {role: FrameBytes.guessed(request.files[role].read()) for role in ROLES if role in request.files}
    if not frames:
        raise RequestError(
            "body",
            f"is {request.mimetype or 'of no type'}, without the file of a frame",
            "Send multipart/form-data with raw, white and dark, or the thesis's JSON.",
            status=415,
        )
    form = chosen_form(request.headers.get("Accept", "*/*"), request.args.get("picture"))
    return _service().answer(Ask("score", _CLIENT, name, frames, None), form)
