"""The course of a training: epochs.jsonl records each epoch as it ends, for readers during training; history.json all.

`history.json` is written when a training has ended; the journal grows line by line and records when each epoch ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gliomap._fields import field_faults
from gliomap._files import write_json
from gliomap.errors import RunError
from gliomap.learning import EpochRecord, History, Observer, no_observer
from gliomap.tracking._names import HISTORY

__all__ = ["JOURNAL", "Epoch", "journal", "milliseconds", "read_history", "read_journal", "write_history"]

JOURNAL = "epochs.jsonl"


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch and the time at which it ended, in milliseconds since 1970."""

    record: EpochRecord
    time_ms: int


@contextmanager
def journal(folder: Path, then: Observer = no_observer) -> Iterator[Observer]:
    """A training observer that writes each epoch to the run folder and passes it on to another observer."""
    with (folder / JOURNAL).open("ab+") as stream:
        # End a line that an earlier process left half-written.
        if stream.tell():
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                stream.write(b"\n")

        def write(record: EpochRecord) -> None:
            line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **asdict(record)}, allow_nan=False)
            stream.write(line.encode() + b"\n")
            stream.flush()
            then(record)

        yield write


def read_journal(folder: Path) -> tuple[Epoch, ...]:
    """Every recorded epoch, in order; empty without a journal.

    A resumed training repeats the epochs after its checkpoint with the same result, so the first record counts. An
    incomplete line belongs to a process that was killed or is writing right now.
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
        The file is missing or damaged.
    """
    path = folder / HISTORY
    try:
        return TypeAdapter(History).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(path, "does not exist", "Train again.") from error
    except ValidationError as error:
        raise RunError(path, f"is damaged: {field_faults(error)}", "Train again.") from error


def write_history(folder: Path, history: History) -> None:
    """Write history.json, atomically."""
    write_json(folder / HISTORY, TypeAdapter(History).dump_python(history, mode="json"))


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
