"""From labels to coloured pixels."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gliomap.errors import TaxonomyError, UsageError
from gliomap.rendering._text import draw_lines, fit, line_height, text_width
from gliomap.taxonomy import ClassSet

__all__ = [
    "HATCH_DARK",
    "HATCH_LIGHT",
    "MapLike",
    "Picture",
    "blank_panel",
    "colour_map",
    "drawn_labels",
    "hatch",
    "hatch_where",
    "luma",
    "overlay",
    "upscale",
]

_Scalar = TypeVar("_Scalar", bound=np.generic)

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB, 0…255."""

HATCH_LIGHT = (168, 168, 168)
HATCH_DARK = (112, 112, 112)
BLANK_GREY = (206, 206, 206)
BLANK_INK = (40, 40, 40)
LEAST_OPACITY = 0.35
"""Share of the opacity that the least confident pixel keeps: doubtful tumour must stay visible."""


class MapLike(Protocol):
    """The parts of a tissue map that are drawn; `gliomap.engine.TissueMap` provides them.

    `labels` (H, W) uint8, 0 = not classified; `confidence` (H, W) float32, 0…1; `mask` (H, W) bool,
    True = valid; `reasons` (H, W) uint8, bits of `preprocessing.Reason`; `blanked` says why nothing
    was classified, and is None otherwise.
    """

    @property
    def labels(self) -> npt.NDArray[np.uint8]: ...

    @property
    def confidence(self) -> npt.NDArray[np.float32]: ...

    @property
    def mask(self) -> npt.NDArray[np.bool_]: ...

    @property
    def reasons(self) -> npt.NDArray[np.uint8]: ...

    @property
    def classes(self) -> ClassSet: ...

    @property
    def blanked(self) -> str | None: ...


def drawn_labels(tissue: MapLike) -> npt.NDArray[np.uint8]:
    """(H, W) labels as drawn: neither a masked pixel nor a blank map ever shows a class."""
    if tissue.blanked is not None:
        return np.zeros_like(tissue.labels)
    return np.where(tissue.mask, tissue.labels, 0).astype(np.uint8)


def colour_map(labels: npt.NDArray[np.integer], classes: ClassSet, palette: str = "classic") -> Picture:
    """Colour each label, (H, W, 3) uint8; 0 is black.

    Parameters
    ----------
    labels
        (H, W), 0…C.
    classes
        The classes whose colours to use.
    palette
        'classic' or 'safe'.

    Raises
    ------
    TaxonomyError
        A label that is not 0…C, or an unknown palette.
    """
    colours = classes.colours(palette)
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= len(colours)):
        raise TaxonomyError(
            "label map",
            f"contains labels {int(labels.min())}…{int(labels.max())}, but the classes are 1…{len(classes)}",
            "Draw it with the classes that it was made with.",
        )
    coloured: Picture = colours[labels]
    return coloured


def upscale(array: npt.NDArray[_Scalar], scale: int) -> npt.NDArray[_Scalar]:
    """Repeat each pixel `scale` times along rows and columns (nearest neighbour, which invents no labels)."""
    return array if scale == 1 else array.repeat(scale, axis=0).repeat(scale, axis=1)


def luma(rgb: Picture) -> npt.NDArray[np.float32]:
    """(H, W) brightness of a picture, 0…255 (ITU-R BT.601)."""
    grey: npt.NDArray[np.float32] = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey


def hatch(height: int, width: int) -> Picture:
    """Grey diagonal stripes, six pixels apart: the sign for pixels not measured well enough to be classified."""
    rows, columns = np.ogrid[:height, :width]
    stripe = (rows + columns) % 6 < 2
    return np.where(stripe[:, :, None], np.array(HATCH_DARK, np.uint8), np.array(HATCH_LIGHT, np.uint8))


def overlay(
    rgb: Picture,
    tissue: MapLike,
    palette: str = "classic",
    *,
    opacity: float = 0.6,
    by_confidence: bool = False,
    scale: int = 1,
) -> Picture:
    """Draw a tissue map over its picture, (scale·H, scale·W, 3) uint8.

    Under a class colour the picture is grey, so that its false colours do not tint the classes. Masked pixels
    are hatched grey; other unclassified pixels show the picture as it is. For a blank map, the result is an empty
    grey frame with the reason: a bare picture would look like a map that found nothing.

    Parameters
    ----------
    rgb
        (H, W, 3), as made by `synthetic_rgb`.
    opacity
        Opacity of the class colours, 0…1.
    by_confidence
        Scale the opacity with each pixel's confidence, from chance (1/C) to 1; the least confident
        pixels keep 35 % of it.
    scale
        Each pixel becomes scale × scale pixels.

    Raises
    ------
    UsageError
        The opacity is outside 0…1, the scale is below 1, or picture and map differ in size.
    """
    if not 0 <= opacity <= 1 or scale < 1:
        raise UsageError("overlay", f"opacity {opacity} or scale {scale} is out of range", "Use 0…1, and 1 or more.")
    height, width = tissue.labels.shape
    if rgb.shape != (height, width, 3):
        raise UsageError("overlay", f"picture {rgb.shape}, map {height}×{width}", "Give both in the same size.")
    if tissue.blanked is not None:
        return blank_panel(height * scale, width * scale, tissue.blanked)
    labels = drawn_labels(tissue)
    colours = colour_map(labels, tissue.classes, palette).astype(np.float32)
    share = np.full((height, width), opacity, np.float32)
    if by_confidence:
        chance = 1 / max(2, len(tissue.classes))
        certainty = np.clip((tissue.confidence - chance) / (1 - chance), 0, 1)
        share *= LEAST_OPACITY + (1 - LEAST_OPACITY) * certainty
    blended = luma(rgb)[:, :, None] * (1 - share[:, :, None]) + colours * share[:, :, None]
    classified = (labels > 0)[:, :, None]
    picture = np.where(classified, np.round(np.clip(blended, 0, 255)).astype(np.uint8), rgb)
    return hatch_where(upscale(picture, scale), upscale(~tissue.mask, scale))


def hatch_where(picture: Picture, where: npt.NDArray[np.bool_]) -> Picture:
    """Replace pixels with hatching."""
    return np.where(where[:, :, None], hatch(*where.shape), picture)


def blank_panel(height: int, width: int, reason: str, *, heading: str = "No map") -> Picture:
    """Draw an empty grey frame that says why there is nothing to see, (height, width, 3) uint8.

    Parameters
    ----------
    height, width
        Pixels.
    reason
        Plain text; wrapped to fit.
    heading
        Drawn above the reason, larger.
    """
    image = Image.new("RGB", (width, height), BLANK_GREY)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, height - 1), outline=HATCH_DARK, width=max(1, min(width, height) // 80))
    margin = max(4, width // 16)
    largest = max(8, min(40, height // 9))
    head, heading_size = fit(heading, width - 2 * margin, height // 4, largest + 4)
    lines, size = fit(reason, width - 2 * margin, height * 3 // 5, largest)
    total = len(head) * line_height(heading_size) + len(lines) * line_height(size)
    top = max(2, (height - total) // 2)
    for line, large in [*((line, heading_size) for line in head), *((line, size) for line in lines)]:
        top = draw_lines(draw, [line], (width - text_width(line, large)) // 2, top, large, BLANK_INK)
    return np.asarray(image, np.uint8).copy()
