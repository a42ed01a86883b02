"""Figures of one run: learning curves and confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError
from gliomap.evaluation._canvas import (
    INK,
    SOFT_INK,
    TRAINING,
    VALIDATION,
    ink_on,
    new_figure,
    quiet_axes,
    save_figure,
)
from gliomap.evaluation._metrics import Metrics
from gliomap.evaluation._tables import summary_line
from gliomap.taxonomy import ClassSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gliomap.learning import EpochRecord, History

__all__ = ["confusion_figure", "learning_curves"]


def learning_curves(history: History, path: Path, *, title: str = "Learning curves", subtitle: str = "") -> None:
    """Draw loss and accuracy by epoch to a PNG; with validation patients, the kept epoch is marked.

    Parameters
    ----------
    history
        History of a training run with at least two epochs.
    path
        An existing file is replaced.

    Raises
    ------
    UsageError
        There are fewer than two epochs: a model fitted in one step has no curve.
    """
    if len(history.epochs) < 2:
        raise UsageError(
            "learning curves", f"need two epochs or more, but there is {len(history.epochs)}", "Leave them out."
        )
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(8.4, 4.2, title, subtitle)
    left, right = figure.subplots(1, 2)
    records = history.epochs
    _curve(left, records, [record.train_loss for record in records], "training", TRAINING, "-")
    _curve(left, records, [record.validation_loss for record in records], "validation patients", VALIDATION, "--")
    _curve(right, records, [record.train_accuracy for record in records], "training", TRAINING, "-")
    accuracy = [record.validation_accuracy for record in records]
    _curve(right, records, accuracy, "validation patients", VALIDATION, "--")
    recall = [record.validation_macro_recall for record in records]
    _curve(right, records, recall, "validation, mean recall of classes", SOFT_INK, "-.")
    left.set_ylabel("cross-entropy loss", fontsize=9, color=INK)
    left.set_ylim(bottom=0)
    right.set_ylabel("share of labelled pixels correct", fontsize=9, color=INK)
    right.set_ylim(0, 1.02)
    for axes in (left, right):
        axes.set_xlabel("epoch", fontsize=9, color=INK)
        axes.set_xlim(records[0].epoch, records[-1].epoch)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if history.validated:
            axes.axvline(history.best_epoch, color=SOFT_INK, linewidth=1, linestyle=":", label="epoch kept")
        axes.legend(
            fontsize=7.5, frameon=False, labelcolor=INK, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17)
        )
    save_figure(figure, path)


def confusion_figure(result: Metrics, classes: ClassSet, path: Path, *, title: str = "Confusion matrix") -> None:
    """Draw the confusion matrix to a PNG, as shares of each true class and as pixels.

    It uses one hue from light to dark with the numbers written in, which is legible in print and to colour-blind
    readers. A class that nobody labelled has an empty row that says so.

    Parameters
    ----------
    result
        Metrics of one test.
    classes
        The classes of the test.
    path
        An existing file is replaced.
    title
        Drawn above the picture, with the most important figures below it.

    Raises
    ------
    UsageError
        The number of classes differs from that of the metrics.
    """
    if len(classes) != len(result.confusion):
        raise UsageError(
            "confusion matrix", f"has {len(result.confusion)} rows for {len(classes)} classes", "Give its own classes."
        )
    count = len(classes)
    side = max(3.0, 0.62 * count + 0.6)
    figure = new_figure(2 * side + 2.2, side + 1.5, title, summary_line(result, classes))
    left, right = figure.subplots(1, 2)
    table = np.array(result.confusion, np.float64)
    rows = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, rows, out=np.zeros_like(table), where=rows > 0)
    empty = rows[:, 0] == 0
    percent = [[] if void else [_percent(v) for v in row] for row, void in zip(shares, empty, strict=True)]
    counts = [[] if void else [f"{int(v):,}" for v in row] for row, void in zip(table, empty, strict=True)]
    _matrix(left, shares, percent, classes.names, "% of each true class")
    _matrix(right, shares, counts, classes.names, "pixels")
    left.set_ylabel("true class", fontsize=9, color=INK)
    for row in np.flatnonzero(empty):
        for axes in (left, right):
            _empty_row(axes, int(row), count)
    save_figure(figure, path)


def _curve(
    axes: Axes,
    records: Sequence[EpochRecord],
    values: Sequence[float | None],
    label: str,
    colour: str,
    dashes: Literal["-", "--", "-."],
) -> None:
    """Draw one line through the epochs that have a value, or nothing if there are none."""
    quiet_axes(axes)
    points = [(record.epoch, value) for record, value in zip(records, values, strict=True) if value is not None]
    if points:
        epochs, heights = zip(*points, strict=True)
        axes.plot(epochs, heights, color=colour, linestyle=dashes, linewidth=1.6, label=label)


def _percent(share: float) -> str:
    """Whole per cent; rounding never makes a few pixels vanish."""
    percent = 100 * share
    if 0 < percent < 0.5:
        return "<1"
    return ">99" if 99.5 <= percent < 100 else f"{percent:.0f}"


def _matrix(
    axes: Axes,
    shares: npt.NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    names: Sequence[str],
    title: str,
) -> None:
    from matplotlib import colormaps

    shades = colormaps["Blues"]
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1, aspect="equal")
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            ink = ink_on(shades(shares[row, column]))
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class", fontsize=9, color=INK)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    axes.set_xticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color(SOFT_INK)


def _empty_row(axes: Axes, row: int, count: int) -> None:
    """Cover the row of a class that nobody labelled, because zeros there would look like a result."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((-0.5, row - 0.5), count, 1, facecolor="#EDEDED", edgecolor="#B0B0B0", hatch="////", linewidth=0)
    )
    axes.text(
        (count - 1) / 2,
        row,
        "no labelled pixels",
        ha="center",
        va="center",
        fontsize=8,
        color=INK,
        bbox={"facecolor": "#EDEDED", "edgecolor": "none", "pad": 2},
    )
