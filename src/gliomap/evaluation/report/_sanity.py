"""The sanity instruments in the report: chance, ceiling, fewer patients."""

from __future__ import annotations

from typing import Any

from gliomap._text import counted
from gliomap.evaluation._intervals import Interval, interval_over_patients
from gliomap.evaluation._sanity import INSTRUMENTS, SanityPoint, SanityRecord
from gliomap.evaluation._tables import decimal, tumour_indices
from gliomap.evaluation.report._charts import patients_chart
from gliomap.evaluation.report._content import ReportedRun
from gliomap.evaluation.report._tables import Cell, PageTable, interval_cell

__all__ = ["sanity_part"]

_NAMES = {"shuffle-labels": "shuffled labels", "oracle": "oracle", "learning-curve": "learning curve over patients"}


def sanity_part(run: ReportedRun, anchor: str) -> dict[str, Any]:
    """The values for the template's section on the instruments."""
    found = {one.name: one for one in run.sanity}
    missing = [name for name in INSTRUMENTS if name not in found]
    curve = found.get("learning-curve")
    balanced = interval_over_patients([one.balanced_accuracy for one in run.evaluation.patients.values()])
    return {
        "sanity": run.sanity,
        "sanity_table": _table(run) if run.sanity else None,
        "sanity_chart": patients_chart(curve, balanced, f"{anchor}-learners")
        if curve is not None and len(curve.points) > 1
        else None,
        "sanity_notes": [f"{_NAMES[one.name].capitalize()}: {text}" for one in run.sanity for text in _told(one)],
        "sanity_missing": [_NAMES[name] for name in missing],
        "sanity_flags": " ".join(f"--{name}" for name in missing),
    }


def _told(record: SanityRecord) -> tuple[str, ...]:
    chance = () if record.chance is None else (f"Guessing achieves a balanced accuracy of {decimal(record.chance)}.",)
    return (INSTRUMENTS[record.name], *chance, *record.notes)


def _table(run: ReportedRun) -> PageTable:
    """The run itself, then each instrument."""
    patients = run.evaluation.patients.values()
    tumour = tumour_indices(run.evaluation.classes)
    rows = [
        _row(
            "The run itself",
            interval_over_patients([one.overall_accuracy for one in patients]),
            interval_over_patients([one.balanced_accuracy for one in patients]),
            interval_over_patients([one.classes[tumour[0] - 1].sensitivity for one in patients]) if tumour else None,
        )
    ]
    for record in run.sanity:
        rows += [
            _row(_name(record, point), point.overall_accuracy, point.balanced_accuracy, point.tumour_sensitivity)
            for point in record.points
        ]
    return PageTable(
        "The run and its instruments: the mean over patients, and below it the interval or the patients' range.",
        ("", "Overall accuracy", "Balanced accuracy", "Tumour sensitivity"),
        tuple(rows),
    )


def _name(record: SanityRecord, point: SanityPoint) -> str:
    if record.name == "learning-curve":
        return f"Trained on {counted(point.training_patients or 0, 'patient')}"
    return _NAMES[record.name].capitalize()


def _row(name: str, *intervals: Interval | None) -> tuple[Cell, ...]:
    return (Cell(name), *(interval_cell(one) for one in intervals))
