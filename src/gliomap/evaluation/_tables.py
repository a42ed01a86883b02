"""Metrics as text tables, ready to print, and in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gliomap._text import counted
from gliomap.evaluation._intervals import Interval
from gliomap.evaluation._metrics import Metrics
from gliomap.taxonomy import CODES, ClassSet

__all__ = [
    "NOT_DEFINED",
    "Table",
    "class_table",
    "confusion_table",
    "decimal",
    "interval_text",
    "overall_table",
    "summary_line",
    "tumour_indices",
]

NOT_DEFINED = "not defined"


@dataclass(frozen=True, slots=True)
class Table:
    """A text table.

    Attributes
    ----------
    title
        One line.
    columns
        Column heads.
    rows
        Rows of cells, one per column.
    numbers
        One character per column: 'r' for right-aligned, a space otherwise.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: str


def decimal(value: float | None, places: int = 3) -> str:
    """A share as text; 'not defined' for None."""
    return NOT_DEFINED if value is None else f"{value:.{places}f}"


def interval_text(interval: Interval | None) -> str:
    """'0.712 (0.640–0.790, 9 patients, Student's t)'; with fewer than six patients, their values instead of an interval."""
    if interval is None:
        return NOT_DEFINED
    mean, people = decimal(interval.mean), counted(interval.patients, "patient")
    if interval.low is None or interval.high is None:
        values = ", ".join(decimal(value) for value in interval.values)
        return f"{mean} ({people}: {values})" if interval.patients > 1 else f"{mean} ({people})"
    method = "Student's t" if interval.method == "t" else interval.method
    return f"{mean} ({decimal(interval.low)}–{decimal(interval.high)}, {people}, {method})"


def tumour_indices(classes: ClassSet) -> tuple[int, ...]:
    """Indices of the classes that are tumour: all their codes are taxonomy codes 200…299."""
    return tuple(
        tissue.index
        for tissue in classes.classes
        if tissue.codes and all(200 <= code < 300 and code in CODES for code in tissue.codes)
    )


def summary_line(result: Metrics, classes: ClassSet) -> str:
    """The most important figures in one line."""
    parts = [f"overall accuracy {decimal(result.overall_accuracy)}", f"macro F1 {decimal(result.macro_f1)}"]
    for index in tumour_indices(classes):
        found = result.classes[index - 1]
        name = classes.names[index - 1]
        if found.labelled:
            parts.append(f"{name}: sensitivity {decimal(found.sensitivity)}, precision {decimal(found.precision)}")
        elif found.not_classified:
            parts.append(f"{name}: every labelled pixel is masked")
        else:
            parts.append(f"{name}: nobody labelled any")
    parts.append(f"{result.n:,} labelled pixels")
    return " · ".join(parts)


def class_table(result: Metrics, classes: ClassSet) -> Table:
    """Accuracy, sensitivity, specificity, precision, F1 and ROC AUC of each class."""
    rows = tuple(
        (
            name,
            f"{found.labelled:,}",
            *(
                decimal(value)
                for value in (
                    found.accuracy,
                    found.sensitivity,
                    found.specificity,
                    found.precision,
                    found.f1,
                    found.roc_auc,
                )
            ),
        )
        for name, found in zip(classes.names, result.classes, strict=True)
    )
    heads = ("class", "pixels", "accuracy", "sens.", "spec.", "precision", "F1", "ROC AUC")
    return Table("By class, one versus the rest", heads, rows, " rrrrrrr")


def overall_table(groups: Mapping[str, Metrics], classes: ClassSet) -> Table:
    """One row per group (a capture, a patient, all together).

    Parameters
    ----------
    groups
        Name of a row → its metrics.
    classes
        The classes of the test.
    """
    tumour = tumour_indices(classes)
    names = tuple(f"{classes.names[index - 1]} sens." for index in tumour)
    rows = tuple(
        (
            group,
            f"{result.n:,}",
            *(
                decimal(value)
                for value in (
                    result.overall_accuracy,
                    result.balanced_accuracy,
                    result.macro_f1,
                    result.mcc,
                    result.macro_roc_auc,
                    result.calibration_error,
                    *(result.classes[index - 1].sensitivity for index in tumour),
                )
            ),
        )
        for group, result in groups.items()
    )
    heads = ("tested on", "pixels", "OACC", "balanced", "macro F1", "MCC", "ROC AUC", "ECE", *names)
    return Table("Overall", heads, rows, " " + "r" * (len(heads) - 1))


def confusion_table(result: Metrics, classes: ClassSet) -> Table:
    """The confusion matrix: rows are true classes, columns are predicted classes."""
    rows = tuple(
        (name, *(f"{count:,}" for count in row)) for name, row in zip(classes.names, result.confusion, strict=True)
    )
    return Table("Confusion matrix, pixels", ("true \\ predicted", *classes.names), rows, " " + "r" * len(classes))
