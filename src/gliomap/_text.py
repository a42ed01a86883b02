"""Words that the command line, reports and records share."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str) -> str:
    """'1 case', '2,000 cases'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
