"""Accuracy against the distance from pixels that were trained on, or that the labels grew from."""

from __future__ import annotations

from collections.abc import Sequence

from gliomap.evaluation._distance import DistanceBin, pooled_distances
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import decimal
from gliomap.evaluation.report._tables import Cell, PageTable

__all__ = ["distance_tables"]


def distance_tables(record: EvaluationRecord) -> tuple[PageTable, ...]:
    """All captures together; empty where no tested capture holds such pixels."""
    captures = record.captures.values()
    found = (
        _table("that was trained on", [capture.distance for capture in captures]),
        _table("that its labels grew from (reference pixels)", [capture.reference_distance for capture in captures]),
    )
    return tuple(table for table in found if table is not None)


def _table(what: str, captures: Sequence[tuple[DistanceBin, ...]]) -> PageTable | None:
    bins = [one for one in pooled_distances(captures) if one.pixels]
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
        f"Test pixels by their distance, in pixels, from the nearest pixel of the same capture {what}.",
        ("Distance", "Pixels", "Right", "Accuracy"),
        rows,
    )
