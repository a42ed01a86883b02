"""Charts as SVG within the page: sharp in print, without extra files or scripts."""

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
"""Width of the text column of an A4 page, inches."""

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
        Share of the column's width, 0…1.
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
    """Plain axes with labels in the ink of the page."""
    quiet_axes(axes)
    axes.tick_params(labelsize=8.5, labelcolor=INK, color=SOFT_INK)
    axes.set_xlabel(across, fontsize=9, color=INK)
    axes.set_ylabel(upwards, fontsize=9, color=INK)


def chart(figure: Figure, name: str, alt: str, caption: str) -> Chart:
    """Draw a figure as SVG; `name` must be unique in the page.

    Letters become paths, so that they look the same wherever the page is opened.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    # The salt makes the same figure yield the same bytes.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue()
    svg = text[text.index("<svg") :]
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    # A page holds several charts, so each prefixes its identifiers with its name.
    svg = _IDENTIFIER.sub(lambda found: f"{found[1]}{name}-", svg)
    return Chart(svg.strip(), alt, caption, min(1.0, figure.get_figwidth() / WIDTH))
