"""Accuracy by distance from training pixels, or from the pixels from which the labels grew."""

from __future__ import annotations

from collections.abc import Sequence

from gliomap.evaluation._distance import DistanceBin, pooled_distances
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import decimal
from gliomap.evaluation.report._tables import Cell, PageTable

__all__ = ["distance_tables"]


def distance_tables(record: EvaluationRecord) -> tuple[PageTable, ...]:
    """Tables over all captures together; empty if no tested capture has such pixels."""
    captures = record.captures.values()
    found = (
        _table("that was trained on", [capture.distance for capture in captures]),
        _table("from which its labels grew (reference pixels)", [capture.reference_distance for capture in captures]),
    )
    return tuple(table for table in found if table is not None)


def _table(what: str, captures: Sequence[tuple[DistanceBin, ...]]) -> PageTable | None:
    bins = [one for one in pooled_distances(captures) if one.pixels]
    if not bins:
        return None
    rows = tuple(
        (
            Cell(f"{one.least:g} to {one.most:g}" if one.most is not None else f"{one.least:g} or more"),
            Cell(f"{one.pixels:,}", number=True),
            Cell(f"{one.right:,}", number=True),
            Cell(decimal(one.right / one.pixels), number=True),
        )
        for one in bins
    )
    return PageTable(
        f"Test pixels by distance, in pixels, from the nearest pixel of the same capture {what}.",
        ("Distance", "Pixels", "Correct", "Accuracy"),
        rows,
    )
