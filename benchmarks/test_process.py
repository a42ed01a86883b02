"""What a fresh process costs: importing the engine, and the memory of `gliomap classify`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gliomap.bundles import Bundle
from gliomap.captures import write_frame
from gliomap.phantom import RenderedPatient

IMPORT = "import time; start = time.perf_counter(); import gliomap.engine; print(time.perf_counter() - start)"

# The peak over all children of this small process; it has only one.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_import(benchmark: Any) -> None:
    times: list[float] = []

    def fresh() -> None:
        told = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        times.append(float(told.stdout))

    benchmark.pedantic(fresh, rounds=9, warmup_rounds=1)
    benchmark.extra_info["import_s"] = float(np.median(times))


def test_memory_of_classify(benchmark: Any, bundle: Bundle, frame: RenderedPatient, folder: Path) -> None:
    paths = {name: folder / f"{name}.tif" for name in ("raw", "white", "dark")}
    for name, path in paths.items():
        write_frame(path, getattr(frame, name))
    command = [str(Path(sys.executable).with_name("gliomap")), "classify", str(bundle.path), "-o", str(folder / "out")]
    command += ["--overwrite"] + [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    peaks: list[float] = []

    def run() -> None:
        told = subprocess.run([sys.executable, "-c", PEAK, *command], capture_output=True, text=True, check=True)
        peaks.append(int(told.stdout.splitlines()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6)

    benchmark.pedantic(run, rounds=3)
    assert (folder / "out" / "labels.npy").is_file()
    benchmark.extra_info["peak_mb"] = max(peaks)
