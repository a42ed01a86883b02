"""What a request leaves behind: an id, a line in the log, metrics and, on request, traces."""

from __future__ import annotations

import asyncio
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gliomap.serving._metrics import Metrics
from gliomap.serving._observe import Observer
from gliomap.serving._reply import unpack_reply
from serving.servers import RunningServer, Scene, answer_of, count, start


def test_request_ids_join_answer_log_and_archive(
    serve: Callable[..., RunningServer], scene: Scene, tmp_path: Path
) -> None:
    server = serve("--log-format", "json", "--archive", str(tmp_path / "cases"))
    answer = answer_of("POST", f"{server.url}/v1/classify", files=scene.files, headers={"X-Request-Id": "or-7.frame-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "or-7.frame-1"
    other = answer_of("POST", f"{server.url}/v1/classify", headers={"X-Request-Id": "a b; c"})
    assert other.headers["x-request-id"] == other.json()["request_id"] != "a b; c"
    line = json.loads(server.logged_line("or-7.frame-1"))
    assert (line["status"], line["path"], line["method"]) == (200, "/v1/classify", "POST")
    assert line["case"] == answer.headers["gliomap-case"]
    assert line["ms"] > 0


def test_messages_of_libraries_are_logged_in_the_same_form() -> None:
    """A line in another form breaks log collectors."""
    code = """import logging
from gliomap.serving._observe import set_up_logging
set_up_logging("json")
logging.getLogger("gliomap.serving").info("ours")
logging.getLogger("somebody.else").info("chatter")
logging.getLogger("somebody.else").warning("theirs")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["ours", "theirs"]


def test_a_refused_stream_is_logged_and_counted_with_its_status(server: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{server.url.replace('http', 'ws')}/v1/stream?references=nobody")
    answer = caught.value.response
    assert answer.status_code == 404
    assert "WEBSOCKET /v1/stream 404" in server.logged_line(answer.headers["x-request-id"])
    with server.client() as client:
        assert (
            count(client.metrics(), 'gliomap_requests_total{method="WEBSOCKET",route="/v1/stream",status="404"}') >= 1
        )


def test_an_internal_error_is_counted_as_500() -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    metrics = Metrics()
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Observer(broken, SimpleNamespace(metrics=metrics))(scope, broken, broken))
    assert 'gliomap_requests_total{method="GET",route="other",status="500"} 1.0' in metrics.text().decode()


def test_a_line_break_in_a_path_starts_no_line_in_the_log(server: RunningServer) -> None:
    assert answer_of("GET", f"{server.url}/nothing%0A12:00:00%20error%20forged").status_code == 404
    assert "GET /nothing%0A12%3A00%3A00%20error%20forged 404" in server.logged_line("forged")


def test_metrics_count_requests_stages_and_memory(server: RunningServer, scene: Scene) -> None:
    with server.client() as client:
        before = count(client.metrics(), 'gliomap_maps_total{kind="classify",outcome="map"}')
        client.classify(scene.raw, references=(scene.white, scene.dark))
        client.put_references("theatre-7", scene.white, scene.dark)
        after = client.metrics()
    assert count(after, 'gliomap_maps_total{kind="classify",outcome="map"}') == before + 1
    assert count(after, 'gliomap_stage_seconds_count{stage="graph"}') >= 1
    assert count(after, "process_resident_memory_bytes") > 1e7
    assert 'route="/v1/references/{id}"' in after
    assert "theatre-7" not in after, "ids that clients choose must not become labels"


def test_the_log_has_no_patient_and_no_forged_line(serve: Callable[..., RunningServer], scene: Scene) -> None:
    server = serve()
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
    streams = f"{server.url.replace('http', 'ws')}/v1/stream?patient=Jane-Doe&references="
    with connect(f"{streams}or-1") as socket:
        socket.send(scene.files["raw"])
        assert unpack_reply(socket.recv(timeout=30))[0].problem is None
    with pytest.raises(InvalidStatus):
        connect(f"{streams}nobody")
    answer_of(
        "POST", f"{server.url}/v1/classify", params={"references": "or-1", "patient": "Jane-Doe"}, content=b"junk"
    )
    for path in ("/a%0A12:00:00 info POST /v1/classify 200", "/\u202e%9b%1b[2J", "/" + "long" * 2000):
        assert answer_of("GET", f"{server.url}{path}").status_code == 404
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    logged = server.logged()
    assert "Jane-Doe" not in logged
    assert " error " not in logged, "a refused stream is not an error of the service"
    lines = logged.splitlines()
    assert not [line for line in lines if line.startswith("12:00:00 info POST")]
    assert logged.isascii()
    assert max(map(len, lines)) < 300


def test_an_opened_stream_returns_its_request_id(server: RunningServer, scene: Scene) -> None:
    with server.client() as client:
        client.put_references("told", scene.white, scene.dark)
    url, own = f"{server.url.replace('http', 'ws')}/v1/stream?references=told", {"X-Request-Id": "or-7.stream-1"}
    with connect(url, additional_headers=own) as opened:
        assert opened.response is not None
        assert opened.response.headers["x-request-id"] == "or-7.stream-1"


def test_frames_refused_in_a_row_are_logged_once_and_all_counted(
    serve: Callable[..., RunningServer], scene: Scene
) -> None:
    server = serve("--log-format", "json")
    with server.client() as client:
        client.put_references("or-1", scene.white, scene.dark)
        sent = [b"junk", b"junk", b"junk", scene.raw, b"junk"]
        problems = [reply.problem for reply, _ in client.stream(sent, references="or-1")]
        counted = count(client.metrics(), "gliomap_stream_refused_frames_total")
    told = [json.loads(line) for line in server.logged().splitlines() if "no map in a stream" in line]
    assert [line["request_id"] for line in told] == [problems[at]["request_id"] for at in (0, 4) if problems[at]]
    assert "has 4 bytes" in told[0]["message"]
    assert counted == 4


class _Collector(http.server.BaseHTTPRequestHandler):
    """Accepts traces as a collector does."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, content))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def collector() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Collector) as found:
        found.received = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_traces_reach_a_named_collector_and_contain_no_patient(
    bundle: Path, scene: Scene, collector: http.server.HTTPServer
) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"
    with start(bundle, env={"OTEL_EXPORTER_OTLP_ENDPOINT": address}) as server:
        answer_of("GET", f"{server.url}/health/ready")
        assert answer_of("POST", f"{server.url}/v1/classify?patient=ID0018", files=scene.files).status_code == 200
    received = collector.received  # type: ignore[attr-defined]
    assert {path for path, _ in received} == {"/v1/traces"}
    sent = b"".join(content for _, content in received)
    assert b"POST /v1/classify" in sent
    assert b"/health/ready" not in sent
    assert b"ID0018" not in sent, "traces are sent to other systems"


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(
    serve: Callable[..., RunningServer], scene: Scene
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # The exporter itself would wait for ten minutes.
        server = serve(env={"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"})
        assert answer_of("POST", f"{server.url}/v1/classify", files=scene.files).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0
        assert "the last ones are lost" in server.logged()
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(32).startswith(b"POST /v1/traces"), "it was asked to take the traces"
