"""Pictures as data URIs: they are part of the page, so that opening it fetches nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gliomap.evaluation._record import CaptureRecord
from gliomap.evaluation._tables import summary_line
from gliomap.evaluation.report._content import MapPicture
from gliomap.rendering import colour_map, hatch, labels_on_picture
from gliomap.taxonomy import ClassSet

__all__ = ["CapturePanels", "Panel", "Swatch", "capture_panels", "confidence_ramp", "swatches"]

_RAMP = np.array([(20, 28, 48), (52, 74, 108), (106, 122, 138), (172, 170, 140), (238, 222, 128), (255, 246, 208)])
"""Dark blue to pale yellow; lightness rises evenly, so it is legible in grey and to colour-blind readers."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a capture."""

    title: str
    source: str
    alt: str


@dataclass(frozen=True, slots=True)
class CapturePanels:
    """The four pictures of a capture side by side.

    Attributes
    ----------
    capture, patient
        Identifiers.
    panels
        Synthetic RGB, ground truth, map, confidence; empty if the map was not kept.
    line
        Its figures in one line.
    size
        'height × width pixels'.
    """

    capture: str
    patient: str
    panels: tuple[Panel, ...]
    line: str
    size: str


@dataclass(frozen=True, slots=True)
class Swatch:
    """A colour of the legend, as CSS."""

    name: str
    colour: str


def capture_panels(
    capture: str, record: CaptureRecord, picture: MapPicture | None, classes: ClassSet, palette: str
) -> CapturePanels:
    """Draw the four pictures of a capture, or none if its map was not kept."""
    line = summary_line(record.metrics, classes)
    if picture is None:
        return CapturePanels(capture, record.patient, (), line, "")
    mapped = colour_map(picture.labels, classes, palette)
    empty = picture.labels == 0
    mapped = np.where(empty[:, :, None], hatch(*empty.shape), mapped).astype(np.uint8)
    shades = np.where(empty[:, :, None], hatch(*empty.shape), confidence_ramp(picture.confidence)).astype(np.uint8)
    sure = picture.confidence[~empty]
    height, width = picture.labels.shape
    panels = (
        Panel("Synthetic RGB (false colour)", _photograph(picture.rgb), f"False-colour picture of capture {capture}"),
        Panel(
            "Ground truth",
            _drawing(labels_on_picture(picture.truth, classes, picture.rgb, palette)),
            f"Labelled pixels of {capture}: {_shares(picture.truth, classes)}",
        ),
        Panel("Map", _drawing(mapped), f"Tissue map of {capture}: {_shares(picture.labels, classes)}"),
        Panel(
            "Confidence",
            _drawing(shades),
            f"Confidence of the map of {capture}, {float(sure.mean()) if sure.size else 0:.2f} on average",
        ),
    )
    return CapturePanels(capture, record.patient, panels, line, f"{height} × {width} pixels")


def swatches(classes: ClassSet, palette: str) -> tuple[Swatch, ...]:
    """The colours of the classes."""
    colours = classes.colours(palette)
    return tuple(Swatch(tissue.name, css_colour(colours[tissue.index])) for tissue in classes.classes)


def css_colour(rgb: Iterable[int]) -> str:
    """Red, green and blue, 0…255, as CSS."""
    return "#" + "".join(f"{int(value):02x}" for value in rgb)


def confidence_ramp(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Colours of confidences 0…1, any shape + (3,), in 33 steps to keep their pictures small."""
    steps = np.round(np.clip(values, 0, 1) * 32) / 32
    places = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(steps, places, _RAMP[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def _shares(labels: npt.NDArray[np.uint8], classes: ClassSet) -> str:
    counts = np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
    total = int(counts.sum())
    if not total:
        return "none"
    return ", ".join(
        f"{name} {100 * count / total:.0f} %"
        for name, count in zip(classes.names, counts.tolist(), strict=True)
        if count
    )


def _photograph(picture: npt.NDArray[np.uint8]) -> str:
    return _source(Image.fromarray(picture), "JPEG", quality=88, subsampling=0)


def _drawing(picture: npt.NDArray[np.uint8]) -> str:
    return _source(Image.fromarray(picture), "PNG", optimize=True)


def _source(image: Image.Image, kind: str, **options: int | bool) -> str:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
