"""Wording shared by the command line, reports and records."""

from __future__ import annotations

import shlex

__all__ = ["command_line", "counted"]


def counted(number: int, thing: str) -> str:
    """'1 case', '2,000 cases'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def command_line(*words: object) -> str:
    """A `gliomap` command that can be pasted into a shell, whatever characters its paths contain."""
    return shlex.join(["gliomap", *map(str, words)])
