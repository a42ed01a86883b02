"""Ctrl-C takes effect even if a library swallows it while it is imported, and clean-up is completed after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal
from gliomap.cli import _interruption
from gliomap.cli._interruption import Interruption

# As a command in a terminal: a process in the background ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def swallow():
    # What an import that catches everything makes of Ctrl-C.
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return
    raise AssertionError("Ctrl-C did not arrive")


def clean_up_late():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("cleaned up", end=" ")


try:
    {attempt}
except BaseException as error:
    print(type(error).__name__, end=" ")
print(signal.getsignal(signal.SIGINT).__name__ if callable(signal.getsignal(signal.SIGINT)) else "ignored")
"""

CASES = {
    "what fails after it was swallowed is an interruption": (
        "with Interruption(): swallow(); raise AttributeError('half-imported')",
        "KeyboardInterrupt default_int_handler",
    ),
    "other faults pass as they are": (
        "with Interruption(): raise AttributeError('ours')",
        "AttributeError default_int_handler",
    ),
    "work that ends well in spite of it is done": ("with Interruption(): swallow()", "default_int_handler"),
    "a second one at once does not disturb the clean-up after the first": (
        "with Interruption(): clean_up_late()",
        "cleaned up KeyboardInterrupt default_int_handler",
    ),
    "a second one later ends a clean-up that hangs": (
        "_interruption._CLEAN_UP_S = -1\n    with Interruption(): clean_up_late()",
        "KeyboardInterrupt default_int_handler",
    ),
    "a process that ignores it goes on ignoring it": (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n    with Interruption(): signal.raise_signal(signal.SIGINT)",
        "ignored",
    ),
}


@pytest.mark.parametrize(("attempt", "told"), CASES.values(), ids=CASES)
def test_ctrl_c_inside_an_interruption_block(attempt: str, told: str) -> None:
    # In its own process, so that the test run itself is not interrupted.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(attempt=attempt)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == told


def test_an_import_is_completed_before_ctrl_c_takes_effect(tmp_path: Path) -> None:
    """An exception during an import that runs C++ code, such as torch's, would abort the process."""
    (tmp_path / "large.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(0.2)\nprint('loaded', end=' ')\n"
    )
    attempt = "with Interruption(): import large; import time; time.sleep(300)"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(attempt=attempt)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        timeout=120,
    )
    assert done.stdout.strip() == "loaded KeyboardInterrupt default_int_handler"


def test_ctrl_c_while_the_command_loads_exits_silently_with_130() -> None:
    program = """
import signal, sys
from gliomap.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)


class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, Interrupting())
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
