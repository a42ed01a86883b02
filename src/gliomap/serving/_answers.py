"""Encode a tissue map as JSON, picture, arrays or TIFF, as the client's Accept header asks."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gliomap.captures import tiff_bytes
from gliomap.engine import LABELS, MAP, OVERLAY, PROBABILITIES, RESULT, TissueMap, npy_bytes
from gliomap.errors import RequestError
from gliomap.preprocessing import HyperCube
from gliomap.rendering import Picture, map_picture, overlay_picture, synthetic_rgb
from gliomap.taxonomy import palette_names

__all__ = ["FORMS", "Answer", "AnswerForm", "Drawing", "chosen_form", "labels_png", "packed", "png", "render"]

AnswerForm = Literal["json", "labels", "map", "overlay", "npz", "tiff", "zip"]

FORMS: Mapping[str, tuple[AnswerForm, ...]] = {
    "application/json": ("json",),
    "image/png": ("labels", "map", "overlay"),
    "application/x-npz": ("npz",),
    "image/tiff": ("tiff",),
    "application/zip": ("zip",),
}
"""Media type → forms available in it, the default first."""

MEDIA_TYPES: Mapping[AnswerForm, str] = {form: kind for kind, forms in FORMS.items() for form in forms}


@dataclass(frozen=True, eq=False)
class Answer:
    """A response.

    Attributes
    ----------
    body, media_type
        Sent as they are.
    headers
        Further headers.
    """

    body: bytes
    media_type: str
    headers: Mapping[str, str]


def chosen_form(accept: str, picture: str | None) -> AnswerForm:
    """Choose the form by the Accept header, and among PNG pictures by `picture`.

    Raises
    ------
    RequestError
        None of the accepted types is available (406), or the picture is unknown (400).
    """
    if picture is not None and picture not in FORMS["image/png"]:
        raise RequestError(
            "picture", f"is {picture[:40]!r}", f"Choose one of: {', '.join(FORMS['image/png'])}.", status=400
        )
    for kind in _preferred(accept):
        for known, forms in FORMS.items():
            if kind in (known, f"{known.partition('/')[0]}/*", "*/*"):
                if picture is not None and picture in forms:
                    return next(form for form in forms if form == picture)
                return forms[0]
    raise RequestError("Accept", f"is {accept[:80]!r}", f"Ask for one of: {', '.join(FORMS)}.", status=406)


def check_palette(palette: str) -> None:
    """Refuse an unknown palette.

    Raises
    ------
    RequestError
        It is unknown (400).
    """
    if palette not in palette_names():
        raise RequestError(
            "palette", f"is {palette[:40]!r}", f"Choose one of: {', '.join(palette_names())}.", status=400
        )


def _preferred(accept: str) -> list[str]:
    """Media types of an Accept header, most preferred first; an unreadable quality counts as 0."""
    ranked = []
    for place, entry in enumerate(accept.split(",") if accept.strip() else ["*/*"]):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                digits = parameter[2:]
                quality = float(digits) if digits.replace(".", "", 1).isdecimal() else 0.0
        if quality > 0:
            ranked.append((-quality, place, kind))
    return [kind for _, _, kind in sorted(ranked)]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is needed to draw a picture of a map.

    Attributes
    ----------
    cube
        Returns the frame before normalisation.
    palette
        Name of the colour palette.
    origin
        Where the map comes from; drawn under the title.
    warnings
        What must be said about the frame; drawn below `origin`.
    """

    cube: Callable[[], HyperCube]
    palette: str
    origin: str
    warnings: Sequence[str]


def render(form: AnswerForm, tissue: TissueMap, drawing: Drawing) -> bytes:
    """Encode a map in one of the forms that are neither JSON nor ZIP."""
    if form == "labels":
        return labels_png(tissue, drawing.palette)
    if form == "npz":
        return _npz(tissue)
    if form == "tiff":
        return tiff_bytes(tissue.labels)
    rgb = synthetic_rgb(drawing.cube())
    palette, subtitle, warnings = drawing.palette, drawing.origin, drawing.warnings
    if form == "map":
        return png(map_picture(tissue, rgb, palette=palette, subtitle=subtitle, warnings=warnings))
    over = overlay_picture(tissue, rgb, palette=palette, by_confidence=True, subtitle=subtitle, warnings=warnings)
    return png(over)


def labels_png(tissue: TissueMap, palette: str) -> bytes:
    """Labels as a palette PNG: its indices are exactly the labels, and any image viewer shows their colours."""
    image = Image.frombytes("P", (tissue.width, tissue.height), tissue.labels.tobytes())
    image.putpalette(tissue.classes.colours(palette).tobytes())
    return _encoded(image)


def base64_png(tissue: TissueMap, palette: str) -> str:
    """`labels_png` in base64."""
    return base64.b64encode(labels_png(tissue, palette)).decode("ascii")


def png(picture: Picture) -> bytes:
    """A picture as PNG, compressed lightly: time matters more than size here."""
    return _encoded(Image.fromarray(picture))


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def packed(tissue: TissueMap, drawing: Drawing, result: bytes) -> bytes:
    """Everything as a ZIP archive; the file names are those of `gliomap classify -o`."""
    files = {
        LABELS: npy_bytes(tissue.labels),
        PROBABILITIES: npy_bytes(tissue.probabilities),
        MAP: render("map", tissue, drawing),
        OVERLAY: render("overlay", tissue, drawing),
        RESULT: result,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _npz(tissue: TissueMap) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        labels=tissue.labels,
        probabilities=np.ascontiguousarray(tissue.probabilities),
        confidence=tissue.confidence,
        mask=tissue.mask,
        reasons=tissue.reasons,
    )
    return buffer.getvalue()
