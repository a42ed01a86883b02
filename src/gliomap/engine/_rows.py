"""Strips of rows that a frame is classified in, where the frame graph's rows are free."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.bundles import CUBE_ROWS, FRAME_ROWS, MAP_ROWS, Manifest
from gliomap.sensors import MosaicSensor

__all__ = ["FrameRows", "Span", "Strip", "free_rows"]

_LEAST_REACHES = 8
"""A strip's map has so many times the reach in rows at least: neighbours then prepare at most a quarter of it twice."""
_MOST_ROWS = 30
"""Of more rows, what lies between the graph's operations leaves a core's own cache, and cores wait for one memory."""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of tiles, or of a map: so many from one on in a strip, which lie from another on in the frame."""

    in_strip: int
    in_frame: int
    count: int

    @property
    def of_strip(self) -> slice:
        """Where they are in a strip."""
        return slice(self.in_strip, self.in_strip + self.count)

    @property
    def of_frame(self) -> slice:
        """Where they are in the frame."""
        return slice(self.in_frame, self.in_frame + self.count)


@dataclass(frozen=True, slots=True)
class Strip:
    """What a graph is given of a frame, and what is taken of the map that it makes of this.

    Attributes
    ----------
    height
        Rows of tiles; all strips of a frame have as many. The map has `reach` rows less at the top and at the bottom.
    given
        Rows of tiles from the frame; others are 0.
    taken
        Rows of the map.
    """

    height: int
    given: tuple[Span, ...]
    taken: tuple[Span, ...]

    @property
    def is_part(self) -> bool:
        """It is a part of the frame as it lies there, of which nothing needs to be copied."""
        return len(self.given) == 1


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
        Rows of tiles above and below a pixel on which its class depends. None where the graph's map of a part of the
        frame is not to be had without what its cut edges spoil: such a frame is not classified in strips.
    """

    frame: int
    cube: int
    top: int
    tile: int
    reach: int | None

    def sizes(self, strip: Strip | None = None) -> dict[str, int]:
        """What the words in the graph's shapes mean for a strip, or for a whole frame."""
        if strip is None:
            return {FRAME_ROWS: self.frame, CUBE_ROWS: self.cube, MAP_ROWS: self.cube}
        map_rows = strip.height - 2 * (self.reach or 0)
        return {FRAME_ROWS: self.top + strip.height * self.tile, CUBE_ROWS: strip.height, MAP_ROWS: map_rows}

    def with_top(self, tiles: slice) -> slice:
        """The rows of a frame that hold rows of tiles; the graph leaves out the first `top` of them."""
        return slice(tiles.start * self.tile, self.top + tiles.stop * self.tile)

    def without_top(self, tiles: slice) -> slice:
        """The rows of a frame that rows of tiles are made of."""
        return slice(self.top + tiles.start * self.tile, self.top + tiles.stop * self.tile)

    def strips(self, threads: int) -> tuple[Strip, ...]:
        """As many strips for each thread, fewer where they would be too low; none where the frame is to be run whole."""
        if self.reach is None:
            return ()
        # The first strip holds both edges, and one reach of rows beyond each of them.
        rows = self.cube + 2 * self.reach
        most = rows // max(1, _LEAST_REACHES * self.reach)
        each = max(1, min(-(-rows // (_MOST_ROWS * threads)), most // threads))
        count = min(most, each * threads)
        if count < 2:
            return ()
        made = -(-rows // count)
        edges = (self._edges(made),) if self.reach else ()
        first = edges[0].taken[0].count if edges else 0
        last = edges[0].taken[1].in_frame if edges else self.cube
        starts = range(first, first + made * (count - len(edges)), made)
        return (*edges, *(self._inner(start, made, last) for start in starts if start < last))

    def _inner(self, start: int, made: int, end: int) -> Strip:
        """A strip in the middle of the frame: so many rows of its map from one on, and none from the end on."""
        reach, first = self.reach or 0, min(start, end - made)
        height = made + 2 * reach
        # One row has one strip: of two, which may differ by rounding, whoever was later would count.
        taken = Span(start - first, start, first + made - start)
        return Strip(height, (Span(0, first - reach, height),), (taken,))

    def _edges(self, made: int) -> Strip:
        """The frame's first and last rows in one strip, zeros around them; where they meet, nothing is taken."""
        reach = self.reach or 0
        above = made // 2
        below = made - above
        given = Span(reach, 0, above), Span(reach + above, self.cube - below, below)
        lower = below - reach
        return Strip(made + 2 * reach, given, (Span(0, 0, above - reach), Span(made - lower, self.cube - lower, lower)))


def free_rows(manifest: Manifest, sensor: MosaicSensor) -> FrameRows | None:
    """The free rows of a bundle's frame graph; None where they are fixed, as in bundles of format version 1."""
    graph = manifest.graphs["frame"]
    if FRAME_ROWS not in graph.inputs[0].shape:
        return None
    area = sensor.active_area
    reach: int | None = manifest.model.window // 2
    if reach and MAP_ROWS not in graph.outputs[0].shape:
        # Of format version 2: the map of a strip has rows near its edges that are not right.
        reach = None
    return FrameRows(sensor.frame_shape[0], sensor.cube_shape[0], area.top, sensor.pattern[0], reach)
