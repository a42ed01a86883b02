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

RUNS = 500
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


@pytest.fixture(scope="module")
def first(study: Path) -> Path:
    """An evaluated run, mirrored: the store beside the study exists, as after a user's first training."""
    run = train(study, model="lda", test_patients=["ID0003"])
    evaluate(run)
    Sender(store_of_study(study)).send(run)
    return run


def test_list_of_500_runs(benchmark: Any, study: Path, first: Path) -> None:
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


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("settings", "rounds"), [(("--epochs", 25), 4), (("--preset", "thesis"), 2)], ids=["short", "thesis"]
)
def test_training_with_and_without_its_mirror(
    benchmark: Any, study: Path, settings: tuple[object, ...], rounds: int
) -> None:
    """Train in pairs, for equal conditions. Each variant goes first equally often, because the first is slower."""
    words = ["train", study, "--model", "conv2d", *settings, "--test-patient", "ID0003", "--overwrite", "-o"]
    plain, mirrored = study / "plain", study / "mirrored"
    commands = {plain: [*words, plain, "--tracking", "none"], mirrored: [*words, mirrored]}
    pairs: list[dict[Path, float]] = []

    def pair() -> None:
        order = [plain, mirrored] if len(pairs) % 2 == 0 else [mirrored, plain]
        pairs.append({out: wall(*commands[out]) for out in order})

    benchmark.pedantic(pair, rounds=rounds)
    assert (plain / "model.safetensors").read_bytes() == (mirrored / "model.safetensors").read_bytes()
    assert (mirrored / "tracking.json").is_file()
    benchmark.extra_info["plain_s"] = float(np.median([one[plain] for one in pairs]))
    benchmark.extra_info["added_s"] = float(np.median([one[mirrored] - one[plain] for one in pairs]))
    benchmark.extra_info["ratio"] = float(np.median([one[mirrored] / one[plain] for one in pairs]))
