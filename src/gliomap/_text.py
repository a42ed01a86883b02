"""Words that the command line, reports and records share."""

from __future__ import annotations

import shlex

__all__ = ["command_line", "counted"]


def counted(number: int, thing: str) -> str:
    """'1 case', '2,000 cases'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def command_line(*words: object) -> str:
    """A command of `gliomap` as it can be pasted into a shell, whatever signs its paths have."""
    return shlex.join(["gliomap", *map(str, words)])
