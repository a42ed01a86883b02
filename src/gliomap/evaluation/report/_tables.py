"""The tables of the report: numbers with their intervals, or 'not defined' where nothing can be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from gliomap._text import counted
from gliomap.evaluation._intervals import SHARE, Interval, interval_over_patients
from gliomap.evaluation._metrics import ClassMetrics, Metrics
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import NOT_DEFINED, decimal, tumour_indices
from gliomap.evaluation.report._content import ReportedRun
from gliomap.taxonomy import ClassSet

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "Cell",
    "PageTable",
    "class_intervals",
    "class_pooled",
    "confusion",
    "false_tumour",
    "folds",
    "interval_cell",
    "labelled_pixels",
    "over_patients",
    "overall",
    "patient_metrics",
    "patients",
    "tumour_metrics",
]

LISTED = 5
"""Maximum number of patients listed by name before the list names the missing ones instead."""

METRICS: Mapping[str, Callable[[Metrics], float | None]] = {
    "Overall accuracy": lambda found: found.overall_accuracy,
    "Balanced accuracy": lambda found: found.balanced_accuracy,
    "Macro F1": lambda found: found.macro_f1,
    "Macro specificity": lambda found: found.macro_specificity,
    "Macro precision": lambda found: found.macro_precision,
    "Cohen's kappa": lambda found: found.cohen_kappa,
    "Matthews correlation": lambda found: found.mcc,
    "Macro ROC AUC": lambda found: found.macro_roc_auc,
    "Expected calibration error": lambda found: found.calibration_error,
}
"""Figures of a classification as a whole, by their names in the report."""

_SHOWN = ("Overall accuracy", "Balanced accuracy", "Macro F1", "Matthews correlation")
"""The figures of these that are shown for every patient."""

SIGNED = ("Cohen's kappa", "Matthews correlation")
"""Figures that can be negative."""

CLASS_METRICS: Mapping[str, Callable[[ClassMetrics], float | None]] = {
    "Sensitivity": lambda found: found.sensitivity,
    "Specificity": lambda found: found.specificity,
    "Precision": lambda found: found.precision,
    "F1": lambda found: found.f1,
    "ROC AUC": lambda found: found.roc_auc,
}
"""Figures of one class against the rest."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes
    ----------
    text
        Its text.
    small
        A second line in small print.
    number
        Whether it is right-aligned.
    shade
        Darkness of its background, 0…1; None for no shade.
    """

    text: str
    small: str = ""
    number: bool = False
    shade: float | None = None

    @property
    def void(self) -> bool:
        """Whether the value is not defined."""
        return self.text == NOT_DEFINED


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table with a caption that explains how to read it; the first cell of each row names the row."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    wide: bool = False


def overall(record: EvaluationRecord) -> PageTable:
    """Each figure over all pixels, and its mean over patients with an interval."""
    named = {**METRICS, **tumour_metrics(record.classes)}
    rows = []
    for name, figure in named.items():
        interval = over_patients(record, name, figure)
        rows.append((Cell(name), _number(figure(record.pooled)), *_interval_cells(interval)))
    return PageTable(
        "Figures of the test as a whole. 'All pixels' counts every labelled pixel once, so patients with many labels have"
        " more weight. 'Mean of patients' counts every patient once and is the figure to compare.",
        ("", "All pixels", "Mean of patients", *_INTERVAL_HEADS),
        tuple(rows),
    )


def over_patients(record: EvaluationRecord, name: str, figure: Callable[[Metrics], float | None]) -> Interval | None:
    """Mean over the test patients with its interval."""
    bounds = (-1.0, 1.0) if name in SIGNED else SHARE
    return interval_over_patients([figure(found) for found in record.patients.values()], bounds=bounds)


def class_pooled(record: EvaluationRecord) -> PageTable:
    """One class against the rest, over all pixels."""
    rows = tuple(
        (
            Cell(name),
            _count(found.labelled),
            _count(sum(one.classes[found.index - 1].labelled > 0 for one in record.patients.values())),
            *(_number(figure(found)) for figure in CLASS_METRICS.values()),
        )
        for name, found in zip(record.classes.names, record.pooled.classes, strict=True)
    )
    return PageTable(
        "One class against the rest, over all labelled pixels together. 'Patients' are those with labels of the class.",
        ("Class", "Pixels", "Patients", *CLASS_METRICS),
        rows,
    )


def class_intervals(record: EvaluationRecord) -> PageTable:
    """One class against the rest, patient by patient."""
    tested = record.patients.values()
    rows = tuple(
        (
            Cell(name),
            *(
                interval_cell(interval_over_patients([figure(found.classes[index]) for found in tested]))
                for figure in CLASS_METRICS.values()
            ),
        )
        for index, name in enumerate(record.classes.names)
    )
    return PageTable(
        "The same as the mean of patients. Below it are the 95 % interval, or the range of values if there are too few"
        " patients for one, and the number of patients for whom the figure is defined.",
        ("Class", *CLASS_METRICS),
        rows,
    )


def patients(record: EvaluationRecord) -> PageTable:
    """One row per test patient."""
    named = patient_metrics(record.classes)
    captures = Counter(one.patient for one in record.captures.values())
    rows = tuple(
        (
            Cell(patient),
            _count(captures[patient]),
            _count(found.n),
            _count(found.not_classified),
            *(_number(figure(found)) for figure in named.values()),
        )
        for patient, found in record.patients.items()
    )
    never = (
        " Protocols that divide pixels never assign these to a part, so they are not counted." if record.warning else ""
    )
    return PageTable(
        f"Each test patient. 'Left out' are labelled pixels that could not be classified, such as saturated or dark ones.{never}",
        ("Patient", "Captures", "Pixels", "Left out", *named),
        rows,
        wide=True,
    )


def confusion(record: EvaluationRecord) -> PageTable:
    """Counts and shares of each true class."""
    rows = []
    for name, counts in zip(record.classes.names, record.pooled.confusion, strict=True):
        total = sum(counts)
        cells = [
            Cell(f"{count:,}", _percent(count / total), number=True, shade=count / total)
            if total
            else Cell("no label", number=True)
            for count in counts
        ]
        rows.append((Cell(name), *cells, _count(total)))
    return PageTable(
        "Confusion matrix over all test pixels: rows are true classes, columns are predicted classes. Below each count is"
        " its share of the row, which also sets the shade.",
        ("True \\ predicted", *record.classes.names, "All"),
        tuple(rows),
    )


def folds(record: EvaluationRecord) -> PageTable:
    """Who trained, validated and was tested, fold by fold."""
    everybody = {name for one in record.folds for name in (*one.trained, *one.validated, *one.tested)}
    rows = tuple(
        (
            Cell(one.name or "only fold"),
            _people(one.trained, everybody),
            _people(one.validated, everybody),
            _people(one.tested, everybody),
            _count(one.metrics.n),
            _number(one.metrics.overall_accuracy),
            Cell(f"{one.seconds:.1f} s", number=True),
            Cell(one.graph[:12]),
        )
        for one in record.folds
    )
    return PageTable(
        "Fold by fold: the patients from whose pixels the weights were learned, those used to decide when to stop or to"
        " calibrate, and those who were tested. 'Graph' shows the start of the SHA-256 of the tested ONNX graph.",
        ("Fold", "Trained on", "Validated on", "Tested on", "Test pixels", "Accuracy", "Training", "Graph"),
        rows,
        wide=True,
    )


def labelled_pixels(reported: ReportedRun) -> PageTable:
    """Labelled pixels of each test patient by class."""
    record = reported.evaluation
    rows = [
        (Cell(patient), *(_count(one.labelled + one.not_classified) for one in found.classes))
        for patient, found in record.patients.items()
    ]
    rows += [
        (
            Cell(f"used for {'training' if role == 'train' else role}"),
            *(_count(counts.get(name, 0)) for name in record.classes.names),
        )
        for role, counts in reported.labelled.items()
        if role != "test"
    ]
    tested = "Labelled pixels of the tested patients" if record.warning is None else "Labelled pixels that were tested"
    return PageTable(
        f"{tested} by class" + (", and the pixels used for training." if reported.labelled else "."),
        ("Patient", *record.classes.names),
        tuple(rows),
    )


def false_tumour(record: EvaluationRecord) -> PageTable | None:
    """Tumour marked where nobody labelled any; None if every capture has tumour."""
    rows = tuple(
        (
            Cell(capture),
            Cell(one.patient),
            Cell(f"{found.labelled_marked:,} of {found.labelled:,}", _percent(found.labelled_share), number=True),
            Cell(f"{found.frame_marked:,} of {found.frame:,}", _percent(found.frame_share), number=True),
        )
        for capture, one in record.captures.items()
        if (found := one.false_tumour) is not None
    )
    if not rows:
        return None
    return PageTable(
        "Pixels marked as tumour in captures in which nobody labelled tumour. Those with another label are certainly wrong;"
        " for the rest of the frame, nobody knows.",
        ("Capture", "Patient", "Labelled pixels marked", "Pixels of the frame marked"),
        rows,
    )


def patient_metrics(classes: ClassSet) -> dict[str, Callable[[Metrics], float | None]]:
    """The few figures shown patient by patient and run by run."""
    return {name: METRICS[name] for name in _SHOWN} | tumour_metrics(classes)


def tumour_metrics(classes: ClassSet) -> dict[str, Callable[[Metrics], float | None]]:
    """Sensitivity, specificity and precision of every class that is tumour."""
    named: dict[str, Callable[[Metrics], float | None]] = {}
    for index in tumour_indices(classes):
        for word in ("Sensitivity", "Specificity", "Precision"):
            named[f"{classes.names[index - 1].capitalize()} {word.lower()}"] = _of_class(index, CLASS_METRICS[word])
    return named


def _people(names: Sequence[str], everybody: Collection[str]) -> Cell:
    """Names and their number; a long list is given by who is missing."""
    if not names:
        return Cell("–")
    others = sorted(set(everybody) - set(names))
    if len(names) > LISTED and len(others) < len(names):
        text = f"all but {', '.join(others)}" if others else "all"
    else:
        text = ", ".join(names)
    return Cell(text, counted(len(names), "patient"))


def _of_class(index: int, figure: Callable[[ClassMetrics], float | None]) -> Callable[[Metrics], float | None]:
    return lambda found: figure(found.classes[index - 1])


def _number(value: float | None) -> Cell:
    return Cell(decimal(value), number=True)


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", number=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


_INTERVAL_HEADS = ("95 % interval, or the values", "Patients")


def _interval_cells(interval: Interval | None) -> tuple[Cell, Cell, Cell]:
    if interval is None:
        return Cell(NOT_DEFINED, number=True), Cell("–", number=True), Cell("0", number=True)
    values = ", ".join(decimal(value) for value in interval.values)
    return _number(interval.mean), Cell(values or _span(interval), number=True), _count(interval.patients)


def interval_cell(interval: Interval | None, *, sign: bool = False) -> Cell:
    """The mean, and below it its interval or the patients' range; `sign` adds the sign of a difference."""
    if interval is None:
        return Cell(NOT_DEFINED, number=True)
    mean = f"{interval.mean:+.3f}" if sign else decimal(interval.mean)
    return Cell(
        mean, f"{_span(interval, sign=sign)}; n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{interval.patients}", number=True
    )


def _span(interval: Interval, *, sign: bool = False) -> str:
    """The interval; with fewer than six patients, the range of their values, marked as such."""
    style = "+.3f" if sign else ".3f"
    if interval.low is not None and interval.high is not None:
        return f"{interval.low:{style}} to {interval.high:{style}}"
    if len(interval.values) < 2:
        return "one value"
    return f"values {interval.values[0]:{style}} to {interval.values[-1]:{style}}"
