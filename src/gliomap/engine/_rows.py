"""Strips of rows that a frame is classified in, where the frame graph's rows are free."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from gliomap.bundles import CUBE_ROWS, FRAME_ROWS, Manifest
from gliomap.sensors import MosaicSensor

__all__ = ["FrameRows", "Strip", "free_rows"]

_LEAST_ROWS = 16
"""A strip has so many rows at least, and so many times the reach: neighbours then compute at most an eighth twice."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of tiles that a graph is given, `first` to before `last`, and those that are taken of its map.

    All strips of a frame have one height. At its cut edges a strip sees zeros instead of its neighbour's rows, which
    is why more is given than taken.
    """

    first: int
    last: int
    taken_first: int
    taken_last: int


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The free rows of a frame graph.

    Attributes
    ----------
    frame, cube
        Rows of a frame, and of tiles in it.
    top, tile
        The first row of the first tile, and the rows of a tile.
    reach
        Rows of tiles above and below a pixel on which its class depends.
    """

    frame: int
    cube: int
    top: int
    tile: int
    reach: int

    def sizes(self, rows: int | None = None) -> dict[str, int]:
        """What the words in the graph's shapes mean for a strip of so many rows of tiles, or for a whole frame."""
        if rows is None:
            return {FRAME_ROWS: self.frame, CUBE_ROWS: self.cube}
        return {FRAME_ROWS: self.top + rows * self.tile, CUBE_ROWS: rows}

    def of_frame(self, strip: Strip) -> slice:
        """The rows of a frame that hold a strip; the graph leaves out the first `top` of them."""
        return slice(strip.first * self.tile, self.top + strip.last * self.tile)

    def strips(self, threads: int) -> tuple[Strip, ...]:
        """A strip for each thread; fewer where strips would be too low."""
        count = max(1, min(threads, self.cube // (_LEAST_ROWS * max(1, self.reach))))
        bounds = [self.cube * number // count for number in range(count + 1)]
        taken = list(itertools.pairwise(bounds))
        # An edge of the frame on one side needs no margin: of two strips, each has one.
        margins = self.reach * min(2, count - 1)
        height = min(self.cube, max(last - first for first, last in taken) + margins)
        starts = [min(max(0, first - self.reach), self.cube - height) for first, _ in taken]
        return tuple(Strip(start, start + height, *rows) for start, rows in zip(starts, taken, strict=True))


def free_rows(manifest: Manifest, sensor: MosaicSensor) -> FrameRows | None:
    """The free rows of a bundle's frame graph; None where they are fixed, as in bundles of format version 1."""
    if FRAME_ROWS not in manifest.graphs["frame"].inputs[0].shape:
        return None
    area = sensor.active_area
    return FrameRows(
        sensor.frame_shape[0], sensor.cube_shape[0], area.top, sensor.pattern[0], manifest.model.window // 2
    )
