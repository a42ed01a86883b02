"""Common parts of the figures: a canvas without global state, colours, and saving to reproducible bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gliomap._files import atomic_file
from gliomap.errors import MissingExtraError
from gliomap.rendering import DISCLAIMER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "SOFT_INK", "TRAINING", "VALIDATION", "contrast", "ink_on", "new_figure", "quiet_axes", "save_figure"]

INK = "#181818"
SOFT_INK = "#606060"
TRAINING = "#0072B2"
VALIDATION = "#D55E00"
"""Blue and vermillion of Okabe and Ito (2008), which colour-blind readers can distinguish; lines also differ in dashes."""

DPI = 150


def contrast(first: Sequence[float], second: Sequence[float]) -> float:
    """Contrast ratio of two colours (RGB 0…1), 1…21, as defined by WCAG 2.2; text needs 4.5."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(paper: Sequence[float]) -> str:
    """Black or white, whichever is more legible on this colour (RGB 0…1); one of them always reaches 4.5."""
    return "#000000" if contrast(paper, (0, 0, 0)) >= contrast(paper, (1, 1, 1)) else "#ffffff"


def _luminance(colour: Sequence[float]) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour[:3]]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def new_figure(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """A figure of this size in inches with its own canvas, without pyplot and its global state.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise MissingExtraError("drawing figures", "report") from error
    foot, head = 0.26 / height, (0.56 if subtitle else 0.38) / height
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot - head))
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    figure.text(0.012, 1 - 0.10 / height, title, fontsize=12, color=INK, va="top")
    if subtitle:
        figure.text(0.012, 1 - 0.32 / height, subtitle, fontsize=8.5, color=SOFT_INK, va="top")
    figure.text(0.012, 0.07 / height, DISCLAIMER, fontsize=8.5, color=INK, va="bottom")
    return figure


def quiet_axes(axes: Axes) -> None:
    """Show only the axes that carry a scale, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=SOFT_INK)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically, without the time or the library's version in it."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
