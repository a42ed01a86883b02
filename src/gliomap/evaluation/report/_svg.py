"""Charts as SVG that stands in the page itself: sharp in print, no file beside it, no script."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliomap.errors import MissingExtraError
from gliomap.evaluation._canvas import INK, SOFT_INK, quiet_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["WIDTH", "Chart", "canvas", "chart", "plain_axes"]

WIDTH = 7.2
"""Inches; the text column of an A4 page."""

_IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in the page.

    Attributes
    ----------
    svg
        An `<svg>` element.
    alt
        What it shows, in words, with its numbers.
    caption
        How to read it.
    share
        Of the column's width, 0…1.
    """

    svg: str
    alt: str
    caption: str
    share: float = 1.0


def canvas(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, without global state.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise MissingExtraError("drawing charts", "report") from error
    return Figure(figsize=(width, height), facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))


def plain_axes(axes: Axes, across: str, upwards: str) -> None:
    """Quiet axes with names in the ink of the page."""
    quiet_axes(axes)
    axes.tick_params(labelsize=8.5, labelcolor=INK, color=SOFT_INK)
    axes.set_xlabel(across, fontsize=9, color=INK)
    axes.set_ylabel(upwards, fontsize=9, color=INK)


def chart(figure: Figure, name: str, alt: str, caption: str) -> Chart:
    """Draw a figure; `name` is one of its kind in the page.

    The letters become paths, so that they look the same wherever the page is opened.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    # The salt makes the same figure give the same bytes.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue()
    svg = text[text.index("<svg") :]
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    # Several charts stand in one page: each keeps its identifiers to itself.
    svg = _IDENTIFIER.sub(lambda found: f"{found[1]}{name}-", svg)
    return Chart(svg.strip(), alt, caption, min(1.0, figure.get_figwidth() / WIDTH))
