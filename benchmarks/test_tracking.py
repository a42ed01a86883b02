"""What tracking costs: a list of 500 runs, and a training with and without its mirror."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gliomap.phantom import make_phantom
from gliomap.tracking import Sender, store_of_study
from gliomap.workflows import evaluate, train

RUNS, PAIRS = 500, 3
COMMAND = str(Path(sys.executable).with_name("gliomap"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three full-size patients."""
    return make_phantom(tmp_path_factory.mktemp("tracking") / "study", patients=3, difficulty="moderate")


def wall(*words: object, **environment: str) -> float:
    """Seconds of one command."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    begun = time.perf_counter()
    subprocess.run(
        [COMMAND, *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=known | environment,
    )
    return time.perf_counter() - begun


def test_list_of_500_runs(benchmark: Any, study: Path) -> None:
    first = train(study, model="lda", test_patients=["ID0003"])
    evaluate(first)
    shutil.rmtree(first / "evaluation" / "predictions")
    shutil.rmtree(first / "evaluation" / "maps")
    for picture in (first / "evaluation").glob("*.png"):
        picture.unlink()
    record = json.loads((first / "run.json").read_text())
    for number in range(2, RUNS + 1):
        copy = first.with_name(f"{first.name[:-2]}_{number}")
        shutil.copytree(first, copy)
        (copy / "run.json").write_text(json.dumps(record | {"name": copy.name, "version": number}))
    times: list[float] = []
    benchmark.pedantic(lambda: times.append(wall("runs", "list", study)), rounds=7, warmup_rounds=1)
    benchmark.extra_info["list_s"] = float(np.median(times))
    benchmark.extra_info["runs"] = len(list((study / "runs").iterdir()))


def test_training_with_and_without_its_mirror(benchmark: Any, study: Path) -> None:
    """One after the other in pairs, so that both meet the same machine; the store is there, as after a first run."""
    Sender(store_of_study(study)).send(next((study / "runs").glob("lda*_1")))
    ratios: list[float] = []
    words = ["train", study, "--model", "conv2d", "--epochs", 25, "--test-patient", "ID0003", "--overwrite", "-o"]
    plain, mirrored = study / "plain", study / "mirrored"

    def pair() -> None:
        without = wall(*words, plain, "--tracking", "none")
        ratios.append(wall(*words, mirrored) / without)

    benchmark.pedantic(pair, rounds=PAIRS)
    assert (plain / "model.safetensors").read_bytes() == (mirrored / "model.safetensors").read_bytes()
    assert (mirrored / "tracking.json").is_file()
    benchmark.extra_info["ratio"] = float(np.median(ratios))
