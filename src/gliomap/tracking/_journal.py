"""How a training goes: epochs.jsonl, each epoch as it ends, for whoever looks while it goes on; history.json, the whole.

`history.json` is written when a training has ended; the journal grows line by line and says when each epoch was done.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO

from pydantic import TypeAdapter, ValidationError

from gliomap._fields import field_faults
from gliomap._files import write_json
from gliomap.errors import RunError
from gliomap.learning import EpochRecord, History, Observer, no_observer
from gliomap.tracking._names import HISTORY

__all__ = ["JOURNAL", "Epoch", "Journal", "milliseconds", "read_history", "read_journal", "write_history"]

JOURNAL = "epochs.jsonl"


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch and when it ended, in milliseconds since 1970."""

    record: EpochRecord
    time_ms: int


class Journal:
    """An observer of a training that writes each epoch into the run folder, and tells another; a context manager."""

    def __init__(self, folder: Path, then: Observer = no_observer) -> None:
        self._path = folder / JOURNAL
        self._then = then
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Journal:
        """Open the file; a line that an earlier process left half-written is ended."""
        self._stream = self._path.open("ab+")
        if self._stream.tell():
            self._stream.seek(-1, 2)
            if self._stream.read(1) != b"\n":
                self._stream.write(b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._stream is not None:
            self._stream.close()

    def __call__(self, record: EpochRecord) -> None:
        """Write one epoch."""
        if self._stream is None:
            raise RunError(self._path, "is not open", "Use the journal as a context manager.")
        line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **asdict(record)}, allow_nan=False)
        self._stream.write(line.encode() + b"\n")
        self._stream.flush()
        self._then(record)


def read_journal(folder: Path) -> tuple[Epoch, ...]:
    """Every epoch that is written, in order; none where there is no journal.

    A resumed training repeats the epochs after its checkpoint, with the same result: the first time counts. A line that
    is not whole belongs to a process that was killed, or is writing just now.
    """
    try:
        lines = (folder / JOURNAL).read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    epochs: dict[int, Epoch] = {}
    for line in lines:
        try:
            content = json.loads(line)
            at = content.pop("time_ms")
            record = EpochRecord(**content)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        epochs.setdefault(record.epoch, Epoch(record, at))
    return tuple(epochs[number] for number in sorted(epochs))


def read_history(folder: Path) -> History:
    """The history.json of a run folder.

    Raises
    ------
    RunError
        Missing or damaged.
    """
    path = folder / HISTORY
    try:
        return TypeAdapter(History).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(path, "is not there", "Train again.") from error
    except ValidationError as error:
        raise RunError(path, f"is damaged: {field_faults(error)}", "Train again.") from error


def write_history(folder: Path, history: History) -> None:
    """Write history.json, atomically."""
    write_json(folder / HISTORY, TypeAdapter(History).dump_python(history, mode="json"))


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return int(moment.timestamp() * 1000)
