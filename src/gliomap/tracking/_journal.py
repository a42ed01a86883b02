"""How a training goes: epochs.jsonl, each epoch as it ends, for whoever looks while it goes on; history.json, the whole.

`history.json` is written when a training has ended; the journal grows line by line and says when each epoch was done.
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
    """An epoch and when it ended, in milliseconds since 1970."""

    record: EpochRecord
    time_ms: int


@contextmanager
def journal(folder: Path, then: Observer = no_observer) -> Iterator[Observer]:
    """An observer of a training that writes each epoch into the run folder, and tells another."""
    with (folder / JOURNAL).open("ab+") as stream:
        # A line that an earlier process left half-written is ended.
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
