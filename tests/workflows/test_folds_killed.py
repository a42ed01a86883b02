"""A protocol of several folds, started with the installed command and killed, does not train finished folds again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gliomap.workflows import open_run, train
from support import wait_until

COMMAND = str(Path(sys.executable).with_name("gliomap"))


def begin(study: Path, out: Path, protocol: str, *more: str) -> subprocess.Popen[bytes]:
    words = ["train", str(study), "--protocol", protocol, "--model", "fourlayer", "--epochs", "6", "--no-final"]
    return subprocess.Popen([COMMAND, *words, "--folds", "3", "--quiet", "-o", str(out), *more])


def in_this_process(study: Path, out: Path, protocol: str, *, resume: bool = False) -> Path:
    """Run the same training as `begin`, without the seconds that a new process takes to start."""
    return train(
        study,
        protocol=protocol,
        model="fourlayer",
        overrides={"epochs": 6},
        final=False,
        folds=3,
        out=out,
        resume=resume,
    )


def finished(folder: Path) -> dict[str, int]:
    """Fold → when its weights were written, for folds that are complete."""
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in folder.glob("folds/*/model.safetensors")
        if not path.parent.name.startswith("running_")
    }


def kill_after(process: subprocess.Popen[bytes], running: Path, folds: int) -> None:
    """Kill the process as soon as this number of folds is complete."""
    wait_until(lambda: len(finished(running)) >= folds, process, every=0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize("protocol", ["kfold-patient", "double-cv"])
def test_a_run_killed_twice_gives_the_same_result_as_an_unbroken_one(
    study: Path, tmp_path: Path, protocol: str
) -> None:
    out = tmp_path / "run"
    straight = in_this_process(study, tmp_path / "straight", protocol)
    running = out.with_name("running_run")
    seen: dict[str, int] = {}
    for folds, more in ((1, ()), (2, ("--resume",))):
        kill_after(begin(study, out, protocol, *more), running, folds)
        assert not out.exists()
        assert seen.items() <= finished(running).items()
        seen = finished(running)
    # A killed run may be copied or moved before it is resumed: the copy resumes just like the folder itself.
    shutil.copytree(running, tmp_path / "running_copy", copy_function=shutil.copy2)
    assert begin(study, out, protocol, "--resume").wait() == 0
    in_this_process(study, tmp_path / "copy", protocol, resume=True)
    assert seen.items() <= finished(out).items()
    for one in (out, tmp_path / "copy"):
        weights = {path.relative_to(one): path.read_bytes() for path in one.rglob("model.safetensors")}
        assert weights == {
            path.relative_to(straight): path.read_bytes() for path in straight.rglob("model.safetensors")
        }
        assert (one / "splits.json").read_bytes() == (straight / "splits.json").read_bytes()
        assert open_run(one).record.chosen == open_run(straight).record.chosen
