"""Strips of rows that a frame is classified in, where the frame graph's rows are free."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.bundles import CUBE_ROWS, FRAME_ROWS, Manifest
from gliomap.sensors import MosaicSensor

__all__ = ["FrameRows", "Strip", "free_rows"]

_LEAST_ROWS = 16
"""Of a strip; and as many times the reach, so that at most an eighth is computed for both neighbours."""


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
        """As many strips as threads can share evenly; one where strips would be too low."""
        most = self.cube // max(_LEAST_ROWS, _LEAST_ROWS * self.reach)
        count = max(number for number in range(1, threads + 1) if threads % number == 0 and number <= max(1, most))
        taken = -(-self.cube // count)
        height = min(self.cube, taken + self.reach * min(2, count - 1))
        strips = []
        for first in range(0, self.cube, taken):
            start = min(max(0, first - self.reach), self.cube - height)
            strips.append(Strip(start, start + height, first, min(first + taken, self.cube)))
        return tuple(strips)


def free_rows(manifest: Manifest, sensor: MosaicSensor) -> FrameRows | None:
    """The free rows of a bundle's frame graph; None where they are fixed, as in bundles of format version 1."""
    if FRAME_ROWS not in manifest.graphs["frame"].inputs[0].shape:
        return None
    area = sensor.active_area
    return FrameRows(
        sensor.frame_shape[0], sensor.cube_shape[0], area.top, sensor.pattern[0], manifest.model.window // 2
    )
