"""epochs.jsonl while a training writes it, is killed and is resumed."""

from __future__ import annotations

import json
from pathlib import Path

from gliomap.learning import EpochRecord
from gliomap.tracking._journal import Epoch, journal, read_journal


def epoch(number: int, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(number, 1.0, 0.001, loss, 0.9)


def test_an_epoch_can_be_read_at_once_and_is_passed_on(tmp_path: Path) -> None:
    told: list[EpochRecord] = []
    with journal(tmp_path, told.append) as write:
        for number in (1, 2):
            write(epoch(number))
            assert [one.record for one in read_journal(tmp_path)] == told
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1, 2]
    times = [one.time_ms for one in read_journal(tmp_path)]
    assert times == sorted(times)


def test_a_torn_line_loses_only_its_own_epoch(tmp_path: Path) -> None:
    with journal(tmp_path) as write:
        write(epoch(1))
        write(epoch(2))
    path = tmp_path / "epochs.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1]
    with journal(tmp_path) as write:
        write(epoch(2))
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1, 2]


def test_the_first_record_of_a_repeated_epoch_counts(tmp_path: Path) -> None:
    for number, loss in ((1, 0.5), (2, 0.4), (2, 0.3), (3, 0.2)):
        with journal(tmp_path) as write:
            write(epoch(number, loss))
    times = [json.loads(line)["time_ms"] for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert read_journal(tmp_path) == (
        Epoch(epoch(1, 0.5), times[0]),
        Epoch(epoch(2, 0.4), times[1]),
        Epoch(epoch(3, 0.2), times[3]),
    )


def test_a_missing_journal_has_no_epochs(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == ()
