"""The contact sheet of a study: the picture and labels of each capture."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import GlioMapError
from gliomap.rendering import (
    Panel,
    Picture,
    Row,
    arrange,
    blank_panel,
    draw_legend,
    labels_on_picture,
    save_png,
    synthetic_rgb,
    upscale,
)
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

if TYPE_CHECKING:
    from gliomap.studies import SensorLike, Study

__all__ = ["contact_sheet", "picture_of"]

log = logging.getLogger(__name__)

WIDEST = 420
"""Maximum width of one picture on the sheet in pixels; larger pictures are shown at 1/2, 1/3, …, small ones enlarged."""
OTHER_CODE = (235, 235, 235)
GAP = 6


@dataclass(frozen=True, eq=False)
class _Entry:
    """One capture on the sheet."""

    panel: Panel
    patient: str
    counts: Counter[int]
    other: int


def contact_sheet(
    study: Study,
    path: Path,
    *,
    classes: ClassSet = THESIS_CLASSES,
    palette: str = "classic",
    sensor: SensorLike | None = None,
    track: Track = silent,
) -> None:
    """Draw every capture of a study to one PNG: synthetic RGB, labels, and a legend with totals.

    A capture that cannot be read has an empty frame that says why; `study check` gives details.

    Parameters
    ----------
    study
        From `open_study`.
    path
        An existing file is replaced.
    classes
        The classes to draw; other labels are drawn nearly white and counted as 'other tissue'.
    sensor
        The sensor for captures without a prepared cube, if study.toml names none.
    """
    ids = study.capture_ids
    entries = [_entry(study, capture, classes, palette, sensor) for capture in track(ids, "Drawing captures", len(ids))]
    rows = _legend_rows(entries, classes, palette)
    notes = [
        "Left: synthetic RGB (false colour). Right: labelled pixels on the dimmed picture.",
        "Labels are partial: unlabelled does not mean healthy.",
    ]
    legend = draw_legend(rows, ("pixels", "patients"), notes, width=400, size=18)
    title = f"Study {study.name}"
    subtitle = f"{counted(len(study.patients), 'synthetic patient' if study.settings.synthetic else 'patient')}, {counted(len(ids), 'capture')}"
    save_png(arrange([entry.panel for entry in entries], legend, title=title, subtitle=subtitle, size=18), path)


def picture_of(study: Study, capture: str, sensor: SensorLike | None = None) -> Picture:
    """Synthetic RGB of a capture, (H, W, 3) uint8, aligned with its cube.

    It is made from reflectance if the raw frames and their sensor are available, since normalised brightness
    has lost light and shade; otherwise from the prepared cube.

    Parameters
    ----------
    study
        From `open_study`.
    capture
        One of its `capture_ids`.
    sensor
        Used instead of the one in study.toml.

    Raises
    ------
    StudyError, CubeError, CaptureError
        Neither raw frames nor a cube can be read.
    """
    # The picture is only looked at and nothing is measured on it, so frames that a split does not know will do.
    study = replace(study, unread=frozenset())
    if study.has_raw(capture) and (sensor is not None or study.settings.sensor is not None):
        plain = replace(study.preprocessing, normalisation="none")
        try:
            return synthetic_rgb(study.cube(capture, sensor, plain))
        except GlioMapError as error:
            if not study.has_cube(capture):
                raise
            log.info("picture of %s: from the prepared cube, because %s", capture, error)
    return synthetic_rgb(study.cube(capture, sensor))


def _entry(study: Study, capture: str, classes: ClassSet, palette: str, sensor: SensorLike | None) -> _Entry:
    patient = study.patient_of(capture)
    try:
        rgb = picture_of(study, capture, sensor)
        codes = study.codes(capture) if study.has_map(capture) else np.zeros(rgb.shape[:2], np.uint16)
        labels = classes.from_codes(codes)
    except GlioMapError as error:
        log.warning("contact sheet: %s", error)
        words = f"{Path(error.thing).name}: {error.fault}. {error.remedy}"
        blank = blank_panel(WIDEST // 2, 2 * WIDEST, words, heading="Cannot be shown")
        return _Entry(Panel(f"{capture} · patient {patient}", blank), patient, Counter(), 0)
    other = (codes > 0) & (labels == 0)
    panel = Panel(
        f"{capture} · patient {patient}",
        _side_by_side(rgb, _labelled(labels, other, classes, rgb, palette)),
        _caption(labels, other, has_map=study.has_map(capture)),
    )
    counts = Counter({int(k): int(n) for k, n in enumerate(np.bincount(labels.ravel())) if k and n})
    return _Entry(panel, patient, counts, int(other.sum()))


def _labelled(
    labels: npt.NDArray[np.uint8], other: npt.NDArray[np.bool_], classes: ClassSet, rgb: Picture, palette: str
) -> Picture:
    picture = labels_on_picture(labels, classes, rgb, palette)
    picture[other] = OTHER_CODE
    return picture


def _side_by_side(left: Picture, right: Picture) -> Picture:
    """Both pictures with a white gap, each enlarged or subsampled by an integer factor to at most `WIDEST` pixels."""
    step, factor = -(-left.shape[1] // WIDEST), max(1, WIDEST // left.shape[1])
    shown = [upscale(picture[::step, ::step], factor) for picture in (left, right)]
    gap = np.full((shown[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([shown[0], gap, shown[1]], axis=1)


def _caption(labels: npt.NDArray[np.uint8], other: npt.NDArray[np.bool_], *, has_map: bool) -> str:
    size = f"{labels.shape[0]} x {labels.shape[1]} pixels"
    if not has_map:
        return f"{size} · no ground-truth map"
    labelled = int(np.count_nonzero(labels))
    text = f"{size} · {labelled:,} labelled ({100 * labelled / labels.size:.1f} %)"
    return text + (f" · {int(other.sum()):,} of other tissue" if other.any() else "")


def _legend_rows(entries: list[_Entry], classes: ClassSet, palette: str) -> list[Row]:
    colours = classes.colours(palette)
    rows = []
    for tissue in classes.classes:
        total = sum(entry.counts[tissue.index] for entry in entries)
        patients = len({entry.patient for entry in entries if entry.counts[tissue.index]})
        red, green, blue = (int(value) for value in colours[tissue.index])
        cells = (f"{total:,}", str(patients)) if total else ("none", "")
        rows.append(Row(tissue.name, (red, green, blue), cells))
    other = sum(entry.other for entry in entries)
    if other:
        patients = len({entry.patient for entry in entries if entry.other})
        rows.append(Row("other tissue", OTHER_CODE, (f"{other:,}", str(patients))))
    return rows
