"""Compare two runs patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gliomap.errors import UsageError
from gliomap.evaluation._canvas import INK, TRAINING, VALIDATION
from gliomap.evaluation._comparison import LEAST_PAIRS, Comparison, compare_over_patients, equal_names
from gliomap.evaluation._intervals import SHARE, interval_over_patients
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import NOT_DEFINED
from gliomap.evaluation.report._content import ReportedRun
from gliomap.evaluation.report._svg import WIDTH, Chart, canvas, chart, plain_axes
from gliomap.evaluation.report._tables import (
    SIGNED,
    Cell,
    PageTable,
    interval_cell,
    over_patients,
    patient_metrics,
)

__all__ = ["Compared", "ComparisonPart", "compare_runs"]

_NARROW = ("Matthews correlation", "Tumour precision")
"""Left out of the overview because the page is too narrow."""
_DRAWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison of the first run with another."""

    title: str
    table: PageTable
    chart: Chart | None
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparisonPart:
    """The comparison as the page shows it."""

    words: tuple[str, ...]
    warnings: tuple[str, ...]
    overview: PageTable
    pairs: tuple[Compared, ...]


def compare_runs(runs: Sequence[ReportedRun]) -> ComparisonPart:
    """Compare the first run with each of the others.

    Raises
    ------
    UsageError
        The runs have different classes, or no test patient in common.
    """
    first, others = runs[0], runs[1:]
    for other in others:
        _refuse(first.evaluation, other.evaluation)
    return ComparisonPart(
        words=(
            "Runs are compared patient by patient: what counts is the difference between each patient's two values, since an"
            " easy patient is easy for every model. Intervals are for the mean difference. A p-value (Wilcoxon signed-rank"
            f" test, two-sided) is given only if {LEAST_PAIRS} patients or more differ; with fewer, even the same sign in all"
            " of them would not reach 0.05. P-values are not corrected for the number of figures and runs compared: of"
            " twenty, one falls below 0.05 by chance.",
        ),
        warnings=_warnings(runs),
        overview=_overview(runs),
        pairs=tuple(_compared(first, other, f"pair{number}") for number, other in enumerate(others, 1)),
    )


def _refuse(first: EvaluationRecord, other: EvaluationRecord) -> None:
    if first.classes != other.classes:
        raise UsageError(
            "comparison",
            f"{first.run} has the classes {', '.join(first.classes.names)}; {other.run} has {', '.join(other.classes.names)}",
            "Compare runs with the same classes.",
        )
    if not set(first.patients) & set(other.patients):
        raise UsageError(
            "comparison",
            f"{first.run} and {other.run} were tested on different patients: {', '.join(first.patients)} and"
            f" {', '.join(other.patients)}",
            "Compare runs that were tested on the same patients.",
        )


def _warnings(runs: Sequence[ReportedRun]) -> tuple[str, ...]:
    """Ways in which the runs differ in more than the model."""
    lines = [f"{run.title}: {caution}" for run in runs for caution in run.evaluation.cautions]
    if len({_division(run.evaluation) for run in runs}) > 1:
        lines.append(
            "The runs did not divide the patients in the same way, so a difference may not be due to the models."
        )
    for other in runs[1:]:
        if unlike := _other_pixels(runs[0].evaluation, other.evaluation):
            lines.append(
                f"{other.title} was tested on different pixels of {', '.join(unlike)} than {runs[0].title}, so their values"
                " do not come from the same test."
            )
    lines += equal_names((run.study_fingerprint, run.evaluation.patients) for run in runs)
    return tuple(lines)


def _division(record: EvaluationRecord) -> tuple[object, ...]:
    """Who was used for training and who was tested. Which of the former validated is up to each model."""
    if record.warning is not None:
        return (record.protocol, record.split)
    return tuple(sorted((one.tested, tuple(sorted({*one.trained, *one.validated}))) for one in record.folds))


def _other_pixels(first: EvaluationRecord, other: EvaluationRecord) -> list[str]:
    """Common patients of whom the runs tested different captures, or different numbers of pixels in them."""
    one, two = _tested_pixels(first), _tested_pixels(other)
    return [patient for patient in first.patients if patient in two and one[patient] != two[patient]]


def _tested_pixels(record: EvaluationRecord) -> dict[str, dict[str, tuple[int, ...]]]:
    """Patient → capture → number of tested pixels of each class."""
    found: dict[str, dict[str, tuple[int, ...]]] = {patient: {} for patient in record.patients}
    for capture, one in record.captures.items():
        found[one.patient][capture] = tuple(each.labelled for each in one.metrics.classes)
    return found


def _overview(runs: Sequence[ReportedRun]) -> PageTable:
    """The runs side by side, each over all of its own patients."""
    figures = {
        name: figure for name, figure in patient_metrics(runs[0].evaluation.classes).items() if name not in _NARROW
    }
    rows = [
        (
            Cell(run.title),
            Cell(str(len(run.evaluation.patients)), number=True),
            *(interval_cell(over_patients(run.evaluation, name, figure)) for name, figure in figures.items()),
        )
        for run in runs
    ]
    return PageTable(
        "Each run on its own: the mean over its test patients, and below it the interval or the patients' range.",
        ("Run", "Patients", *figures),
        tuple(rows),
        wide=True,
    )


def _compared(first: ReportedRun, other: ReportedRun, name: str) -> Compared:
    common = sorted(set(first.evaluation.patients) & set(other.evaluation.patients))
    figures = patient_metrics(first.evaluation.classes)
    values = {
        label: tuple(
            {patient: figure(run.evaluation.patients[patient]) for patient in common} for run in (first, other)
        )
        for label, figure in figures.items()
    }
    rows = tuple(_row(label, *found) for label, found in values.items())
    pairs = {label: _paired(*found) for label, found in values.items()}
    left = sorted((set(first.evaluation.patients) | set(other.evaluation.patients)) - set(common))
    words = [f"Tested by only one of the two runs, and left out: {', '.join(left)}."] if left else []
    table = PageTable(
        f"{other.title} minus {first.title}, over {'the patient' if len(common) == 1 else f'the {len(common)} patients'} on"
        " which both were tested. Above 0, the former is better.",
        ("", "First", "Second", "Difference", "Better in", "p"),
        rows,
    )
    drawn = {label: found for label, found in pairs.items() if found}
    return Compared(
        f"{other.title} against {first.title}", table, _pairs_chart(drawn, first, other, name), tuple(words)
    )


_Values = Mapping[str, float | None]


def _paired(one: _Values, other: _Values) -> list[tuple[float, float]]:
    """Pairs of values of the patients for whom both runs have one."""
    return [
        (value, second)
        for patient, value in one.items()
        if value is not None and (second := other[patient]) is not None
    ]


def _row(label: str, one: _Values, other: _Values) -> tuple[Cell, ...]:
    found = compare_over_patients(one, other)
    if found is None:
        return (Cell(label), *(Cell(NOT_DEFINED, number=True) for _ in range(5)))
    bounds = (-1.0, 1.0) if label in SIGNED else SHARE
    first, second = zip(*_paired(one, other), strict=True)
    return (
        Cell(label),
        interval_cell(interval_over_patients(first, bounds=bounds)),
        interval_cell(interval_over_patients(second, bounds=bounds)),
        interval_cell(found.difference, sign=True),
        Cell(f"{found.better} of {found.better + found.worse + found.equal}", number=True),
        _p_value(found),
    )


def _p_value(found: Comparison) -> Cell:
    """The p-value; none if so few patients differ that nothing could be significant."""
    if found.p_value is None:
        least = "" if found.least_p_value is None else f"at best {found.least_p_value:.2g}"
        return Cell("too few to tell", least, number=True)
    return Cell("< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}", number=True)


def _pairs_chart(
    pairs: Mapping[str, Sequence[tuple[float, float]]], first: ReportedRun, other: ReportedRun, name: str
) -> Chart | None:
    """Draw a line for each patient from the first run to the other."""
    shown = list(pairs.items())[:_DRAWN] + [one for one in pairs.items() if one[0].endswith("sensitivity")][:1]
    if not shown:
        return None
    figure = canvas(WIDTH, 2.9)
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)
    for axes, (label, found) in zip(grid.flat, shown, strict=True):
        plain_axes(axes, "", "")
        for one, two in found:
            better = two >= one
            axes.plot(
                [0, 1],
                [one, two],
                color=TRAINING if better else VALIDATION,
                linestyle="-" if better else "--",
                linewidth=1.2,
                marker="o",
                markersize=4.5,
                markerfacecolor="white",
            )
        axes.set_title(label, fontsize=9, color=INK)
        axes.set_xticks([0, 1], ["first", "second"])
        axes.set_xlim(-0.25, 1.25)
    lowest = min(min(pair) for _, found in shown for pair in found)
    grid.flat[0].set_ylim(min(0.0, lowest), 1.02)
    told = "; ".join(
        f"{label}: second better in {sum(b > a for a, b in found)} of {len(found)}" for label, found in shown
    )
    return chart(
        figure,
        name,
        f"Patients from {first.title} (first) to {other.title} (second). {told}.",
        "Each line is a patient, from the first run to the second: blue and solid if it rises or stays level, orange and"
        " dashed if it falls.",
    )
