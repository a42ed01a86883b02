"""Probabilities: whether they can be believed, and what thresholds on them would achieve."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.evaluation._canvas import INK, SOFT_INK, TRAINING, VALIDATION
from gliomap.evaluation._operating import TumourCurve, WorkingPoint
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import decimal
from gliomap.evaluation.report._svg import WIDTH, Chart, canvas, chart, plain_axes
from gliomap.evaluation.report._tables import Cell, PageTable

__all__ = ["Operating", "operating_part", "reliability_chart"]

_LEAST_PIXELS = 30
"""Bins with fewer pixels are drawn hollow."""


@dataclass(frozen=True, slots=True)
class Operating:
    """Tumour against the rest."""

    chart: Chart
    points: PageTable


def reliability_chart(record: EvaluationRecord, name: str) -> Chart | None:
    """Draw the share of correct pixels against the model's confidence; None without probabilities."""
    bins = record.pooled.reliability
    if not bins:
        return None
    figure = canvas(WIDTH, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    claimed, reached = [one.confidence for one in bins], [one.accuracy for one in bins]
    left.plot([0, 1], [0, 1], color=SOFT_INK, linewidth=1, linestyle="--", label="perfect")
    left.plot(claimed, reached, color=TRAINING, linewidth=1.3)
    faces = [TRAINING if one.pixels >= _LEAST_PIXELS else "white" for one in bins]
    left.scatter(claimed, reached, s=34, color=faces, edgecolor=TRAINING, linewidth=1.3, zorder=3, label="this model")
    plain_axes(left, "model's confidence", "share of pixels correct")
    left.set_xlim(0, 1.02)
    left.set_ylim(0, 1.02)
    left.set_aspect("equal")
    left.legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper left")
    right.bar(claimed, [one.pixels for one in bins], width=0.045, color="#8FB4CE", edgecolor=TRAINING, linewidth=0.8)
    plain_axes(right, "model's confidence", "test pixels")
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.set_xlim(0, 1.02)
    error = decimal(record.pooled.calibration_error)
    told = "; ".join(
        f"confidence {one.confidence:.2f}, correct {one.accuracy:.2f} ({one.pixels:,} pixels)" for one in bins
    )
    return chart(
        figure,
        name,
        f"Reliability diagram. {told}. Expected calibration error {error}.",
        "Reliability: the share of pixels at each confidence that is correct. Dots below the dashed line show where the model"
        f" is overconfident; hollow ones stand for fewer than {_LEAST_PIXELS} pixels. The mean distance from the line,"
        f" weighted by pixels, is the expected calibration error: {error} over {len(bins)} non-empty bins of 15.",
    )


def operating_part(record: EvaluationRecord, name: str) -> Operating | None:
    """The curve over all test pixels with its operating points; None if tumour or the rest is missing."""
    curve = record.pooled.tumour
    if curve is None:
        return None
    heads = ("Required specificity", "Sensitivity", "Specificity reached", "Threshold on tumour probability")
    points = PageTable(
        "Operating points of tumour against the rest, over all test pixels. The thresholds were chosen on the same pixels for"
        " which they are reported; a threshold fixed beforehand would do somewhat worse.",
        heads,
        tuple(_point(one) for one in curve.working),
    )
    return Operating(_operating_chart(curve, name), points)


def _point(one: WorkingPoint) -> tuple[Cell, ...]:
    threshold = "not reachable" if one.threshold > 1 else decimal(one.threshold)
    return (
        Cell(f"at least {100 * one.wanted:.0f}\N{NO-BREAK SPACE}%"),
        Cell(decimal(one.sensitivity), number=True),
        Cell(decimal(one.specificity), number=True),
        Cell(threshold, number=True),
    )


def _operating_chart(curve: TumourCurve, name: str) -> Chart:
    figure = canvas(4.6, 3.6)
    axes = figure.subplots()
    alarms, hits = zip(*curve.points, strict=True)
    axes.plot([0, 1], [0, 1], color=SOFT_INK, linewidth=1, linestyle="--")
    axes.plot(alarms, hits, color=TRAINING, linewidth=1.7)
    for marker, one in zip("os^Dv", curve.working, strict=False):
        axes.plot(
            [1 - one.specificity],
            [one.sensitivity],
            marker=marker,
            markersize=7.5,
            markerfacecolor="white",
            markeredgecolor=VALIDATION,
            markeredgewidth=1.6,
            linestyle="none",
            label=f"specificity at least {100 * one.wanted:.0f} %",
        )
    plain_axes(axes, "share of other tissue falsely marked (1 − specificity)", "share of tumour found (sensitivity)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_aspect("equal")
    axes.legend(fontsize=8, frameon=False, labelcolor=INK, loc="lower right")
    told = "; ".join(
        f"at a specificity of at least {one.wanted:.2f} the sensitivity is {one.sensitivity:.3f}"
        for one in curve.working
    )
    return chart(
        figure,
        name,
        f"Operating curve of tumour against the rest, area {curve.area:.3f}: {told}.",
        f"Tumour against the rest at every threshold on its probability, over all test pixels. The area is {curve.area:.3f};"
        " guessing would have 0.5 (dashed line).",
    )
