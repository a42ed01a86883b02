"""The scoring script under Azure's own inference server, with a real bundle."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from cloud.conftest import missing
from gliomap.captures import tiff_bytes
from gliomap.engine import Engine
from gliomap.errors import BundleError
from gliomap.serving import Service, ServiceSettings
from gliomap.serving._references import SPREAD
from serving.servers import Scene, answer_of, in_this_process, make_scene
from support import free_port, wait_until

SERVER = Path(sys.executable).with_name("azmlinfsrv")


@dataclass(frozen=True)
class Endpoint:
    """The running server, its bundle, and the labels that the engine gives."""

    url: str
    bundle: Path
    scene: Scene
    labels: np.ndarray


def start(model: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the inference server as an endpoint does."""
    port = free_port()
    script = folder / "score.py"
    script.write_text("from gliomap.serving.azure_scoring import init, run\n")
    arguments = ["--entry_script", str(script), "--model_dir", str(model), "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [SERVER, *arguments],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "AZUREML_MODEL_DIR": str(model), "OMP_NUM_THREADS": "1"},
        )
    return process, port


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The script with a small bundle, in the folders that Azure makes for a model."""
    if not SERVER.exists():
        missing("azureml-inference-server-http")
    folder = tmp_path_factory.mktemp("scoring")
    model = folder / "models" / "small" / "1"
    bundle = small_bundle(model / "bundle", network=window_network(), sensor=small_sensor())
    scene = make_scene(small_sensor())
    engine = Engine.open(bundle.path)
    references = engine.prepare(scene.white, scene.dark)
    labels = engine.classify_frame(scene.raw, references).labels
    process, port = start(model, folder)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), process, (folder / "log").read_text)
        yield Endpoint(f"{url}/score", bundle.path, scene, labels)
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_tiff_files_and_raw_numbers_give_the_labels_of_the_engine(endpoint: Endpoint) -> None:
    answer = answer_of("POST", endpoint.url, files=endpoint.scene.files, headers={"Accept": "application/zip"})
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        labels = np.load(io.BytesIO(archive.read("labels.npy")))
        result = json.loads(archive.read("result.json"))
    assert np.array_equal(labels, endpoint.labels)
    assert set(result["timings_ms"]) >= {"decode", "references", "graph"}
    numbers = {role: getattr(endpoint.scene, role).tobytes() for role in ("raw", "white", "dark")}
    again = answer_of("POST", endpoint.url, files=numbers, headers={"Accept": "application/x-npz"})
    assert np.array_equal(np.load(io.BytesIO(again.content))["labels"], endpoint.labels)


def test_warnings_with_commas_reach_the_client_whole(endpoint: Endpoint) -> None:
    eight_bit = {role: getattr(endpoint.scene, role) >> 2 for role in ("raw", "white", "dark")}
    frames = {role: tiff_bytes(frame.astype(np.uint8)) for role, frame in eight_bit.items()}
    answer = answer_of("POST", endpoint.url, files=frames, headers={"Accept": "application/x-npz"})
    assert answer.status_code == 200, answer.text
    assert SPREAD in answer.headers["GlioMap-Warnings"]
    assert "graph;dur=" in answer.headers["Server-Timing"]


def test_the_thesis_client_works_unchanged(endpoint: Endpoint) -> None:
    scene = endpoint.scene
    request = {"raw_image": scene.raw.tolist(), "white_ref": scene.white.tolist(), "black_ref": scene.dark.tolist()}
    answer = answer_of("POST", endpoint.url, json={**request, "patch_size": 7, "batch_size": 16})
    told = json.loads(answer.json())
    assert np.array(told["classification_map"]).shape == (576, 768, 4)
    assert set(told) == {
        "classification_map",
        "time_parsing_data",
        "time_preProcessing_data",
        "time_preparing_batches",
        "time_predict_cMap",
    }


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"content": b"x"}, 415, "multipart/form-data"),
        ({"json": {"raw_image": [[1]]}}, 400, "white_ref"),
        ({"files": {"raw": b"II*\x00no tiff"}}, 422, "raw"),
        ({"files": {"raw": b"12"}}, 422, "bytes"),
        ({"files": {"white": b"12"}, "headers": {"Accept": "text/html"}}, 406, "Accept"),
    ],
)
def test_bad_requests_get_a_problem_with_a_remedy(
    endpoint: Endpoint, request_: dict[str, object], status: int, words: str
) -> None:
    answer = answer_of("POST", endpoint.url, **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.text
    assert answer.json()["remedy"]


def test_swapped_references_are_refused_as_by_the_service(endpoint: Endpoint) -> None:
    files = endpoint.scene.files
    files["white"], files["dark"] = files["dark"], files["white"]
    answer = answer_of("POST", endpoint.url, files=files)
    with in_this_process(Service(ServiceSettings(endpoint.bundle, port=0))) as (_, host, port):
        wanted = answer_of("POST", f"http://{host}:{port}/v1/classify", files=files)
    assert answer.status_code == wanted.status_code == 422
    told, expected = answer.json(), wanted.json()
    assert told.pop("request_id") != expected.pop("request_id")
    assert told == expected
    assert (told["title"], told["remedy"]) == ("ReferenceFrameError", "Swap the two files.")
    assert "look swapped" in told["detail"]


def test_the_server_exits_if_the_model_holds_no_bundle(tmp_path: Path) -> None:
    if not SERVER.exists():
        missing("azureml-inference-server-http")
    (tmp_path / "model").mkdir()
    process, _ = start(tmp_path / "model", tmp_path)
    try:
        process.wait(180)
    finally:
        process.kill()
    assert "holds no bundles" in (tmp_path / "log").read_text()


def test_the_bundle_is_found_wherever_azure_puts_it(tmp_path: Path) -> None:
    scoring = pytest.importorskip("gliomap.serving.azure_scoring")
    bundle = small_bundle(tmp_path / "a" / "1" / "bundle").path
    assert scoring.find_bundle(tmp_path) == bundle
    assert scoring.find_bundle(bundle) == bundle
    shutil.copytree(bundle, tmp_path / "a" / "2")
    with pytest.raises(BundleError, match="holds 2 bundles"):
        scoring.find_bundle(tmp_path)
    packed = small_bundle(tmp_path / "zipped" / "one.zip").path
    assert scoring.find_bundle(packed.parent) == packed
