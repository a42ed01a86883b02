"""Whatever is sent, the service answers with a map or an explained refusal, and keeps running."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from gliomap.engine import Engine
from serving.servers import RunningServer, Scene, answer_of, tiff

ROUNDS = 2000


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, remove, repeat or insert bytes, or cut off the end."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, max(1, min(len(data), 400 if rng.random() < 0.7 else len(data)))))
        kind = rng.integers(0, 5)
        if kind == 0 and data:
            data[at % len(data)] ^= int(rng.integers(1, 256))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 50))]
        elif kind == 2:
            data[at:at] = data[at : at + 20]
        elif kind == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:
            del data[at:]
    return bytes(data)


@pytest.fixture
def client(server: RunningServer, scene: Scene) -> Iterator[httpx.Client]:
    with server.client() as known:
        known.put_references("fuzz", scene.white, scene.dark)
    with httpx.Client(base_url=server.url, timeout=30) as plain:
        yield plain


def test_mutated_bodies_cause_no_server_error_and_no_memory_growth(
    server: RunningServer, client: httpx.Client, scene: Scene
) -> None:
    rng = np.random.default_rng(0)
    lists = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    tensor = {"name": "raw", "shape": list(scene.raw.shape), "datatype": "UINT16", "data": scene.raw.ravel().tolist()}
    infer = {"inputs": [tensor], "parameters": {"references": "fuzz"}}
    buffer = io.BytesIO()
    np.save(buffer, scene.raw)
    targets: list[tuple[str, str, bytes]] = [
        ("/v1/classify?references=fuzz", "image/tiff", scene.files["raw"]),
        ("/v1/classify?references=fuzz", "image/tiff", compressed(scene)),
        ("/v1/classify?references=fuzz", "application/octet-stream", buffer.getvalue()),
        ("/score", "application/json", json.dumps(lists).encode()),
        ("/v2/models/gliomap/infer", "application/json", json.dumps(infer).encode()),
    ]
    before, seen = 0, Counter[int]()
    for number in range(ROUNDS):
        path, kind, content = targets[number % len(targets)]
        answer = client.post(path, content=mutated(content, rng), headers={"Content-Type": kind})
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (path, answer.text[:300])
        if answer.status_code >= 400:
            problem = answer.json()
            assert {"title", "status", "detail", "remedy", "request_id"} <= set(problem)
        if number == ROUNDS // 4:
            before = server.resident()
    assert sum(count for status, count in seen.items() if status >= 400) > ROUNDS // 2
    assert server.resident() < 1.3 * before
    assert client.get("/health/ready").status_code == 200


def compressed(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, scene.raw, compression="zlib", metadata=None)
    return buffer.getvalue()


def bomb(rows: int, columns: int) -> bytes:
    """A TIFF of zeros, deflated to nearly nothing."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((rows, columns), np.uint16), compression="zlib", metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"junk", "not a readable TIFF"),
        (bomb(4000, 5000), "the sensor's frame is"),
        (tiff(np.zeros((5, 5), np.uint16)), "5×5 pixels"),
    ],
)
def test_invalid_frames_are_refused(client: httpx.Client, content: bytes, fault: str) -> None:
    answer = client.post("/v1/classify?references=fuzz", content=content, headers={"Content-Type": "image/tiff"})
    assert answer.status_code == 422
    assert fault in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/score", "/v2/models/gliomap/infer"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 5_000_000,
        b'{"inputs":' * 100_000,
        b'{"raw_image": [[1e999]]}',
        b"\xff\xfe{}",
        b"NaN",
        b'"' + b"x" * 9_000_000,
    ],
    ids=["deep lists", "deep objects", "infinity", "not UTF-8", "NaN", "a very long text"],
)
def test_hostile_json_is_refused(server: RunningServer, client: httpx.Client, path: str, content: bytes) -> None:
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["remedy"]
    assert server.process.poll() is None


def test_decompression_bombs_cost_no_memory(server: RunningServer, client: httpx.Client, scene: Scene) -> None:
    client.post("/v1/classify?references=fuzz", content=scene.files["raw"], headers={"Content-Type": "image/tiff"})
    before = server.resident()
    largest = before
    for content in (bomb(12_000, 12_000), pages(scene, 300), b"\x1f\x8b\x08" + bytes(1000)):
        for _ in range(3):
            answer = client.post(
                "/v1/classify?references=fuzz", content=content, headers={"Content-Type": "image/tiff"}
            )
            assert answer.status_code == 422
            largest = max(largest, server.resident())
    assert largest - before < 100_000, "in KiB; unpacked, the first file alone has 288 MB"


def pages(scene: Scene, count: int) -> bytes:
    """A TIFF of many pages."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(count):
            writer.write(scene.raw, metadata=None, contiguous=False)
    return buffer.getvalue()


def test_colour_pictures_are_refused(client: httpx.Client, scene: Scene) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", scene.raw.shape[::-1]).save(buffer, "TIFF")
    answer = client.post(
        "/v1/classify?references=fuzz", content=buffer.getvalue(), headers={"Content-Type": "image/tiff"}
    )
    assert answer.status_code == 422
    assert "channels" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Content-Type": "text/html"}, "references=fuzz", 415),
        ({"Accept": "video/mp4"}, "references=fuzz", 406),
        ({}, "references=nobody", 404),
        ({}, "references=../etc", 400),
        ({}, "references=fuzz&picture=gif", 400),
        ({}, "references=fuzz&palette=loud", 400),
        ({}, "references=fuzz&patient=ID%00018", 400),
        ({"X-Frame-Shape": "wide"}, "references=fuzz", 400),
        ({"X-Frame-Shape": "10x10", "Content-Type": "application/octet-stream"}, "references=fuzz", 422),
        ({"Content-Type": "multipart/form-data"}, "references=fuzz", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "references=fuzz", 400),
        ({}, "", 400),
    ],
)
def test_invalid_headers_and_queries_are_refused_with_a_remedy(
    client: httpx.Client, scene: Scene, headers: dict[str, str], query: str, status: int
) -> None:
    given = {"Content-Type": "image/tiff", **headers}
    answer = client.post(f"/v1/classify?{query}", content=scene.files["raw"], headers=given)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["remedy"]


def test_references_are_either_named_or_sent_along(client: httpx.Client, scene: Scene) -> None:
    answer = client.post("/v1/classify?references=fuzz", files=scene.files)
    assert answer.status_code == 400
    assert "also sends white and dark" in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["application/json", "image/png"])
def test_a_frame_identical_to_a_reference_is_refused(client: httpx.Client, scene: Scene, accept: str) -> None:
    answer = client.post("/v1/classify?references=fuzz", content=scene.files["white"], headers={"Accept": accept})
    assert answer.status_code == 422
    assert "is identical to a reference" in answer.json()["detail"]


def test_a_frame_brighter_than_its_white_causes_a_warning(client: httpx.Client, scene: Scene) -> None:
    bright = scene.raw.copy()
    bright[: len(bright) // 3] = np.minimum(scene.white[: len(bright) // 3] + 50, 1000)
    answer = client.post("/v1/classify?references=fuzz", content=tiff(bright))
    assert answer.status_code == 200
    assert any("brighter than the white" in one for one in answer.json()["warnings"])


class TestReferences:
    def put(self, client: httpx.Client, name: str = "x", query: str = "", **files: bytes) -> httpx.Response:
        return client.put(f"/v1/references/{name}?{query}", files=files)

    def test_swapped_references_are_refused(self, client: httpx.Client, scene: Scene) -> None:
        answer = self.put(client, white=scene.files["dark"], dark=scene.files["white"])
        assert answer.status_code == 422
        assert "look swapped" in answer.json()["detail"]
        assert client.get("/v1/references/x").status_code == 404

    def test_a_missing_file_is_refused(self, client: httpx.Client, scene: Scene) -> None:
        assert "no file dark" in self.put(client, white=scene.files["white"]).json()["detail"]

    def test_an_unknown_file_is_refused(self, client: httpx.Client, scene: Scene) -> None:
        assert self.put(client, white=scene.files["white"], dark=scene.files["dark"], grey=b"").status_code == 400

    def test_text_instead_of_a_file_is_refused(self, client: httpx.Client, scene: Scene) -> None:
        answer = client.put("/v1/references/x", files={"white": scene.files["white"]}, data={"dark": "text"})
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("name", "status", "detail"),
        [
            ("%2E%2E", 400, "id '..': is not a valid id for references"),
            ("a b", 400, "id 'a b': is not a valid id for references"),
            ("%00", 400, r"id '\x00': is not a valid id for references"),
            ("a%0A", 400, r"id 'a\n': is not a valid id for references"),
            ("-x", 400, "id '-x': is not a valid id for references"),
            ("x" * 65, 400, f"id {'x' * 64!r}: is not a valid id for references"),
            ("a%2Fb", 404, "PUT /v1/references/a/b: not found"),
            ("", 404, "PUT /v1/references/: not found"),
        ],
    )
    def test_an_invalid_id_is_refused_with_its_status_and_reason(
        self, client: httpx.Client, scene: Scene, name: str, status: int, detail: str
    ) -> None:
        answer = self.put(client, name, white=scene.files["white"], dark=scene.files["dark"])
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)
        assert answer.json()["remedy"]

    def test_an_id_of_64_characters_is_valid(self, client: httpx.Client, scene: Scene) -> None:
        name = "a" + "._-9" * 15 + "xyz"
        assert self.put(client, name, white=scene.files["white"], dark=scene.files["dark"]).status_code == 201
        assert client.delete(f"/v1/references/{name}").status_code == 204

    def test_incomplete_exposure_times_are_refused(self, client: httpx.Client, scene: Scene) -> None:
        answer = self.put(client, query="raw_ms=40", white=scene.files["white"], dark=scene.files["dark"])
        assert answer.status_code == 400
        assert "are incomplete" in answer.json()["detail"]

    def test_stored_references_are_described_and_deleted(self, client: httpx.Client) -> None:
        kept = client.get("/v1/references/fuzz").json()
        assert set(kept["sha256"]) == {"white", "dark"}
        assert client.delete("/v1/references/fuzz").status_code == 204
        assert client.delete("/v1/references/fuzz").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"raw_image": None},
        {"raw_image": []},
        {"raw_image": [[]]},
        {"raw_image": [[1, 2], [3]]},
        {"raw_image": [[1.5]]},
        {"raw_image": [[-1]]},
        {"raw_image": [["1"]]},
        {"raw_image": [[70000]]},
        {"raw_image": [[[1]]]},
        {"raw_image": 3},
        {"patient_id": 7},
        {"patient_id": "x" * 200},
        {"patient_id": "ID\x000018"},
    ],
    ids=str,
)
def test_thesis_json_with_one_fault_is_refused(client: httpx.Client, scene: Scene, change: dict[str, Any]) -> None:
    good = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    answer = client.post("/score", json=good | change)
    assert answer.status_code in (400, 422)
    fault = "raw:" if answer.status_code == 422 else f"{next(iter(change))}:"
    assert answer.json()["detail"].startswith(fault)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": []},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "BF16", "data": [1, 2]}]},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "UINT16", "data": [1]}]},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "UINT16", "data": [1, 99999999]}]},
        {"inputs": [{"name": "raw", "shape": [-2], "datatype": "UINT16"}]},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "UINT16", "parameters": {"binary_data_size": 4}}]},
        {"inputs": [{"name": "cooked", "shape": [2], "datatype": "UINT16", "data": [1, 2]}]},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "UINT16", "data": [1.5, 2]}]},
        {"inputs": [{"name": "raw", "shape": [2], "datatype": "UINT16", "data": [True, "2"]}]},
        {"inputs": [{"name": "raw", "shape": [2, 1], "datatype": "UINT16", "data": [[1], [2, 3]]}]},
        {"outputs": [{"name": "nothing"}]},
        {"parameters": {"references": 3}},
        {"parameters": {"references": "nobody"}},
        {"parameters": {"references": "fuzz", "patient": "ID\x000018"}},
    ],
    ids=str,
)
def test_tensors_with_one_fault_are_refused(client: httpx.Client, scene: Scene, change: dict[str, Any]) -> None:
    tensor = {"name": "raw", "shape": list(scene.raw.shape), "datatype": "UINT16", "data": scene.raw.ravel().tolist()}
    good = {"inputs": [tensor], "parameters": {"references": "fuzz"}}
    answer = client.post("/v2/models/gliomap/infer", json=good | change)
    assert answer.status_code in (400, 404, 422), answer.text[:300]
    assert client.post("/v2/models/other/infer", json=good).status_code == 404


def test_a_frame_with_stale_references_gives_a_blank_map(server: RunningServer, bundle: Path, scene: Scene) -> None:
    def dated(frame: Any, when: str) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, frame, photometric="minisblack", metadata=None, datetime=when)
        return buffer.getvalue()

    with server.client() as client:
        old = "2026:11:23 08:00:00"
        client.put_references("old", dated(scene.white, old), dated(scene.dark, old))
        found = client.summary(dated(scene.raw, "2026:11:23 09:30:00"), references="old")
        fresh = client.summary(dated(scene.raw, "2026:11:23 08:30:00"), references="old")
        undated = client.summary(scene.raw, references="old")
    assert found.blanked is not None
    assert "90.0 min older" in found.blanked
    assert found.classified == 0
    assert fresh.blanked is None
    assert undated.blanked is None, (
        "without a camera time, the server's time counts, and the references have just arrived"
    )
    assert Engine.open(bundle).max_reference_age is None


@schemathesis.serializer("application/zip", "image/tiff")
def send_unchanged(_: Any, value: Any) -> Any:
    """Send unstructured bodies as the generated bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.slow
def test_requests_generated_from_the_schema_cause_no_server_error(server: RunningServer) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    seen = Counter[int]()
    for found in schema.get_all_operations():
        operation = found.ok()
        try_operation(operation, GenerationMode.POSITIVE, server, seen)
        with contextlib.suppress(Unsatisfiable):  # for some operations every possible request is valid
            try_operation(operation, GenerationMode.NEGATIVE, server, seen)
    assert sum(seen.values()) > 200
    assert all(status < 500 for status in seen), seen
    assert answer_of("GET", f"{server.url}/health/ready").status_code == 200


def try_operation(operation: Any, mode: GenerationMode, server: RunningServer, seen: Counter[int]) -> None:
    """Send requests generated for one operation; the answers must have the types and form that the schema states."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    def check(case: schemathesis.Case) -> None:
        answer = case.call(base_url=server.url)
        seen[answer.status_code] += 1
        case.validate_response(
            answer, checks=[not_a_server_error, content_type_conformance, response_schema_conformance]
        )

    check()
