"""The service against its targets: `make bench-serve`. Takes about ten minutes on an idle machine.

It makes a bundle as a user does, starts `gliomap serve` on loopback with each backend, and sends it the requests of cameras,
viewers and the thesis's client. The table goes to benchmarks/serving.md and into docs/serving.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

from benchmarks.__main__ import MISLEADING
from benchmarks.machine import THREADS, describe
from benchmarks.table import Row, rows_table
from gliomap.captures import read_frame
from gliomap.engine import BackendName, Engine
from gliomap.serving import BenchFrames, Client, Measured, measure

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "serving.md"
COMMAND = str(Path(sys.executable).with_name("gliomap"))
BEGIN, END = "<!-- make bench-serve writes from here -->", "<!-- to here -->"
TITLES: dict[BackendName, str] = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
LEAST_MAPS: dict[BackendName, float] = {"onnxruntime": 30, "openvino": 40}

REST_S = 6
"""After this time without requests, the service has released the memory that it does not need."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How long each measurement lasts.

    Attributes
    ----------
    short, stream, crowd
        Seconds for one client, for the stream, and for 32 clients.
    requests
        Requests after which the idle memory is read; it is also read after half of them.
    starts
        Number of cold starts.
    """

    short: float = 10
    stream: float = 60
    crowd: float = 60
    requests: int = 2000
    starts: int = 5


QUICK = Plan(short=2, stream=4, crowd=4, requests=60, starts=2)


@dataclass(frozen=True, eq=False)
class Subject:
    """The bundle that is served, and the frames that are sent."""

    bundle: Path
    frames: BenchFrames


@dataclass(frozen=True)
class Server:
    """A running service."""

    client: Client
    pid: int
    ready_s: float

    @property
    def memory_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.M)
        return int(found[1]) * 1024 / 1e6 if found else 0.0


def main() -> int:
    """Return exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rehearse: seconds instead of minutes, and write nothing")
    parser.add_argument("--backends", nargs="+", default=list(TITLES), choices=list(TITLES), help="backends to measure")
    parser.add_argument("--note", default="", help="a sentence about the conditions, for the page")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in MISLEADING:
        os.environ.pop(name, None)
    plan, started = QUICK if asked.quick else Plan(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        subject = prepare(Path(folder))
        rows = [row for backend in asked.backends for row in measure_backend(subject, backend, plan)]
    text = page(rows, plan, started, asked.note)
    print(text)
    if not asked.quick:
        (HERE / "serving.md").write_text(f"# The service\n\n{text}", encoding="utf-8")
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0 if all(row[3] is not False for row in rows) else 1


def page(rows: list[Row], plan: Plan, load: float, note: str) -> str:
    """Markdown."""
    told = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench-serve` on {describe()}; load of the machine before: {load:.1f}. "
        f"Client and service share its {THREADS} processors, over loopback. One phantom frame of 1088×2048 pixels, "
        f"references prepared; streams and crowds {plan.stream:.0f} s."
    )
    return f"{' '.join((told, note)).strip()}\n\n{rows_table(rows)}\n"


def prepare(folder: Path) -> Subject:
    """A phantom patient, and the bundle of a network trained on another one."""
    logger.info("making a bundle")
    for words in (
        "phantom study --patients 2 --difficulty moderate",
        "train study --model conv2d --epochs 5 --test-patient ID0002 -o run",
        "bundle create run -o bundle",
    ):
        subprocess.run([COMMAND, *words.split(), "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    sensor = Engine.open(folder / "bundle").sensor
    raw, white, dark = (read_frame(folder / f"study/tif/ID0002C{kind}01.tif", sensor).data for kind in ("", "W", "D"))
    return Subject(folder / "bundle", BenchFrames(raw, white, dark))


def measure_backend(subject: Subject, backend: BackendName, plan: Plan) -> Iterator[Row]:
    """All rows of one backend."""
    title = TITLES[backend]
    engine = engine_alone(subject, backend)
    yield f"{title}: engine alone, frame → map", f"{1e3 * engine:.1f} ms", "", None
    starts = []
    for _ in range(plan.starts):
        with serve(subject, backend) as server:
            starts.append(server.ready_s)
    ready = float(np.median(starts))
    yield f"{title}: cold start to ready", f"{ready:.2f} s", "≤ 2.5 s", ready <= 2.5
    with serve(subject, backend) as server:
        server.client.put_references("or-1", subject.frames.white, subject.frames.dark)
        yield from one_client(server, subject, title, engine, plan)
        yield from stream(server, subject, backend, plan)
        yield from crowd(server, subject, title, plan)
    with serve(subject, backend) as server:
        server.client.put_references("or-1", subject.frames.white, subject.frames.dark)
        yield from memory(server, subject, title, plan)


def engine_alone(subject: Subject, backend: BackendName) -> float:
    """Seconds that the engine takes for a frame in this process, to which the service is compared."""
    engine, now = Engine.open(subject.bundle, backend=backend), datetime.now(UTC)
    references = engine.prepare(subject.frames.white, subject.frames.dark, taken_at=now)
    times = []
    for _ in range(60):
        began = time.perf_counter()
        engine.classify_frame(subject.frames.raw, references, taken_at=now)
        times.append(time.perf_counter() - began)
    return float(np.median(times[5:]))


@contextmanager
def serve(subject: Subject, backend: BackendName) -> Iterator[Server]:
    """`gliomap serve` on a free port, ended afterwards."""
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [COMMAND, "serve", str(subject.bundle), "--port", "0", "--backend", backend], stderr=log
        )
        try:
            url = wait_for_address(process, log.fileno())
            with Client(url, timeout_s=120) as client:
                while not client.ready():
                    time.sleep(0.005)
                yield Server(client, process.pid, time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(40)


def wait_for_address(process: subprocess.Popen[bytes], log: int) -> str:
    """The address at which the service reports that it listens."""
    while process.poll() is None:
        found = re.search(rb"listening on (http://\S+)", os.pread(log, 1 << 16, 0))
        if found:
            return found[1].decode()
        time.sleep(0.005)
    raise RuntimeError(f"gliomap serve ended with {process.returncode}")


def one_client(server: Server, subject: Subject, title: str, engine: float, plan: Plan) -> Iterator[Row]:
    """One client that waits for each answer."""
    labels = asked(server, subject, "labels", plan.short)
    yield timed(f"{title}: label map as PNG, median", labels, 0.5, 40)
    yield timed(f"{title}: label map as PNG, p99", labels, 0.99, 100)
    yield f"{title}: as a multiple of the engine alone", f"{(labels.quantile(0.5) or 0) / engine:.2f}", "", None
    yield timed(f"{title}: NPZ with probabilities, median", asked(server, subject, "npz", plan.short), 0.5, 60)
    thesis = asked(server, subject, "thesis", plan.short)
    slowest = max(thesis.times)
    yield f"{title}: the thesis's JSON, 31 MB, the longest", f"{slowest:.2f} s", "≤ 1.2 s", slowest <= 1.2
    faster = 27 / (thesis.quantile(0.5) or 1)
    yield f"{title}: faster than the thesis's service (27 s)", f"{faster:.0f} times", "", None


def stream(server: Server, subject: Subject, backend: BackendName, plan: Plan) -> Iterator[Row]:
    """A camera and a viewer on one WebSocket."""
    found, title, least = asked(server, subject, "stream", plan.stream), TITLES[backend], LEAST_MAPS[backend]
    told = f"{found.per_second:.1f} a second for {found.seconds:.0f} s"
    yield f"{title}: maps of a stream", told, f"≥ {least:.0f}", found.per_second >= least and not found.wrong
    yield timed(f"{title}: stream, frame sent → map received, p95", found, 0.95, 80)


def crowd(server: Server, subject: Subject, title: str, plan: Plan) -> Iterator[Row]:
    """32 clients at once, and the memory and latency after them."""
    before, memory = asked(server, subject, "labels", plan.short / 4), server.memory_mb
    found = asked(server, subject, "labels", plan.crowd, clients=32)
    after = asked(server, subject, "labels", plan.short / 4)
    told = ", ".join(f"{status}: {count}" for status, count in sorted(Counter(found.answers).items()))
    right = set(found.answers) <= {200, 429, 503} and not found.wrong
    yield f"{title}: 32 clients, answers by status", f"{told}; {found.wrong} wrong", "200, 429, 503; none wrong", right
    grown = server.memory_mb - memory
    yield f"{title}: memory that they left behind", f"{grown:+.0f} MB", "bounded: ≤ 150 MB", grown <= 150
    ratio = (after.quantile(0.5) or 0) / (before.quantile(0.5) or 1)
    yield f"{title}: latency after them, as a multiple of before", f"{ratio:.2f}", "≤ 1.25", ratio <= 1.25


def memory(server: Server, subject: Subject, title: str, plan: Plan) -> Iterator[Row]:
    """The memory that stays resident."""
    content = subject.frames.raw.tobytes()
    rows, columns = subject.frames.raw.shape
    headers = {"X-Frame-Shape": f"{rows}x{columns}", "Accept": "image/png"}
    seen = []
    with httpx.Client(base_url=server.client.url, headers=headers, timeout=60) as client:
        for number in range(1, plan.requests + 1):
            client.post("/v1/classify?references=or-1", content=content).raise_for_status()
            if number in (plan.requests // 2, plan.requests):
                time.sleep(REST_S)
                seen.append(server.memory_mb)
    half, full = seen
    yield f"{title}: idle memory after {plan.requests:,} requests", f"{full:.0f} MB", "≤ 350 MB", full <= 350
    yield f"{title}: grown since the first half of them", f"{full - half:+.1f} MB", "≤ 5 MB", full - half <= 5


def asked(server: Server, subject: Subject, kind: str, seconds: float, clients: int = 1) -> Measured:
    """One measurement."""
    logger.info("%s, %d clients, %.0f s", kind, clients, seconds)
    return measure(server.client, kind, subject.frames, references="or-1", clients=clients, seconds=seconds)


def timed(what: str, found: Measured, share: float, most_ms: float) -> Row:
    """A row for a quantile."""
    value = 1e3 * (found.quantile(share) or float("inf"))
    return what, f"{value:.1f} ms", f"≤ {most_ms:.0f} ms", value <= most_ms and not found.wrong


if __name__ == "__main__":
    sys.exit(main())
