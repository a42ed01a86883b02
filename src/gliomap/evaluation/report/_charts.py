"""Charts of the test: patients side by side, fewer patients in training, learning curves.

They use one blue, one vermillion and greys. Shapes and dashes differ too, so they can be distinguished in print and by
colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gliomap._text import counted
from gliomap.evaluation._canvas import INK, SOFT_INK, TRAINING, VALIDATION
from gliomap.evaluation._intervals import Interval
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._sanity import SanityPoint, SanityRecord
from gliomap.evaluation._tables import decimal
from gliomap.evaluation.report._svg import WIDTH, Chart, canvas, chart, plain_axes
from gliomap.evaluation.report._tables import over_patients, patient_metrics
from gliomap.evaluation.report._words import few_patients, measured_patients
from gliomap.learning import EpochRecord, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curves_chart", "patients_chart", "strip_chart"]


def strip_chart(record: EvaluationRecord, name: str) -> Chart:
    """Draw every patient as a circle, figure by figure, with the mean and its interval below."""
    chosen = patient_metrics(record.classes)
    figure = canvas(WIDTH, 0.46 * len(chosen) + 0.7)
    axes = figure.subplots()
    lowest, told = 0.0, []
    for row, (label, read) in enumerate(chosen.items()):
        known = sorted(value for found in record.patients.values() if (value := read(found)) is not None)
        interval = over_patients(record, label, read)
        if interval is None:
            axes.text(0.01, row, "not defined for any patient", va="center", fontsize=8.5, color=SOFT_INK)
            told.append(f"{label}: not defined")
            continue
        lowest = min(lowest, known[0], interval.mean if interval.low is None else interval.low)
        _draw_mean(axes, row, interval)
        axes.scatter(known, _stacked(known, row), s=34, facecolor="white", edgecolor=TRAINING, linewidth=1.3, zorder=3)
        told.append(
            f"{label}: {counted(len(known), 'patient')}, {known[0]:.2f} to {known[-1]:.2f}, mean {interval.mean:.2f}"
        )
    line = "" if few_patients(record) else ", the line is its 95 % interval"
    plain_axes(axes, f"each circle is a patient; the bar is their mean{line}", "")
    axes.set_yticks(range(len(chosen)), list(chosen))
    axes.set_ylim(len(chosen) - 0.45, -0.6)
    axes.set_xlim(min(-0.02, lowest - 0.03), 1.02)
    return chart(
        figure,
        name,
        f"Strip plot of {counted(measured_patients(record), 'test patient')}. " + "; ".join(told) + ".",
        "Test patients one by one. Wide scatter means that the result for the next patient may be as poor as the worst here.",
    )


def curves_chart(histories: Mapping[str, History], name: str) -> Chart | None:
    """Draw accuracy by epoch for each fold; None if every model is fitted in one step."""
    shown = {fold: history for fold, history in histories.items() if len(history.epochs) > 1}
    if not shown:
        return None
    columns = 2 if len(shown) > 1 else 1
    rows = -(-len(shown) // columns)
    figure = canvas(WIDTH, 2.0 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (fold, history) in zip(grid.flat, shown.items(), strict=False):
        _learning(axes, history)
        axes.set_title(fold or "only fold", fontsize=9, color=INK, loc="left")
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    grid.flat[0].legend(fontsize=8, facecolor="white", edgecolor="none", framealpha=0.85, labelcolor=INK, loc="best")
    told = "; ".join(
        f"{fold or 'only fold'}: {counted(len(history.epochs), 'epoch')}{f', best {history.best_epoch}' if history.validated else ''}"
        for fold, history in shown.items()
    )
    return chart(
        figure,
        name,
        f"Learning curves of {counted(len(shown), 'fold')}. {told}.",
        "Share of correct pixels by epoch. Training shares are taken while the network changes, so the first epochs look"
        " worse than the network at their end. The dotted line marks the chosen epoch.",
    )


def patients_chart(record: SanityRecord, reached: Interval | None, name: str) -> Chart:
    """Draw balanced accuracy by the number of training patients."""
    points = [point for point in record.points if point.training_patients is not None]
    figure = canvas(WIDTH, 2.7)
    axes = figure.subplots()
    sizes = [point.training_patients or 0 for point in points]
    for size, point in zip(sizes, points, strict=True):
        values = _balanced(point)
        axes.scatter([size] * len(values), values, s=30, facecolor="white", edgecolor=TRAINING, linewidth=1.2, zorder=3)
    means = [
        (size, point.balanced_accuracy.mean)
        for size, point in zip(sizes, points, strict=True)
        if point.balanced_accuracy
    ]
    if means:
        axes.plot(
            *zip(*means, strict=True), color=TRAINING, linewidth=1.6, marker="_", markersize=16, markeredgewidth=2.2
        )
    if reached is not None:
        axes.axhline(reached.mean, color=VALIDATION, linewidth=1.2, linestyle="--")
        axes.text(
            1.01,
            reached.mean,
            "the run\nitself",
            transform=axes.get_yaxis_transform(),
            fontsize=8,
            color=VALIDATION,
            va="center",
        )
    plain_axes(axes, "patients in training", "balanced accuracy")
    axes.set_xticks(sizes)
    axes.set_ylim(0, 1.02)
    told = "; ".join(f"{counted(size, 'patient')}: {mean:.2f}" for size, mean in means)
    return chart(
        figure,
        name,
        f"Learning curve over training patients. Mean balanced accuracy with {told}.",
        "Trained on fewer patients, drawn at random. Circles are test patients, bars are their means. A line that still"
        " rises means that more patients would help.",
    )


def _learning(axes: Axes, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    plain_axes(axes, "epoch", "share of pixels correct")
    _line(axes, history.epochs, [one.train_accuracy for one in history.epochs], TRAINING, "-", "training")
    accuracy = [one.validation_accuracy for one in history.epochs]
    _line(axes, history.epochs, accuracy, VALIDATION, "--", "validation patients")
    recall = [one.validation_macro_recall for one in history.epochs]
    _line(axes, history.epochs, recall, SOFT_INK, "-.", "validation, mean of classes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if history.validated:
        axes.axvline(history.best_epoch, color=INK, linewidth=1, linestyle=":")
    axes.set_ylim(0, 1.02)


def _line(
    axes: Axes, epochs: Sequence[EpochRecord], values: Sequence[float | None], colour: str, dashes: str, label: str
) -> None:
    points = [(one.epoch, value) for one, value in zip(epochs, values, strict=True) if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, linestyle=dashes, linewidth=1.5, label=label)


def _balanced(point: SanityPoint) -> list[float]:
    return [one.balanced_accuracy for one in point.patients.values() if one.balanced_accuracy is not None]


def _draw_mean(axes: Axes, row: int, interval: Interval) -> None:
    """Draw the mean as an upright bar and its interval as a line below the circles."""
    below = row + 0.3
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [below, below], color=INK, linewidth=1.8, solid_capstyle="butt")
        for end in (interval.low, interval.high):
            axes.plot([end, end], [below - 0.07, below + 0.07], color=INK, linewidth=1.4)
    axes.plot([interval.mean] * 2, [row - 0.22, row + 0.38], color=INK, linewidth=2.2)
    axes.annotate(
        decimal(interval.mean, 2),
        (interval.mean, row - 0.22),
        textcoords="offset points",
        xytext=(0, 1.5),
        ha="center",
        va="bottom",
        fontsize=7.5,
        color=INK,
    )


def _stacked(values: Sequence[float], row: int) -> list[float]:
    """Heights of sorted values in a row, so that close values do not hide each other."""
    heights: list[float] = []
    for index, value in enumerate(values):
        near = index > 0 and value - values[index - 1] < 0.012
        heights.append(row if not near else (row + 0.13 if heights[-1] <= row else row - 0.13))
    return heights
