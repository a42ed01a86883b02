"""Accuracy against the distance from the nearest pixel that was trained on."""

from __future__ import annotations

from gliomap.evaluation._distance import pooled_distances
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import decimal
from gliomap.evaluation.report._tables import Cell, PageTable

__all__ = ["distance_table"]


def distance_table(record: EvaluationRecord) -> PageTable | None:
    """All captures together; None where no tested capture holds a pixel that was trained on."""
    bins = [one for one in pooled_distances([capture.distance for capture in record.captures.values()]) if one.pixels]
    if not bins:
        return None
    rows = tuple(
        (
            Cell(f"{one.least:g} to {one.most:g}" if one.most is not None else f"{one.least:g} and more"),
            Cell(f"{one.pixels:,}", number=True),
            Cell(f"{one.right:,}", number=True),
            Cell(decimal(one.right / one.pixels), number=True),
        )
        for one in bins
    )
    return PageTable(
        "Test pixels by their distance, in pixels, from the nearest pixel of the same capture that was trained on.",
        ("Distance", "Pixels", "Right", "Accuracy"),
        rows,
    )
