"""Runs compared in one figure: test patients as dots, the mean as a bar, its interval as a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gliomap.errors import UsageError
from gliomap.evaluation._canvas import INK, SOFT_INK, TRAINING, VALIDATION, new_figure, quiet_axes, save_figure
from gliomap.evaluation._intervals import LEAST_INTERVAL, interval_over_patients
from gliomap.evaluation._metrics import Metrics
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._summary import tumour_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["runs_figure"]

_LONGEST = 28
"""Maximum number of characters shown of a run's name."""


def runs_figure(runs: Mapping[str, EvaluationRecord], path: Path) -> None:
    """Draw evaluated runs one below the other to a PNG; runs whose figures overstate are marked beside their names.

    Parameters
    ----------
    runs
        Name → evaluation, at least one.
    path
        An existing file is replaced.

    Raises
    ------
    UsageError
        There are no runs.
    MissingExtraError
        matplotlib is not installed.
    """
    if not runs:
        raise UsageError(
            "comparison", "there is no evaluated run to draw", "Evaluate runs first: gliomap evaluate RUN."
        )
    # Without a count over all runs: equal names in two studies need not mean the same patients.
    subtitle = f"dots: test patients; bar: mean over n patients; line: its 95 % interval, for {LEAST_INTERVAL} patients or more"
    figure = new_figure(11.5, 1.55 + 0.42 * len(runs), "Runs compared", subtitle)
    panels = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
    for axes, (title, figure_of) in zip(panels, _PANELS.items(), strict=True):
        _panel(axes, title, runs, figure_of)
    panels[0].set_yticks(range(len(runs)), [_label(*run) for run in runs.items()], fontsize=8, color=INK)
    panels[0].set_ylim(len(runs) - 0.5, -0.5)
    save_figure(figure, path)


def _panel(
    axes: Axes,
    title: str,
    runs: Mapping[str, EvaluationRecord],
    figure_of: Callable[[Metrics, EvaluationRecord], float | None],
) -> None:
    quiet_axes(axes)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    for row, record in enumerate(runs.values()):
        values = [figure_of(found, record) for found in record.patients.values()]
        mean = interval_over_patients(values)
        if mean is None:
            axes.text(0.5, row, "not defined", fontsize=7.5, color=SOFT_INK, ha="center", va="center")
            continue
        known = [value for value in values if value is not None]
        # Equal values would hide one another, so they are spread a little, always in the same way.
        spread = np.linspace(-0.16, 0.16, len(known)) if len(known) > 1 else np.zeros(1)
        axes.plot(known, row + spread, "o", color=TRAINING, alpha=0.6, markersize=4.5, markeredgewidth=0, zorder=3)
        if mean.low is not None and mean.high is not None:
            axes.plot([mean.low, mean.high], [row, row], color=VALIDATION, linewidth=1.6)
        axes.plot([mean.mean] * 2, [row - 0.26, row + 0.26], color=VALIDATION, linewidth=2.4)
        axes.text(1.05, row, f"{mean.mean:.3f}\nn = {mean.patients}", fontsize=7.5, color=INK, va="center")


_PANELS: Mapping[str, Callable[[Metrics, EvaluationRecord], float | None]] = {
    "overall accuracy": lambda found, _: found.overall_accuracy,
    "balanced accuracy": lambda found, _: found.balanced_accuracy,
    "tumour sensitivity": lambda found, record: tumour_figures(found, record.classes).sensitivity,
    "tumour specificity": lambda found, record: tumour_figures(found, record.classes).specificity,
}


def _label(name: str, record: EvaluationRecord) -> str:
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}…{name[-8:]}"
    return f"{short}\n(overstates)" if record.cautions else short
