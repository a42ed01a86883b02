"""The legend: what each colour means, how many pixels have it, and what the map cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gliomap.preprocessing import Reason
from gliomap.rendering._paint import MapLike, Picture, drawn_labels, hatch
from gliomap.rendering._text import draw_lines, font, line_height, text_width, wrap
from gliomap.taxonomy import ClassSet

__all__ = ["DISCLAIMER", "Row", "draw_legend", "legend", "legend_rows"]

DISCLAIMER = "Research software - not a medical device"
NOT_FOUND = "not found"
QUIET = (NOT_FOUND, "none", "no map")
NOTE_ABSENT = "'Not found' is not 'absent': this map cannot rule any tissue out."
NOTE_FORCED = (
    "Every classified pixel gets one of these classes, even if it shows something else (drape, gauze, bone, shadow)."
)
NOTE_UNCOLOURED = "Pixels without colour or hatching were not classified either."
NOTE_CONFIDENCE = "The more the picture shows through, the less confident the model is."

INK = (24, 24, 24)
SOFT_INK = (96, 96, 96)
RULE = (200, 200, 200)
PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a legend.

    Attributes
    ----------
    name
        What the swatch means.
    swatch
        RGB 0…255, 'hatch', or None for a line without a swatch (a reason, indented).
    cells
        Text of each column, right-aligned.
    """

    name: str
    swatch: tuple[int, int, int] | Literal["hatch"] | None
    cells: tuple[str, ...]


def legend(
    tissue: MapLike,
    palette: str = "classic",
    *,
    truth: npt.NDArray[np.integer] | None = None,
    by_confidence: bool = False,
    over_picture: bool = False,
    width: int = 400,
    size: int = 18,
) -> Picture:
    """Draw the legend of a tissue map as a picture of the given width.

    It lists each class with its pixels and their share of the classified pixels, and 'not classified' with the
    reasons. A class without pixels reads 'not found', never 0, and a note says that this does not mean absent. The
    last line is always 'Research software - not a medical device'.

    Parameters
    ----------
    tissue
        The map.
    truth
        (H, W) class indices 0…C; adds a column with the labelled pixels of each class.
    by_confidence
        Add a note that the picture shows through where the model is less confident.
    over_picture
        The legend is for an overlay: add a note that pixels without colour were not classified.
    size
        Text size, pixels.
    """
    notes = [NOTE_FORCED, NOTE_ABSENT]
    if by_confidence:
        notes.insert(0, NOTE_CONFIDENCE)
    if over_picture and np.any((drawn_labels(tissue) == 0) & tissue.mask):
        notes.insert(0, NOTE_UNCOLOURED)
    if tissue.blanked is not None:
        notes = [f"No map: {tissue.blanked}", NOTE_ABSENT]
    heads = ("map, px", "share") if truth is None else ("labelled, px", "map, px", "share")
    return draw_legend(legend_rows(tissue, palette, truth), heads, notes, width=width, size=size)


def legend_rows(tissue: MapLike, palette: str = "classic", truth: npt.NDArray[np.integer] | None = None) -> list[Row]:
    """The rows of a map's legend; see `legend`.

    Parameters
    ----------
    tissue, palette, truth
        As for `legend`.
    """
    classes = tissue.classes
    found = _counts(drawn_labels(tissue), classes)
    given = None if truth is None else _counts(truth, classes)
    colours = classes.colours(palette)
    classified = int(found[1:].sum())
    rows = []
    for kind in classes.classes:
        count = int(found[kind.index])
        if tissue.blanked is not None:
            cells = ["no map", ""]
        elif count:
            cells = [f"{count:,}", _share(count, classified)]
        else:
            cells = [NOT_FOUND, ""]
        labelled = [] if given is None else [f"{int(given[kind.index]):,}" if given[kind.index] else "none"]
        red, green, blue = (int(value) for value in colours[kind.index])
        rows.append(Row(kind.name, (red, green, blue), (*labelled, *cells)))
    spare = () if given is None else ("",)
    rows.append(Row("not classified", "hatch", (*spare, f"{int(found[0]):,}", "")))
    rows.extend(Row(name, None, (*spare, f"{count:,}", "")) for name, count in _reasons(tissue))
    return rows


def draw_legend(
    rows: Sequence[Row], heads: Sequence[str], notes: Sequence[str], *, width: int = 400, size: int = 18
) -> Picture:
    """Draw a legend: column heads, rows, notes and, always, the disclaimer as the last line.

    Parameters
    ----------
    rows
        Lines of the legend.
    heads
        Heads of the columns of numbers.
    notes
        Sentences below the rows.
    width, size
        Width of the picture and size of its text, pixels.
    """
    small, margin, gap = max(9, size - 2), size, size // 2
    # Draw on more paper than needed, then crop: the height depends on the wrapping.
    words = sum(len(row.name) for row in rows) + sum(len(note) for note in notes) + len(DISCLAIMER)
    image = Image.new("RGB", (width, 3 * size * (len(rows) + len(notes) + 6) + 2 * words * size), PAPER)
    draw = ImageDraw.Draw(image)
    edges = _column_edges(rows, heads, width - margin, size)
    top = margin
    for head, right in zip(heads, edges, strict=True):
        draw.text((right - text_width(head, small), top), head, font=font(small), fill=SOFT_INK)
    top += line_height(small) + gap // 2 if heads else 0
    for row in rows:
        top = _draw_row(image, draw, row, edges, (margin, top), width - margin, size)
    top += gap // 2
    draw.line((margin, top, width - margin, top), fill=RULE)
    top += gap
    for note in notes:
        top = draw_lines(draw, wrap(note, width - 2 * margin, small), margin, top, small, SOFT_INK) + gap // 2
    top = draw_lines(draw, wrap(DISCLAIMER, width - 2 * margin, size), margin, top + gap // 2, size, INK)
    return np.asarray(image.crop((0, 0, width, top + margin)), np.uint8).copy()


def _draw_row(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: Row,
    edges: Sequence[int],
    corner: tuple[int, int],
    right_end: int,
    size: int,
) -> int:
    """Draw one row at `corner`; return the pixel row where the next one starts."""
    left, top = corner
    side, gap = size + 5, size // 2
    text, ink = (size, INK) if row.swatch is not None else (max(9, size - 2), SOFT_INK)
    if row.swatch is not None:
        if row.swatch == "hatch":
            image.paste(Image.fromarray(hatch(side, side)), (left, top))
        else:
            draw.rectangle((left, top, left + side - 1, top + side - 1), fill=row.swatch)
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=SOFT_INK)
    name_left = left + side + gap
    starts = [edge - text_width(cell, text) for cell, edge in zip(row.cells, edges, strict=True) if cell]
    lines = wrap(row.name, max(4 * size, min([right_end, *starts]) - gap - name_left), text)
    offset = max(0, (side - line_height(text)) // 2) if row.swatch is not None else 0
    bottom = draw_lines(draw, lines, name_left, top + offset, text, ink)
    for cell, edge in zip(row.cells, edges, strict=True):
        quiet = SOFT_INK if cell in QUIET else ink
        draw.text((edge - text_width(cell, text), top + offset), cell, font=font(text), fill=quiet)
    return max(bottom + 1, top + side + gap) if row.swatch is not None else bottom + 1


def _column_edges(rows: Sequence[Row], heads: Sequence[str], right: int, size: int) -> list[int]:
    """Right edge of each column, in pixels; the last one ends at `right`."""
    edges = [right] * len(heads)
    for column in range(len(heads) - 1, 0, -1):
        cells = [row.cells[column] for row in rows]
        widest = max(text_width(text, size) for text in [heads[column], *cells])
        edges[column - 1] = edges[column] - widest - size
    return edges


def _counts(labels: npt.NDArray[np.integer], classes: ClassSet) -> npt.NDArray[np.intp]:
    return np.bincount(labels.ravel(), minlength=len(classes) + 1)


def _share(count: int, total: int) -> str:
    percent = 100 * count / total
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def _reasons(tissue: MapLike) -> list[tuple[str, int]]:
    """Why pixels have no class, with the number of pixels for each reason; one pixel can have several reasons."""
    if tissue.blanked is not None:
        return []
    out = drawn_labels(tissue) == 0
    reasons = np.where(out, tissue.reasons, 0)
    named = [(reason.text, int(np.count_nonzero(reasons & reason))) for reason in Reason]
    named.append(("no reason recorded", int(np.count_nonzero(out & (tissue.reasons == 0)))))
    return [(name, count) for name, count in named if count]
