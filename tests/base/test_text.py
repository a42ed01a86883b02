"""Counts and commands are written the same way everywhere."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gliomap._text import command_line, counted


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (12345, "12,345 epochs")]
)
def test_counts_use_singular_plural_and_thousands_separators(number: int, told: str) -> None:
    assert counted(number, "epoch") == told


def test_a_command_line_is_quoted_for_the_shell() -> None:
    words = ["gliomap", "report", "Ärzte & Co/run 1"]
    assert command_line(*words[1:2], Path(words[2])) == "gliomap report 'Ärzte & Co/run 1'"
    assert shlex.split(command_line(*words[1:])) == words
