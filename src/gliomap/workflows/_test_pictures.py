"""The pictures and arrays that an evaluation writes for each capture and each fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap._files import atomic_file
from gliomap._text import counted
from gliomap.evaluation import (
    Judged,
    Metrics,
    confusion_figure,
    learning_curves,
    picture_name,
    picture_of,
    picture_stem,
    summary_line,
)
from gliomap.rendering import map_picture, overlay_picture, save_png
from gliomap.tracking import Run
from gliomap.workflows._fold_test import FoldTest, TestedCapture

__all__ = ["MAPS", "PREDICTIONS", "draw_capture", "draw_confusion", "draw_curves", "save_predictions", "together"]

PREDICTIONS, MAPS = "predictions", "maps"


def save_predictions(folder: Path, judged: Judged) -> None:
    """Write predictions/CAPTURE.npz."""
    with atomic_file(folder / PREDICTIONS / f"{judged.capture}.npz") as temporary:
        np.savez_compressed(
            temporary,
            rows=judged.rows,
            columns=judged.columns,
            true=judged.true,
            predicted=judged.predicted,
            probabilities=judged.probabilities,
        )


def draw_capture(fold: FoldTest, tested: TestedCapture, folder: Path, *, palette: str, version: int) -> tuple[str, ...]:
    """Draw the map beside ground truth and synthetic RGB, and the overlay; write their arrays to maps/CAPTURE.npz.

    The figures on a picture are those of the drawn fold on the pixels that it tests. Other labelled pixels may have trained
    it and are not drawn.
    """
    capture, record = tested.judged.capture, fold.run.record
    rgb, truth = picture_of(fold.study, capture, fold.sensor), _tested_labels(tested)
    with atomic_file(folder / MAPS / f"{capture}.npz") as temporary:
        np.savez_compressed(
            temporary,
            labels=tested.tissue.labels,
            confidence=tested.tissue.confidence.astype(np.float16),
            truth=truth,
            rgb=rgb,
        )
    title = f"{record.model.title} · {capture}{_synthetic(fold.run, 1)}"
    figures = f"{summary_line(tested.judged.metrics, record.classes)}{_of_all(fold, tested)}"
    subtitle = f"{figures} · {_trained_on(fold, tested.judged.patient)}"
    stem = picture_stem(record.model.title, capture, record.protocol)
    pictures = {
        picture_name(stem, version): map_picture(
            tested.tissue, rgb, truth=truth, palette=palette, title=title, subtitle=subtitle
        ),
        picture_name(stem, version, "overlay"): overlay_picture(
            tested.tissue, rgb, palette=palette, by_confidence=True, title=title, subtitle=subtitle
        ),
    }
    for name, picture in pictures.items():
        save_png(picture, folder / name)
    return tuple(pictures)


def draw_confusion(run: Run, captures: Sequence[str], pooled: Metrics, folder: Path, version: int) -> str:
    """Draw the confusion matrix of all test captures together; return the file's name."""
    everything, model = together(captures), run.record.model.title
    name = picture_name(picture_stem(model, everything, run.record.protocol), version, "confusion")
    whose = f"{everything.replace('-', ' ')}{_synthetic(run, len(captures))}"
    confusion_figure(pooled, run.record.classes, folder / name, title=f"{model} · confusion matrix · {whose}")
    return name


def draw_curves(fold: FoldTest, tested: str, folder: Path, version: int) -> tuple[str, ...]:
    """Draw the learning curves, if training had epochs; return the names of the files."""
    history = fold.run.history()
    if len(history.epochs) < 2:
        return ()
    title, split = fold.run.record.model.title, fold.split
    name = picture_name(picture_stem(title, tested, fold.run.record.protocol), version, "curves")
    who = ", ".join(
        f"{counted(len(patients), 'patient')} {doing}"
        for doing, patients in (
            ("trained", split.patients_of("train")),
            ("validated", split.patients_of("validation")),
        )
        if patients
    )
    patients = len(split.patients_of("train"))
    heading = f"{title}{f' · {fold.name}' if fold.name else ''} · learning curves{_synthetic(fold.run, patients)}"
    learning_curves(history, folder / name, title=heading, subtitle=f"{who} · {history.stopped}")
    return (name,)


def together(captures: Sequence[str]) -> str:
    """One word for all captures of a test."""
    return captures[0] if len(captures) == 1 else f"{len(captures)}-captures"


def _tested_labels(tested: TestedCapture) -> npt.NDArray[np.uint8]:
    """(H, W) classes of the pixels that the fold tests; 0 elsewhere."""
    labels = np.zeros_like(tested.truth)
    labels[tested.judged.rows, tested.judged.columns] = tested.judged.true
    return labels


def _of_all(fold: FoldTest, tested: TestedCapture) -> str:
    """The number of all labelled pixels, if fewer are tested; it follows the number of the tested ones."""
    if fold.split.pixels is None:
        return ""
    return f" tested of {np.count_nonzero(tested.truth):,}; only these are drawn"


def _synthetic(run: Run, patients: int) -> str:
    """The note in a title about a phantom's patients."""
    return f" (synthetic patient{'s' * (patients != 1)})" if run.record.study.synthetic else ""


def _trained_on(fold: FoldTest, patient: str) -> str:
    told = f"trained on {counted(len(fold.run.learned()), 'patient')}"
    if patient in fold.split.shared_patients:
        return f"{told}, including {patient}: these figures are too high"
    return f"{told}, without {patient}"
