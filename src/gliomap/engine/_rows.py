"""Strips of rows that a frame is classified in, where the frame graph's rows are free."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from gliomap.bundles import CUBE_ROWS, FRAME_ROWS, Manifest
from gliomap.sensors import MosaicSensor

__all__ = ["FrameRows", "Strip", "free_rows"]

_LEAST_ROWS = 16
"""A strip has so many rows at least, and so many times the reach: neighbours then compute at most an eighth twice."""
_MOST_ROWS = 60
"""Of more rows, what lies between the graph's operations leaves a core's own cache, and cores wait for one memory."""


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
        """Strips of one height, as many for each thread; fewer, one for a thread or less, where they would be too low."""
        most = max(1, self.cube // (_LEAST_ROWS * max(1, self.reach)))
        each = max(1, min(-(-self.cube // (_MOST_ROWS * threads)), most // threads))
        count = min(most, each * threads)
        # Neighbours share so many rows that each sees what its rows up to the middle of them look at.
        shared = 2 * self.reach
        height = -(-(self.cube + shared * (count - 1)) // count)
        starts = [*range(0, self.cube - height, max(1, height - shared)), self.cube - height]
        bounds = [0, *(start + self.reach for start in starts[1:]), self.cube]
        return tuple(
            Strip(start, start + height, *taken)
            for start, taken in zip(starts, itertools.pairwise(bounds), strict=True)
        )


def free_rows(manifest: Manifest, sensor: MosaicSensor) -> FrameRows | None:
    """The free rows of a bundle's frame graph; None where they are fixed, as in bundles of format version 1."""
    if FRAME_ROWS not in manifest.graphs["frame"].inputs[0].shape:
        return None
    area = sensor.active_area
    return FrameRows(
        sensor.frame_shape[0], sensor.cube_shape[0], area.top, sensor.pattern[0], manifest.model.window // 2
    )
