"""Every error names the thing, the fault and the remedy, and has one exit code."""

from __future__ import annotations

import errno

import pytest

from gliomap import errors


def test_a_message_names_thing_fault_and_remedy() -> None:
    error = errors.CaptureError("raw.tif", "has 3 channels", "Give the raw mosaic.")
    assert str(error) == "raw.tif: has 3 channels. Give the raw mosaic."
    assert (error.thing, error.fault, error.remedy) == ("raw.tif", "has 3 channels", "Give the raw mosaic.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StudyError("a", "b", "c"), 2),
        (errors.LeakageError("a", "b", "c"), 2),
        (errors.MissingExtraError("Reading .mat files", "train"), 3),
        (errors.MachineError("a", "b", "c"), 3),
        (errors.ExportMismatchError("a", "b", "c"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert errors.exit_code(error) == code


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    assert 'pip install "gliomap[openvino]"' in str(errors.MissingExtraError("The OpenVINO backend", "openvino"))


def test_a_full_disk_is_a_machine_error() -> None:
    fault = errors.machine_error(OSError(errno.ENOSPC, "No space left on device", "map.png"))
    assert isinstance(fault, errors.MachineError)
    assert "map.png: the disk is full" in str(fault)


def test_a_missing_file_is_not_a_machine_error() -> None:
    assert errors.machine_error(FileNotFoundError(errno.ENOENT, "No such file", "a.tif")) is None
