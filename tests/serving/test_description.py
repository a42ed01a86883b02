"""The description of the interface: readable without internet, and every example in it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.servers import ADMIN, GUARDED, RunningServer, answer_of, start

METHODS = ("get", "put", "post", "delete")
NO_BUNDLE = ("put", "/v1/model")
"""Its body is a bundle, and there is no synthetic one; without a body it reads its own anew, as version 4."""


@pytest.fixture(scope="module")
def guarded(bundle: Any) -> Iterator[httpx.Client]:
    """A client with all rights, of a service with keys."""
    with (
        start(bundle, env=GUARDED) as server,
        httpx.Client(base_url=server.url, headers={"X-API-Key": ADMIN}, timeout=60) as client,
    ):
        yield client


def test_the_docs_page_needs_no_internet(server: RunningServer) -> None:
    page = answer_of("GET", f"{server.url}/docs").text
    assert "GlioMap" in page
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", page) == []
    files = re.findall(r"(?:src|href)\s*=\s*[\"'](/[^\"']+)", page)
    assert len(files) >= 3
    for file in files:
        assert answer_of("GET", f"{server.url}{file}").status_code == 200, file
    assert "swagger-ui" in page


def test_the_description_says_how_a_key_is_sent(server: RunningServer) -> None:
    description = answer_of("GET", f"{server.url}/openapi.json").json()
    schemes = description["components"]["securitySchemes"]
    assert {(one["type"], one.get("scheme"), one.get("name")) for one in schemes.values()} == {
        ("http", "bearer", None),
        ("apiKey", None, "X-API-Key"),
    }
    guarded = {
        path for path, operations in description["paths"].items() for one in operations.values() if "security" in one
    }
    assert {"/v1/classify", "/score", "/v2/models/{name}/infer", "/v1/references/{id}"} <= guarded
    assert "/health/ready" not in guarded


def test_every_operation_runs_with_its_examples(guarded: httpx.Client) -> None:
    description = guarded.get("/openapi.json").json()
    ran = []
    # References are put before frames name them, and deleted after all the rest; then the model is exchanged.
    order = {"put": 0, "get": 1, "post": 2, "delete": 3}
    operations = [
        (method, path, operation)
        for path, found in description["paths"].items()
        for method, operation in found.items()
        if method in METHODS
    ]
    for method, path, operation in sorted(operations, key=lambda one: 4 if one[:2] == NO_BUNDLE else order[one[0]]):
        filled, query = parameters(path, operation)
        for sent in bodies(guarded, method, path, operation):
            # References are either named or sent along, never both.
            named = {} if "white" in sent.get("files", {}) else query
            answer = guarded.request(method, filled, params=named, **sent)
            assert answer.is_success, (method, path, answer.text[:300])
            ran.append((method, path, *sent.get("headers", {}).values()))
    assert ("post", "/v1/classify", "image/tiff") in ran
    assert ("post", "/v1/classify", "application/octet-stream") in ran
    assert ("post", "/score", "application/json") in ran
    assert ("post", "/v2/models/{name}/infer", "application/json") in ran
    assert len(ran) >= 22


def parameters(path: str, operation: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The path filled with the examples of its parameters, and a query made of examples."""
    query = {}
    for one in operation.get("parameters", []):
        examples = one["schema"].get("examples") or one.get("examples")
        if one["in"] == "path":
            assert examples, (path, one["name"])
            path = path.replace(f"{{{one['name']}}}", examples[0])
        elif one["in"] == "query" and examples:
            query[one["name"]] = examples[0]
    return path, query


def bodies(client: httpx.Client, method: str, path: str, operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The example of each kind of body that an operation accepts."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content or (method, path) == NO_BUNDLE:
        yield {}
        return
    for kind, told in content.items():
        if kind == "multipart/form-data":
            fields = told["schema"]["properties"]
            yield {"files": {name: client.get(fields[name]["x-example"]).content for name in ("raw", "white", "dark")}
                   if "raw" in told["schema"]["required"]
                   else {name: client.get(fields[name]["x-example"]).content for name in ("white", "dark")}}  # fmt: skip
        elif "examples" in told:
            for example in told["examples"].values():
                file = client.get(example["externalValue"])
                assert file.headers["content-type"] == kind
                yield {"content": file.content, "headers": {"Content-Type": kind}}
        else:
            assert kind == "application/octet-stream", (path, kind)  # tensors after a header; /v2 also takes plain JSON


def test_the_thesis_example_has_the_fields_that_its_client_sent(guarded: httpx.Client) -> None:
    example = json.loads(guarded.get("/v1/examples/score.json").content)
    assert set(example) == {"raw_image", "white_ref", "black_ref", "patch_size", "batch_size", "patient_id"}
    assert guarded.get("/v1/examples/..%2Fmanifest.json").status_code in (404, 422)
