"""Arrange titled panels side by side, with a legend beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gliomap.errors import UsageError
from gliomap.rendering._legend import INK, PAPER, SOFT_INK, legend
from gliomap.rendering._paint import (
    MapLike,
    Picture,
    blank_panel,
    colour_map,
    drawn_labels,
    hatch_where,
    luma,
    overlay,
    upscale,
)
from gliomap.rendering._text import draw_lines, line_height, wrap
from gliomap.taxonomy import ClassSet

__all__ = ["Panel", "arrange", "dimmed", "fitting_scale", "labels_on_picture", "map_picture", "overlay_picture"]

ASPECT = 1.5
"""Width : height that a picture of several panels approximates: that of a screen or a landscape page."""

WARNING_PAPER = (255, 233, 186)
WARNING_EDGE = (140, 60, 0)
"""Amber, which neither palette uses for a class."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture with a title above it and an optional caption below it."""

    title: str
    picture: Picture
    caption: str = ""


def map_picture(
    tissue: MapLike,
    rgb: Picture,
    *,
    truth: npt.NDArray[np.integer] | None = None,
    palette: str = "classic",
    title: str = "Tissue map",
    subtitle: str = "",
    warnings: Sequence[str] = (),
    scale: int | None = None,
) -> Picture:
    """Draw the map of the whole frame beside its picture, with a legend, and beside the ground truth if there is any.

    With ground truth there are four panels: synthetic RGB, ground truth, map at the labelled pixels, and map of the
    whole frame.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, from `synthetic_rgb`.
    truth
        (H, W) class indices 0…C of the labelled pixels, 0 = not labelled.
    title, subtitle
        Above the panels.
    warnings
        What a reader must know about this frame; drawn under the title.
    scale
        Each pixel of the map becomes scale × scale pixels; None chooses a scale that fits a screen.

    Raises
    ------
    UsageError
        The sizes differ.
    """
    height, width = tissue.labels.shape
    if rgb.shape[:2] != (height, width) or (truth is not None and truth.shape != (height, width)):
        raise UsageError("map picture", f"map {height}×{width}, picture {rgb.shape[:2]}", "Give both in the same size.")
    factor = scale or fitting_scale(height, width)
    # A blank map has no valid pixels, but its picture does.
    bad = ~tissue.mask if tissue.blanked is None else tissue.reasons != 0
    shown = hatch_where(upscale(rgb, factor), upscale(bad, factor))
    panels = [Panel("Synthetic RGB (false colour)", shown)]
    if truth is not None:
        given = labels_on_picture(truth, tissue.classes, rgb, palette, scale=factor)
        panels.append(Panel("Ground truth (labelled pixels)", given))
        panels.append(Panel("Map at the labelled pixels", _at_labels(tissue, truth, rgb, palette, factor)))
    panels.append(Panel("Map of the whole frame", _whole(tissue, palette, factor)))
    # The text must be legible at arm's length or more; four panels are shown at half the size of two.
    size = 18 if truth is None else 26
    beside = legend(tissue, palette, truth=truth, width=(22 if truth is None else 24) * size, size=size)
    return arrange(panels, beside, title=title, subtitle=subtitle, warnings=warnings, size=size + 1)


def overlay_picture(
    tissue: MapLike,
    rgb: Picture,
    *,
    palette: str = "classic",
    opacity: float = 0.6,
    by_confidence: bool = False,
    title: str = "Tissue map over its picture",
    subtitle: str = "",
    warnings: Sequence[str] = (),
    scale: int | None = None,
) -> Picture:
    """Draw the overlay with its legend.

    Parameters
    ----------
    tissue, rgb, palette, opacity, by_confidence
        As for `overlay`.
    title, subtitle, warnings, scale
        As for `map_picture`.

    Raises
    ------
    UsageError
        As for `overlay`.
    """
    factor = scale or fitting_scale(*tissue.labels.shape)
    over = overlay(rgb, tissue, palette, opacity=opacity, by_confidence=by_confidence, scale=factor)
    shown = legend(tissue, palette, by_confidence=by_confidence, over_picture=True)
    return arrange([Panel("", over)], shown, title=title, subtitle=subtitle, warnings=warnings, size=19)


def labels_on_picture(
    labels: npt.NDArray[np.integer], classes: ClassSet, rgb: Picture, palette: str = "classic", *, scale: int = 1
) -> Picture:
    """Draw labels in pure colours on a dimmed grey picture that shows where on the brain they lie.

    Parameters
    ----------
    labels
        (H, W), 0…C; 0 shows the picture.
    classes, palette
        The colours to use.
    rgb
        (H, W, 3) uint8, from `synthetic_rgb`.
    scale
        Each pixel becomes scale × scale pixels.

    Returns
    -------
    Picture
        (scale·H, scale·W, 3) uint8.
    """
    coloured = np.where((labels > 0)[:, :, None], colour_map(labels, classes, palette), dimmed(rgb))
    return upscale(coloured, scale)


def dimmed(rgb: Picture) -> Picture:
    """The picture in dark grey, (H, W, 3): a background that cannot be mistaken for a class colour."""
    return np.repeat(np.round(18 + luma(rgb) * 0.38).astype(np.uint8)[:, :, None], 3, axis=2)


def fitting_scale(height: int, width: int, box: tuple[int, int] = (640, 860)) -> int:
    """Largest integer factor, 1…8, at which a map of this size fits a box of (height, width) pixels.

    Parameters
    ----------
    height, width
        Size of the map, pixels.
    box
        (height, width), pixels.
    """
    return max(1, min(8, box[0] // max(1, height), box[1] // max(1, width)))


def arrange(
    panels: Sequence[Panel],
    legend_picture: Picture | None = None,
    *,
    title: str = "",
    subtitle: str = "",
    warnings: Sequence[str] = (),
    columns: int | None = None,
    size: int = 16,
) -> Picture:
    """Put panels into a grid on white paper, with titles above, captions below and the legend on the right.

    Warnings appear on a bar across the picture, under its title.

    Parameters
    ----------
    panels
        At least one; every grid cell is as large as the largest panel.
    columns
        Columns of the grid; None chooses the number that comes nearest to 3 : 2.
    size
        Text size of the panel titles, pixels.

    Raises
    ------
    UsageError
        There is no panel.
    """
    if not panels:
        raise UsageError("picture", "there is nothing to arrange", "Give at least one panel.")
    gap = size
    cell, lifted = _cell_size(panels, size)
    side = 0 if legend_picture is None else legend_picture.shape[1] + gap
    count = columns or _best_columns(len(panels), (cell[0] + gap, cell[1] + gap), side)
    rows = -(-len(panels) // count)
    grid_width, grid_height = count * (cell[1] + gap) - gap, rows * (cell[0] + gap) - gap
    width = 2 * gap + grid_width + side
    head, head_height = _heading(title, subtitle, width - 2 * gap, size)
    bar = _warning_bar(warnings, width - 2 * gap, size)
    bar_height = 0 if bar is None else bar.height + gap // 2
    legend_height = 0 if legend_picture is None else legend_picture.shape[0]
    height = gap + head_height + bar_height + max(grid_height, legend_height) + gap
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    top = gap
    for lines, text, ink in head:
        top = draw_lines(draw, lines, gap, top, text, ink)
    top = gap + head_height
    if bar is not None:
        image.paste(bar, (gap, top))
        top += bar_height
    for number, panel in enumerate(panels):
        row, column = divmod(number, count)
        corner = (gap + column * (cell[1] + gap), top + row * (cell[0] + gap))
        _draw_panel(image, draw, panel, corner, cell[1], lifted, size)
    if legend_picture is not None:
        image.paste(Image.fromarray(legend_picture), (gap + grid_width + gap, top))
    return np.asarray(image, np.uint8).copy()


def _draw_panel(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    corner: tuple[int, int],
    width: int,
    lifted: int,
    size: int,
) -> None:
    """Draw the title at `corner`, the picture `lifted` pixels below it, and the caption under the picture."""
    left, top = corner
    draw_lines(draw, wrap(panel.title, width, size), left, top, size, INK)
    top += lifted
    image.paste(Image.fromarray(panel.picture), (left, top))
    height, breadth = panel.picture.shape[:2]
    draw.rectangle((left, top, left + breadth - 1, top + height - 1), outline=SOFT_INK)
    small = size - 2
    draw_lines(draw, _caption_lines(panel, width, small), left, top + height + size // 4, small, SOFT_INK)


def _caption_lines(panel: Panel, width: int, size: int) -> list[str]:
    return [line for part in panel.caption.splitlines() for line in wrap(part, width, size)]


def _cell_size(panels: Sequence[Panel], size: int) -> tuple[tuple[int, int], int]:
    """(height, width) of a grid cell with title and caption, and the height of the titles."""
    width = max(panel.picture.shape[1] for panel in panels)
    titles = max(len(wrap(panel.title, width, size)) for panel in panels)
    lifted = titles * line_height(size) + size // 4 if titles else 0
    captions = [len(_caption_lines(panel, width, size - 2)) for panel in panels]
    below = [lines * line_height(size - 2) + size // 4 if lines else 0 for lines in captions]
    height = max(panel.picture.shape[0] + under for panel, under in zip(panels, below, strict=True))
    return (lifted + height, width), lifted


def _best_columns(count: int, cell: tuple[int, int], side: int) -> int:
    def misfit(columns: int) -> float:
        rows = -(-count // columns)
        width, height = columns * cell[1] + side, rows * cell[0]
        return abs(float(np.log(width / height / ASPECT))) + (rows * columns - count) / columns

    return min(range(1, count + 1), key=misfit)


def _heading(
    title: str, subtitle: str, width: int, size: int
) -> tuple[list[tuple[list[str], int, tuple[int, int, int]]], int]:
    """Lines, text size and ink of title and subtitle, and the total height of both."""
    parts = []
    if title:
        parts.append((wrap(title, width, size + 6), size + 6, INK))
    if subtitle:
        parts.append((wrap(subtitle, width, size - 1), size - 1, SOFT_INK))
    height = sum(len(lines) * line_height(text) for lines, text, _ in parts)
    return parts, height + (size // 2 if parts else 0)


def _warning_bar(warnings: Sequence[str], width: int, size: int) -> Image.Image | None:
    """Each warning on its own lines, as large as the panels' titles; None if there are no warnings."""
    pad, edge = size // 2, size // 3
    lines = [line for warning in warnings for line in wrap(f"Warning: {warning}", width - 2 * pad - edge, size)]
    if not lines:
        return None
    bar = Image.new("RGB", (width, len(lines) * line_height(size) + pad), WARNING_PAPER)
    draw = ImageDraw.Draw(bar)
    draw.rectangle((0, 0, edge - 1, bar.height - 1), fill=WARNING_EDGE)
    draw_lines(draw, lines, edge + pad, pad // 2, size, INK)
    return bar


def _whole(tissue: MapLike, palette: str, scale: int) -> Picture:
    """Every classified pixel in its colour, every other pixel hatched; a blank map as a blank panel."""
    height, width = tissue.labels.shape
    if tissue.blanked is not None:
        return blank_panel(height * scale, width * scale, tissue.blanked)
    labels = drawn_labels(tissue)
    large = upscale(colour_map(labels, tissue.classes, palette), scale)
    return hatch_where(large, upscale(labels == 0, scale))


def _at_labels(tissue: MapLike, truth: npt.NDArray[np.integer], rgb: Picture, palette: str, scale: int) -> Picture:
    """The map at the pixels that have ground truth."""
    height, width = tissue.labels.shape
    if tissue.blanked is not None:
        return blank_panel(height * scale, width * scale, tissue.blanked)
    labels = np.where(truth > 0, drawn_labels(tissue), 0)
    large = labels_on_picture(labels, tissue.classes, rgb, palette, scale=scale)
    return hatch_where(large, upscale((truth > 0) & (labels == 0), scale))
