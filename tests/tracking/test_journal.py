"""epochs.jsonl while a training is written, killed and resumed."""

from __future__ import annotations

from pathlib import Path

from gliomap.learning import EpochRecord
from gliomap.tracking._journal import journal, read_journal


def epoch(number: int, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(number, 1.0, 0.001, loss, 0.9)


def test_what_is_written_is_read_at_once_and_told_on(tmp_path: Path) -> None:
    told: list[EpochRecord] = []
    with journal(tmp_path, told.append) as write:
        for number in (1, 2):
            write(epoch(number))
            assert [one.record for one in read_journal(tmp_path)] == told
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1, 2]
    times = [one.time_ms for one in read_journal(tmp_path)]
    assert times == sorted(times)


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    with journal(tmp_path) as write:
        write(epoch(1))
        write(epoch(2))
    path = tmp_path / "epochs.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1]
    with journal(tmp_path) as write:
        write(epoch(2))
    assert [one.record.epoch for one in read_journal(tmp_path)] == [1, 2]


def test_of_an_epoch_that_was_repeated_the_first_time_counts(tmp_path: Path) -> None:
    for _ in range(2):
        with journal(tmp_path) as write:
            write(epoch(1))
    first, *more = read_journal(tmp_path)
    assert more == []
    assert first == read_journal(tmp_path)[0]


def test_without_a_journal_there_is_nothing(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == ()
