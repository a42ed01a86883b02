"""The thesis's table of experiments, and the rows of `runs list`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gliomap.errors import RunError
from gliomap.evaluation import read_evaluation
from gliomap.tracking import find_runs, open_run, read_row, thesis_csv
from gliomap.tracking._table import TEST_TIMES, TRAINING_TIMES

COLUMNS = [
    "Experiment Name",
    "Patients used for testing",
    "OACC",
    "ACC_tumor",
    "SEN_tumor",
    "SPE_tumor",
    "Time loading arguments (s)",
    "Time preparing train data (s)",
    "Time training (s)",
    "Time preparing test data (s)",
    "Time predicting (s)",
    "Time generating maps (s)",
]


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_the_table_has_the_columns_and_last_rows_of_the_thesis(study: Path) -> None:
    rows = [read_row(folder) for folder in find_runs(study)]
    heads, *lines = table(thesis_csv(rows))
    assert heads == COLUMNS
    assert [line[0] for line in lines] == ["folds", "net", "Mean", "Std", "Std error"]
    assert [line[1] for line in lines] == ["ID0001 ID0002 ID0003 ID0004", "ID0003", "", "", ""]
    assert all(float(cell) >= 0 for line in lines for cell in line[2:])
    for column in range(2, len(heads)):
        values = [float(line[column]) for line in lines[:2]]
        spread = statistics.stdev(values)
        wanted = [statistics.fmean(values), spread, spread / 2**0.5]
        assert [float(line[column]) for line in lines[2:]] == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_the_figures_of_the_table_are_those_of_the_evaluation(study: Path) -> None:
    line = table(thesis_csv([read_row(study / "runs" / "net")]))[1]
    found = read_evaluation(study / "runs" / "net" / "evaluation" / "metrics.json")
    tumour = found.pooled.classes[1]
    wanted = [found.pooled.overall_accuracy, tumour.accuracy, tumour.sensitivity, tumour.specificity]
    assert [float(cell) for cell in line[2:6]] == pytest.approx(wanted, rel=1e-5)
    times = open_run(study / "runs" / "net").record.times
    assert times is not None
    assert [float(cell) for cell in line[6:9]] == list(times.model_dump().values())
    assert times.training > 0


def test_the_table_by_fold_has_a_row_for_each_fold(study: Path) -> None:
    _, *lines = table(thesis_csv([read_row(study / "runs" / "folds")], by_fold=True))
    assert [line[:2] for line in lines[:4]] == [[f"folds ID000{n}", f"ID000{n}"] for n in (1, 2, 3, 4)]
    found = read_evaluation(study / "runs" / "folds" / "evaluation" / "metrics.json")
    assert [float(line[2]) for line in lines[:4]] == pytest.approx(
        [fold.metrics.overall_accuracy for fold in found.folds], rel=1e-5
    )


def test_unknown_figures_are_empty_and_left_out_of_the_mean(study: Path) -> None:
    shutil.rmtree(study / "runs" / "net" / "evaluation")
    heads, *lines = table(thesis_csv([read_row(folder) for folder in find_runs(study)]))
    assert lines[1][1:6] == [""] * 5
    assert lines[2][2] == lines[0][2]
    assert lines[3][2] == lines[4][2] == ""
    assert len(heads) == len(lines[4])
    assert table(thesis_csv([]))[1:] == [[name, *[""] * 11] for name in ("Mean", "Std", "Std error")]


def test_runs_are_found_in_a_study_in_a_folder_and_alone(study: Path, tmp_path: Path) -> None:
    runs = [study / "runs" / "folds", study / "runs" / "net"]
    assert find_runs(study) == find_runs(study / "runs") == runs
    assert find_runs(study / "runs" / "net") == [study / "runs" / "net"]
    assert find_runs(tmp_path) == []
    with pytest.raises(RunError, match="does not exist"):
        find_runs(tmp_path / "none")


def test_a_row_has_the_state_of_its_run(study: Path) -> None:
    assert read_row(study / "runs" / "net").state == "bundled"
    assert read_row(study / "runs" / "folds").state == "evaluated"
    shutil.rmtree(study / "runs" / "folds" / "evaluation")
    assert read_row(study / "runs" / "folds").state == "trained"


def test_an_evaluation_without_a_summary_is_read_too(study: Path) -> None:
    path = study / "runs" / "net" / "evaluation" / "summary.json"
    written = read_row(study / "runs" / "net").figures
    path.unlink()
    assert read_row(study / "runs" / "net").figures == written


def test_a_summary_of_a_newer_format_is_refused(study: Path) -> None:
    path = study / "runs" / "net" / "evaluation" / "summary.json"
    path.write_text('{"format": 2}')
    with pytest.raises(RunError, match="of a newer format"):
        read_row(study / "runs" / "net")


def test_a_truncated_summary_is_refused_with_a_remedy(study: Path) -> None:
    path = study / "runs" / "net" / "evaluation" / "summary.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match="is damaged: ") as caught:
        read_row(study / "runs" / "net")
    assert (caught.value.thing, caught.value.remedy) == (str(path), "Evaluate the run again.")


@pytest.mark.parametrize("figure", ["high", [1]])
def test_a_figure_that_is_not_a_number_is_refused(study: Path, figure: object) -> None:
    path = study / "runs" / "net" / "evaluation" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"overall_accuracy": figure}))
    with pytest.raises(RunError, match="is not a number"):
        read_row(study / "runs" / "net")


def test_times_are_in_the_order_of_the_thesis(study: Path) -> None:
    assert list(read_row(study / "runs" / "net").times) == [*TRAINING_TIMES, *TEST_TIMES]


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local zone is 9 hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("written", "hour"), [("2026-01-01T12:00:00", 3), ("2026-01-01T12:00:00Z", 12), ("2026-01-01T12:00:00+02:00", 10)]
)
def test_a_time_without_a_zone_is_local_time(study: Path, written: str, hour: int) -> None:
    path = study / "runs" / "net" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started_at": written}))
    assert read_row(path.parent).started_at == datetime(2026, 1, 1, hour, tzinfo=UTC)


def test_a_record_that_is_a_folder_is_refused(study: Path) -> None:
    path = study / "runs" / "net" / "run.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match="cannot be read"):
        read_row(path.parent)
