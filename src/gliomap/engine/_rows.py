"""The strips of rows in which a frame is classified if the frame graph's rows are free."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.bundles import CUBE_ROWS, FRAME_ROWS, MAP_ROWS, Manifest
from gliomap.sensors import MosaicSensor

__all__ = ["FrameRows", "Span", "Strip", "free_rows"]

_LEAST_REACHES = 8
"""A strip's map has at least this many times the reach in rows, so neighbours prepare at most a quarter of it twice."""
_MOST_ROWS = 30
"""With more rows, the values between the graph's operations leave a core's own cache, and cores wait for memory."""


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive rows of tiles or of a map: where they start in a strip, where they start in the frame, and how many."""

    in_strip: int
    in_frame: int
    count: int

    @property
    def of_strip(self) -> slice:
        """The rows in the strip."""
        return slice(self.in_strip, self.in_strip + self.count)

    @property
    def of_frame(self) -> slice:
        """The rows in the frame."""
        return slice(self.in_frame, self.in_frame + self.count)


@dataclass(frozen=True, slots=True)
class Strip:
    """Which part of a frame a graph reads, and which part of the resulting map is kept.

    Attributes
    ----------
    height
        Rows of tiles, the same for all strips of a frame. The map has `reach` rows fewer at the top and at the bottom.
    given
        Rows of tiles read from the frame; all others are 0.
    taken
        Rows kept from the map.
    """

    height: int
    given: tuple[Span, ...]
    taken: tuple[Span, ...]

    @property
    def is_part(self) -> bool:
        """Whether the strip is one slice of the frame, so that nothing needs to be copied."""
        return len(self.given) == 1


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The free rows of a frame graph.

    Attributes
    ----------
    frame, cube
        Rows of a frame, and rows of tiles in it.
    top, tile
        The first row of the first tile, and the rows of a tile.
    reach
        Rows of tiles above and below a pixel on which its class depends. None if the graph's map of a part of the
        frame includes rows that the cut edges make wrong: such a frame is not classified in strips.
    """

    frame: int
    cube: int
    top: int
    tile: int
    reach: int | None

    def sizes(self, strip: Strip | None = None) -> dict[str, int]:
        """The values of the named sizes in the graph's shapes, for a strip or a whole frame."""
        if strip is None:
            return {FRAME_ROWS: self.frame, CUBE_ROWS: self.cube, MAP_ROWS: self.cube}
        map_rows = strip.height - 2 * (self.reach or 0)
        return {FRAME_ROWS: self.top + strip.height * self.tile, CUBE_ROWS: strip.height, MAP_ROWS: map_rows}

    def with_top(self, tiles: slice) -> slice:
        """The rows of a frame for these rows of tiles, with the `top` rows before them that the graph skips."""
        return slice(tiles.start * self.tile, self.top + tiles.stop * self.tile)

    def without_top(self, tiles: slice) -> slice:
        """The rows of a frame that make up these rows of tiles."""
        return slice(self.top + tiles.start * self.tile, self.top + tiles.stop * self.tile)

    def strips(self, threads: int) -> tuple[Strip, ...]:
        """The same number of strips for each thread, or fewer if they would be too low; none to run the frame whole."""
        if self.reach is None:
            return ()
        # The first strip holds both edges, and `reach` rows beyond each of them.
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
        """A strip in the middle of the frame: `made` rows of the map from `start`, and none from `end` onwards."""
        reach, first = self.reach or 0, min(start, end - made)
        height = made + 2 * reach
        # Each row comes from one strip. Two strips may differ by rounding, and the later one would win.
        taken = Span(start - first, start, first + made - start)
        return Strip(height, (Span(0, first - reach, height),), (taken,))

    def _edges(self, made: int) -> Strip:
        """The frame's first and last rows in one strip, with zeros around them; nothing is kept where they meet."""
        reach = self.reach or 0
        above = made // 2
        below = made - above
        given = Span(reach, 0, above), Span(reach + above, self.cube - below, below)
        lower = below - reach
        return Strip(made + 2 * reach, given, (Span(0, 0, above - reach), Span(made - lower, self.cube - lower, lower)))


def free_rows(manifest: Manifest, sensor: MosaicSensor) -> FrameRows | None:
    """The free rows of a bundle's frame graph; None if they are fixed, as in bundles of format version 1."""
    graph = manifest.graphs["frame"]
    if FRAME_ROWS not in graph.inputs[0].shape:
        return None
    area = sensor.active_area
    reach: int | None = manifest.model.window // 2
    if reach and MAP_ROWS not in graph.outputs[0].shape:
        # Format version 2: the map of a strip has wrong rows near its edges.
        reach = None
    return FrameRows(sensor.frame_shape[0], sensor.cube_shape[0], area.top, sensor.pattern[0], reach)
