"""Ctrl-C that a library swallowed while it was imported is Ctrl-C all the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from gliomap.cli._interruption import Interruption


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """As a command in a terminal: tests that run in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallow() -> None:
    """What an import that catches everything makes of Ctrl-C."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return
    raise AssertionError("Ctrl-C did not arrive")


def test_what_fails_after_a_swallowed_ctrl_c_is_an_interruption() -> None:
    def import_and_use() -> None:
        with Interruption():
            swallow()
            raise AttributeError("half-imported")

    with pytest.raises(KeyboardInterrupt):
        import_and_use()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_faults_pass_as_they_are() -> None:
    with pytest.raises(AttributeError), Interruption():
        raise AttributeError("ours")


def test_work_that_ends_well_in_spite_of_it_is_done() -> None:
    with Interruption():
        swallow()


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
