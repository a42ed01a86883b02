"""Every kind of client gets the same labels for the same frame."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import tritonclient.http as triton
from PIL import Image
from websockets.sync.client import connect

from gliomap.engine import Engine
from gliomap.errors import CaptureError, RequestError
from gliomap.serving import AsyncClient, Client
from gliomap.serving._metrics import Metrics
from gliomap.serving._reply import pack_reply, unpack_reply
from gliomap.serving._schemas import StreamReply
from gliomap.serving._stream import Stream
from gliomap.serving._thesis import thesis_picture
from serving.servers import COMMAND, RunningServer, Scene, answer_of

Labels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def client(server: RunningServer, scene: Scene) -> Client:
    """A client whose references are stored in the service."""
    with server.client() as client:
        client.put_references("or-1", scene.files["white"], scene.files["dark"])
        yield client


def png_labels(content: bytes) -> Labels:
    image = Image.open(io.BytesIO(content))
    assert image.mode == "P"
    return np.asarray(image)


def test_tiff_bytes_give_labels_probabilities_and_mask(client: Client, scene: Scene, expected: Labels) -> None:
    found = client.classify(scene.files["raw"], references="or-1")
    np.testing.assert_array_equal(found.labels, expected)
    assert found.probabilities.shape == (*expected.shape, 5)
    np.testing.assert_array_equal(found.mask, expected > 0)
    assert found.blanked is None


def test_an_array_gives_the_same_labels(client: Client, scene: Scene, expected: Labels) -> None:
    np.testing.assert_array_equal(client.classify(scene.raw, references="or-1").labels, expected)


def test_a_frame_may_bring_its_own_references(client: Client, scene: Scene, expected: Labels) -> None:
    found = client.classify(scene.raw, references=(scene.white, scene.dark))
    np.testing.assert_array_equal(found.labels, expected)


@pytest.mark.parametrize("change", [np.transpose, np.float32, np.int32], ids=["transposed", "float", "signed"])
def test_arrays_of_another_shape_or_type_are_refused(
    client: Client, scene: Scene, change: Callable[[npt.NDArray[np.uint16]], npt.NDArray[Any]]
) -> None:
    # Each has as many bytes as a frame, or would be cut to as many, and used to give a map of other numbers.
    wrong = change(scene.raw)
    with pytest.raises((CaptureError, RequestError), match="shape"):
        client.classify(wrong, references="or-1")
    with pytest.raises((CaptureError, RequestError), match=r"pixels|shape"):
        client.classify(wrong, references=(scene.white, scene.dark))
    with pytest.raises(CaptureError, match="shape"):
        list(client.stream([wrong], references="or-1"))


def test_an_async_stream_refuses_an_array_of_another_shape(server: RunningServer, client: Client, scene: Scene) -> None:
    del client

    async def frames() -> AsyncIterator[npt.NDArray[np.uint16]]:
        yield scene.raw
        yield scene.raw.T

    async def ask() -> None:
        async with AsyncClient(server.url) as one:
            async for reply, _ in one.stream(frames(), references="or-1"):
                assert reply.problem is None

    with pytest.raises(CaptureError, match="shape"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_the_summary_has_the_same_labels_and_counts(client: Client, scene: Scene, expected: Labels) -> None:
    found = client.summary(scene.files["raw"], references="or-1")
    assert found.labels_png is not None
    np.testing.assert_array_equal(png_labels(base64.b64decode(found.labels_png)), expected)
    assert [one.pixels for one in found.classes] == [int((expected == index).sum()) for index in range(1, 6)]
    assert {"read", "decode", "graph", "finish"} <= set(found.timings_ms)


def test_the_summary_has_the_colours_of_the_palette(client: Client, server: RunningServer, scene: Scene) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncClient(server.url) as one:
            return (await one.summary(scene.raw, "or-1", palette="safe")).classes

    safe = client.summary(scene.raw, "or-1", palette="safe").classes
    assert safe == asyncio.run(ask())
    assert safe != client.summary(scene.raw, "or-1").classes


def test_the_label_picture_has_the_same_labels_and_others_are_rgb(
    client: Client, scene: Scene, expected: Labels
) -> None:
    labels = client.picture(scene.files["raw"], "or-1", "labels")
    np.testing.assert_array_equal(png_labels(labels), expected)
    for kind in ("map", "overlay"):
        picture = Image.open(io.BytesIO(client.picture(scene.files["raw"], "or-1", kind, palette="safe")))
        assert picture.mode == "RGB"
        assert min(picture.size) > 100


def test_a_tiff_answer_has_the_same_labels(
    server: RunningServer, client: Client, scene: Scene, expected: Labels
) -> None:
    del client
    answer = answer_of(
        "POST",
        f"{server.url}/v1/classify?references=or-1",
        content=scene.files["raw"],
        headers={"Content-Type": "image/tiff", "Accept": "image/tiff;q=0.9, text/html;q=0.1"},
    )
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(answer.content)), expected)


def test_a_stream_gives_the_same_labels(client: Client, scene: Scene, expected: Labels) -> None:
    replies = list(client.stream([scene.files["raw"], scene.raw], references="or-1"))
    assert [reply.sequence for reply, _ in replies] == [1, 2]
    for reply, body in replies:
        assert reply.shape == expected.shape
        assert reply.dropped_total == 0
        np.testing.assert_array_equal(np.frombuffer(body, np.uint8).reshape(reply.shape), expected)
    ((_, picture),) = client.stream([scene.raw], references="or-1", encoding="png")
    np.testing.assert_array_equal(png_labels(picture), expected)


def test_a_program_with_a_half_read_stream_ends(
    server: RunningServer, client: Client, scene: Scene, tmp_path: Path
) -> None:
    del client
    np.save(tmp_path / "raw.npy", scene.raw)
    program = f"""import numpy
from gliomap.serving import Client
replies = Client({server.url!r}).stream([numpy.load({str(tmp_path / "raw.npy")!r})] * 9, references="or-1")
print(next(replies)[0].sequence)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_stream_with_an_invalid_references_id_is_refused(client: Client, scene: Scene) -> None:
    with pytest.raises(RequestError, match="id 'or 1&x': is not a valid id for references"):
        list(client.stream([scene.raw], references="or 1&x"))


def test_a_frame_that_exhausts_memory_does_not_end_its_stream() -> None:
    def classify(_: object) -> None:
        raise MemoryError

    service = SimpleNamespace(classify=classify, metrics=Metrics())
    stream = Stream(SimpleNamespace(), service, "camera", "id", "or-1", "labels", "classic", None)
    reply, body = unpack_reply(stream.reply({"sequence": 1, "dropped": 0, "dropped_total": 0}, b"", 0.0))
    assert (reply.sequence, reply.problem["status"], body) == (1, 503, b"")


def test_a_stream_reply_begins_with_the_length_of_its_head() -> None:
    """As documented for clients of other languages: uint32, little-endian."""
    head = StreamReply(sequence=3, dropped=0, dropped_total=1, encoding="labels", blanked="why " * 100)
    text = head.model_dump_json(exclude_none=True).encode()
    message = pack_reply(head, b"map")
    assert message == bytes([len(text) % 256, len(text) // 256, 0, 0]) + text + b"map"
    assert unpack_reply(message) == (head, b"map")


@pytest.mark.parametrize("message", [b"", b"\x10", b"\x02\0\0\0{}", b"\x02\0\0\0[]", b"\x30\0\0\0{", b"<html>"])
def test_malformed_stream_replies_are_refused(message: bytes) -> None:
    with pytest.raises(RequestError, match="is not a reply of a stream"):
        unpack_reply(message)


def test_a_plain_websocket_gives_the_same_labels(
    server: RunningServer, client: Client, scene: Scene, expected: Labels
) -> None:
    del client
    url = server.url.replace("http", "ws")
    with connect(f"{url}/v1/stream?references=or-1", compression=None) as socket:
        socket.send(scene.raw.tobytes())
        reply, body = unpack_reply(socket.recv())
    np.testing.assert_array_equal(np.frombuffer(body, np.uint8).reshape(reply.shape), expected)


def test_the_async_client_gives_the_same_labels(
    server: RunningServer, client: Client, scene: Scene, expected: Labels
) -> None:
    del client

    async def frames() -> AsyncIterator[npt.NDArray[np.uint16]]:
        for _ in range(20):
            yield scene.raw

    async def ask() -> tuple[Labels, list[int]]:
        async with AsyncClient(server.url) as one:
            found = await one.classify(scene.raw, "or-1")
            own = await one.summary(scene.raw, (scene.white, scene.dark))
            assert own.classified == np.count_nonzero(found.labels)
            assert png_labels(await one.picture(scene.raw, "or-1", "labels")).shape == found.labels.shape
            assert "result.json" in await one.everything(scene.raw, "or-1")
            with pytest.raises(RequestError, match="nobody"):
                _ = [reply async for reply in one.stream(frames(), references="nobody")]
            seen = [reply.sequence + 0 * len(body) async for reply, body in one.stream(frames(), references="or-1")]
            return found.labels, seen

    labels, seen = asyncio.run(ask())
    np.testing.assert_array_equal(labels, expected)
    assert seen[-1] == 20
    assert seen == sorted(set(seen))


def test_a_client_of_the_thesis_gets_its_picture(server: RunningServer, bundle: Path, scene: Scene) -> None:
    request = {
        "raw_image": scene.raw.tolist(),
        "white_ref": scene.white.tolist(),
        "black_ref": scene.dark.tolist(),
        "patch_size": 7,
        "batch_size": 16,
        "patient_id": "ID0018C09",
    }
    answer = answer_of("POST", f"{server.url}/score", json=request)
    # The SDK decoded the answer once, and the client once more.
    found = json.loads(answer.json())
    assert set(found) == {
        "classification_map",
        "time_parsing_data",
        "time_preProcessing_data",
        "time_preparing_batches",
        "time_predict_cMap",
    }
    picture = np.array(found["classification_map"], np.uint8)
    engine = Engine.open(bundle)
    tissue = engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))
    assert picture.shape == (576, 768, 4)
    np.testing.assert_array_equal(picture, thesis_picture(tissue))


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_same_labels(
    server: RunningServer, client: Client, scene: Scene, expected: Labels, binary: bool
) -> None:
    del client
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as one:
        assert one.is_server_live()
        assert one.is_server_ready()
        assert one.is_model_ready("gliomap")
        metadata = one.get_model_metadata("gliomap")
        assert [tensor["name"] for tensor in metadata["inputs"]] == ["raw", "white", "dark"]
        tensors = []
        for role in ("raw", "white", "dark"):
            tensors.append(triton.InferInput(role, list(scene.raw.shape), "UINT16"))
            tensors[-1].set_data_from_numpy(getattr(scene, role), binary_data=binary)
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("labels", "probabilities")]
        found = one.infer("gliomap", tensors, outputs=outputs, request_id="7")
        kept = one.infer("gliomap", tensors[:1], outputs=outputs, parameters={"references": "or-1"})
    assert found.get_response()["id"] == "7"
    for answer in (found, kept):
        np.testing.assert_array_equal(answer.as_numpy("labels"), expected)
        assert answer.as_numpy("probabilities").shape == (*expected.shape, 5)


def test_all_clients_get_the_same_labels(server: RunningServer, scene: Scene, expected: Labels, tmp_path: Path) -> None:
    """The thesis's client, Triton's, the WebSocket, the Python client and the command: one frame, the same labels."""
    for role, content in scene.files.items():
        (tmp_path / f"{role}.tif").write_bytes(content)
    found: dict[str, Labels] = {}
    with server.client() as client:
        client.put_references("agree", scene.white, scene.dark)
        found["Python"] = client.classify(scene.raw, references="agree").labels
        ((reply, body),) = client.stream([scene.raw], references="agree")
        found["WebSocket"] = np.frombuffer(body, np.uint8).reshape(reply.shape)
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as one:
        tensor = triton.InferInput("raw", list(scene.raw.shape), "UINT16")
        tensor.set_data_from_numpy(scene.raw)
        found["tritonclient"] = one.infer("gliomap", [tensor], parameters={"references": "agree"}).as_numpy("labels")
    words = ["score", server.url, "--raw", "raw.tif", "--white", "white.tif", "--dark", "dark.tif", "-o", "map"]
    subprocess.run([COMMAND, *words, "--quiet"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    found["command"] = np.load(tmp_path / "map" / "labels.npy")
    names = {"raw_image": scene.raw, "white_ref": scene.white, "black_ref": scene.dark}
    request = {name: frame.tolist() for name, frame in names.items()} | {"patch_size": 7, "batch_size": 16}
    answer = answer_of("POST", f"{server.url}/score", json=request)
    found["thesis"] = labels_of_picture(
        np.array(json.loads(answer.json())["classification_map"], np.uint8), expected.shape
    )
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, expected, err_msg=name)


def labels_of_picture(picture: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> Labels:
    """Labels from the colours of the thesis's picture, read at the centre of the area of each pixel."""
    height, width = shape
    scale = min(576 / height, 768 / width)
    top, left = (576 - round(height * scale)) // 2, (768 - round(width * scale)) // 2
    rows, columns = (
        (start + (np.arange(count) + 0.5) * scale).astype(int) for start, count in ((top, height), (left, width))
    )
    seen = picture[np.ix_(rows, columns)][..., :3].astype(int)
    colours = np.array([[0, 255, 0], [255, 0, 0], [0, 0, 255], [0, 255, 255], [255, 0, 255]])
    labels = np.zeros(shape, np.uint8)
    for index, colour in enumerate(colours, 1):
        labels[(seen == colour).all(axis=2)] = index
    return labels
