"""Words that are counted."""

from __future__ import annotations

import pytest

from gliomap._text import counted


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (12345, "12,345 epochs")]
)
def test_one_thing_is_not_several(number: int, told: str) -> None:
    assert counted(number, "epoch") == told
