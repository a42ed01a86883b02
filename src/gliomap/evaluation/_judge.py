"""Compare a tissue map with the ground truth of its capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError
from gliomap.evaluation._metrics import Metrics, metrics
from gliomap.evaluation._tables import tumour_indices

if TYPE_CHECKING:
    from gliomap.engine import TissueMap
    from gliomap.taxonomy import ClassSet

__all__ = ["FalseTumour", "Judged", "false_tumour", "judge", "pooled_metrics"]


@dataclass(frozen=True, slots=True)
class FalseTumour:
    """Tumour marked in a capture in which nobody labelled any.

    Attributes
    ----------
    labelled
        Labelled, classified pixels, all of other tissue.
    labelled_marked
        Those of them that were marked as tumour, which are certainly wrong.
    labelled_share
        labelled_marked / labelled; None without such pixels.
    frame
        Classified pixels of the whole frame.
    frame_marked
        Those of them that were marked as tumour. Nobody labelled most of them, so they are not
        certainly wrong.
    frame_share
        frame_marked / frame; None without such pixels.
    """

    labelled: int
    labelled_marked: int
    labelled_share: float | None
    frame: int
    frame_marked: int
    frame_share: float | None


@dataclass(frozen=True, eq=False)
class Judged:
    """The labelled pixels of one capture with their predictions, in column-major order.

    Attributes
    ----------
    capture, patient
        Identifiers.
    rows, columns
        (N,) int64, positions in the cube.
    true
        (N,) uint8, classes 1…C.
    predicted
        (N,) uint8, classes 0…C; 0 = not classified.
    probabilities
        (N, C) float32.
    metrics
        Metrics over these pixels.
    false_tumour
        Set if the classes include tumour and nobody labelled it in this capture, among these pixels or others;
        otherwise None.
    """

    capture: str
    patient: str
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    true: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    metrics: Metrics
    false_tumour: FalseTumour | None


def judge(
    capture: str,
    patient: str,
    truth: npt.NDArray[np.uint8],
    tissue: TissueMap,
    tested: npt.NDArray[np.bool_] | None = None,
) -> Judged:
    """Compare a map with the ground truth of its capture.

    Parameters
    ----------
    truth
        (H, W) class indices 0…C, 0 = not labelled.
    tissue
        Map of the same size.
    tested
        (H, W) mask of the pixels whose labels are compared; all by default.

    Raises
    ------
    UsageError
        The sizes differ.
    """
    if truth.shape != tissue.labels.shape:
        raise UsageError(
            f"capture {capture}",
            f"map {tissue.labels.shape} and ground truth {truth.shape} differ in size",
            "Align them.",
        )
    compared = truth > 0 if tested is None else tested & (truth > 0)
    columns, rows = np.nonzero(compared.T)
    true, predicted = truth[rows, columns], tissue.labels[rows, columns]
    probabilities = tissue.probabilities[rows, columns]
    return Judged(
        capture=capture,
        patient=patient,
        rows=rows.astype(np.int64),
        columns=columns.astype(np.int64),
        true=true,
        predicted=predicted,
        probabilities=probabilities,
        metrics=metrics(true, predicted, len(tissue.classes), probabilities, tumour_indices(tissue.classes)),
        false_tumour=false_tumour(truth, tissue, compared),
    )


def false_tumour(
    truth: npt.NDArray[np.uint8], tissue: TissueMap, compared: npt.NDArray[np.bool_]
) -> FalseTumour | None:
    """Count tumour marked where nobody labelled any; None if someone did, or if no class is tumour.

    Parameters
    ----------
    truth
        (H, W) class indices 0…C, 0 = not labelled.
    tissue
        Map of the same size.
    compared
        (H, W) mask of the pixels whose labels count.
    """
    tumour = tumour_indices(tissue.classes)
    if not tumour or np.isin(truth, tumour).any():
        return None
    classified = tissue.labels > 0
    marked = np.isin(tissue.labels, tumour)
    known = compared & (truth > 0)
    labelled, labelled_marked = int(np.count_nonzero(classified & known)), int(np.count_nonzero(marked & known))
    frame, frame_marked = int(np.count_nonzero(classified)), int(np.count_nonzero(marked))
    return FalseTumour(
        labelled=labelled,
        labelled_marked=labelled_marked,
        labelled_share=labelled_marked / labelled if labelled else None,
        frame=frame,
        frame_marked=frame_marked,
        frame_share=frame_marked / frame if frame else None,
    )


def pooled_metrics(judged: Sequence[Judged], classes: ClassSet) -> Metrics:
    """Metrics over the labelled pixels of several captures together; each pixel counts once.

    Raises
    ------
    UsageError
        There are no captures.
    """
    if not judged:
        raise UsageError("metrics", "there is no capture to pool", "Test at least one.")
    return metrics(
        np.concatenate([one.true for one in judged]),
        np.concatenate([one.predicted for one in judged]),
        len(classes),
        np.concatenate([one.probabilities for one in judged]),
        tumour_indices(classes),
    )
