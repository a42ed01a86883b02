"""What the figures share: a canvas without global state, colours, saving with the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gliomap._files import atomic_file
from gliomap.errors import MissingExtraError
from gliomap.rendering import DISCLAIMER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "SOFT_INK", "TRAINING", "VALIDATION", "new_figure", "quiet_axes", "save_figure"]

INK = "#181818"
SOFT_INK = "#606060"
TRAINING = "#0072B2"
VALIDATION = "#D55E00"
"""Blue and vermillion of Okabe and Ito (2008): told apart by the colour-blind; lines differ in dashes too."""

DPI = 150


def new_figure(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """A figure of this size in inches with its own canvas; pyplot and its global state stay out of it.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise MissingExtraError("drawing figures", "report") from error
    foot, head = 0.26 / height, (0.56 if subtitle else 0.38) / height
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot - head))
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 0.10 / height, title, fontsize=12, color=INK, va="top")
    if subtitle:
        figure.text(0.012, 1 - 0.32 / height, subtitle, fontsize=8.5, color=SOFT_INK, va="top")
    figure.text(0.012, 0.07 / height, DISCLAIMER, fontsize=7, color=SOFT_INK, va="bottom")
    return figure


def quiet_axes(axes: Axes) -> None:
    """Only the axes that carry a scale, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=SOFT_INK)


def save_figure(figure: Figure, path: Path) -> None:
    """Write as PNG, atomically, without the time or the version of the library in it."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
