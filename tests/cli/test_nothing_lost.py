"""A full disk and Ctrl-C in the middle of a write: the right exit code, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.conftest import Run
from cli.scenes import Files, write_capture
from support import wait_until

COMMAND = str(Path(sys.executable).with_name("gliomap"))


def limited(limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command with every file limited to `limit` bytes, so that writes fail as on a full disk."""
    # Coverage is not measured, because it could not write its own file either.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )


def assert_environment_fault(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    fault = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(fault) == 1, done.stderr
    assert done.stdout == ""


def contents(folder: Path) -> dict[Path, bytes | None]:
    """Everything in a folder: the bytes of each file, None for each folder."""
    return {one: one.read_bytes() if one.is_file() else None for one in folder.rglob("*")}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "in").mkdir()
    return write_capture(tmp_path / "in", tiles=(40, 40))


def outputs(
    small_study: Path, small_run: Path, small_bundle: Path, files: Files, out: Path
) -> dict[str, tuple[list[object], Path]]:
    """Verb → its command line and the final name that must not appear."""
    camera, capture = small_study / "sensor.toml", ["--capture", "ID0003C01"]
    return {
        "preprocess": (["preprocess", *files.flags, "--sensor", files.sensor, "-o", out / "c.npz"], out / "c.npz"),
        "phantom": (["phantom", out / "made", "--patients", "1", "--sensor", camera], out / "made"),
        "study show": (["study", "show", small_study, "-o", out / "sheet.png"], out / "sheet.png"),
        "train": (["train", small_study, "--model", "lda", "-o", out / "run"], out / "run"),
        "bundle": (["bundle", "create", small_run, "-o", out / "bundle"], out / "bundle"),
        "classify": (["classify", small_bundle, "--study", small_study, *capture, "-o", out / "map"], out / "map"),
    }


VERBS = ("preprocess", "phantom", "study show", "train", "bundle", "classify")


@pytest.mark.parametrize("verb", VERBS)
def test_a_failed_write_leaves_nothing_behind(
    verb: str, small_study: Path, small_run: Path, small_bundle: Path, files: Files, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command, final = outputs(small_study, small_run, small_bundle, files, out)[verb]
    done = limited(2048, *command)
    assert_environment_fault(done)
    assert not final.exists()
    assert list(out.iterdir()) == [], "neither a final name nor a temporary one"


def test_weights_that_do_not_fit_on_the_disk_leave_no_run(small_study: Path, tmp_path: Path) -> None:
    """The records fit, but the weights do not."""
    out = tmp_path / "out"
    done = limited(20_000, "train", small_study, "--epochs", "1", "-o", out / "run")
    assert_environment_fault(done)
    assert list(out.iterdir()) == []


def test_a_failed_overwrite_keeps_the_old_file(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "cube.npz"
    out.write_bytes(b"the result of yesterday")
    done = limited(4096, "preprocess", *files.flags, "--sensor", files.sensor, "-o", out, "--overwrite")
    assert_environment_fault(done)
    assert out.read_bytes() == b"the result of yesterday"


OVERWRITING = {
    "train": ["train", "STUDY", "--model", "lda", "-o", "STUDY"],
    "train folds": ["train", "STUDY", "--model", "lda", "--protocol", "lopo", "-o", "STUDY"],
    "bundle": ["bundle", "create", "RUN", "-o", "STUDY"],
    "classify": ["classify", "BUNDLE", "--study", "STUDY", "--capture", "ID0003C01", "-o", "STUDY"],
    "demo": ["demo", "-o", "STUDY"],
    "kubernetes": ["deploy", "kubernetes", "BUNDLE", "--image", "lab/gliomap:1", "-o", "STUDY"],
}


@pytest.mark.parametrize("verb", OVERWRITING)
def test_overwrite_refuses_to_replace_a_study(
    gliomap: Run, verb: str, small_study: Path, small_run: Path, small_bundle: Path, tmp_path: Path
) -> None:
    study = Path(shutil.copytree(small_study, tmp_path / "study"))
    before = contents(study)
    places = {"STUDY": study, "RUN": small_run, "BUNDLE": small_bundle}
    result = gliomap(*(places.get(word, word) for word in OVERWRITING[verb]), "--overwrite")
    assert result.code == 2
    assert "so it is not an earlier result" in result.err
    assert contents(study) == before


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; skips the test if this process may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_reported_as_such(installed: Run, files: Files, tiny_disk: Path) -> None:
    result = installed("preprocess", *files.flags, "--sensor", files.sensor, "-o", tiny_disk / "cube.npz")
    assert result.code == 3
    assert f"{tiny_disk / 'cube.npz'}: the disk is full" in result.err
    assert list(tiny_disk.iterdir()) == []


def test_a_full_disk_while_frames_are_written_is_reported_as_such(
    installed: Run, small_study: Path, tiny_disk: Path
) -> None:
    camera = small_study / "sensor.toml"
    result = installed("phantom", tiny_disk / "made", "--patients", "1", "--sensor", camera)
    assert result.code == 3
    assert f"{tiny_disk / 'made'}: the disk is full" in result.err
    assert list(tiny_disk.iterdir()) == []


def test_an_evaluation_that_cannot_be_written_adds_nothing_to_the_run(small_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    before = contents(run)
    assert_environment_fault(limited(20_000, "evaluate", run))
    assert contents(run) == before


def test_an_output_folder_that_cannot_be_made_is_named(installed: Run, files: Files) -> None:
    result = installed("preprocess", *files.flags, "--sensor", files.sensor, "-o", "/proc/none/cube.npz")
    assert result.code == 2
    assert "error: /proc/none: no such file or folder" in result.err


def without_privilege(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command without root's privilege to ignore the permissions of files."""
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if prefix and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not give up root's privileges here")
    command = [*prefix, COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_missing_permission_to_read_or_write_exits_with_3(files: Files, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    command = ["preprocess", *files.flags, "--sensor", files.sensor, "-o"]
    done = without_privilege(*command, closed / "cube.npz")
    assert_environment_fault(done)
    assert f"{closed / 'cube.npz'}: no permission" in done.stderr
    files.white.chmod(0)
    done = without_privilege(*command, tmp_path / "cube.npz")
    assert_environment_fault(done)
    assert f"{files.white}: no permission" in done.stderr


def interrupt(begun: Callable[[], bool], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Start the command and send Ctrl-C as soon as `begun` returns true."""
    words = [COMMAND, *map(str, arguments)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(begun, process, process.communicate, every=0.002)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_ctrl_c_while_a_phantom_is_written_leaves_nothing(small_study: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    command = ["phantom", made, "--patients", "100", "--sensor", small_study / "sensor.toml"]
    done = interrupt(lambda: any(tmp_path.glob(".made-*/tif/*.tif")), *command)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_training_leaves_only_the_resumable_run(small_study: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", small_study, "--test-patient", "ID0003", "--epochs", "5000", "--preset", "thesis", "-o", run]
    command += ["--model", "fourlayer"]
    unfinished = tmp_path / "running_run"
    done = interrupt(lambda: (unfinished / "checkpoint.safetensors").exists(), *command)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "--resume" in done.stderr
    assert not run.exists()
    assert list(tmp_path.iterdir()) == [unfinished]
