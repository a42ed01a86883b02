"""history.json of a run folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from gliomap.errors import RunError
from gliomap.learning import EpochRecord, History
from gliomap.tracking._journal import read_history, write_history


def test_a_history_is_read_back_unchanged(tmp_path: Path) -> None:
    epochs = tuple(EpochRecord(number, 1.0, 0.001, 0.5 / number, 0.9) for number in (1, 2))
    history = History(epochs=epochs, best_epoch=2, stopped="all epochs", notes=("few pixels",), refit=epochs[:1])
    write_history(tmp_path, history)
    assert read_history(tmp_path) == history
    assert json.loads((tmp_path / "history.json").read_text())["epochs"][1] == dataclasses.asdict(epochs[1])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epochs": 3}'])
def test_a_missing_or_damaged_history_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunError, match=r"history\.json: does not exist"):
        read_history(tmp_path)
    (tmp_path / "history.json").write_bytes(content)
    with pytest.raises(RunError, match=r"history\.json: is damaged"):
        read_history(tmp_path)
