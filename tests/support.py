"""What several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def shared(*parts: str) -> Path:
    """A path in the data beside the project; skips the test where it is absent."""
    path = PROJECT.parent.joinpath("shared", *parts)
    if not path.exists():
        pytest.skip(f"needs {Path('..', 'shared', *parts)} beside the project")
    return path
