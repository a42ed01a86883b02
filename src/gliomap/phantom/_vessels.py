"""Branching vessels: walks that keep their heading, follow sulci and split by Murray's law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gliomap.phantom._fields import Canvas, Floats

__all__ = ["ARTERY", "VEIN", "VesselMaps", "VesselStyle", "draw_vessels"]

MURRAY_EXPONENT = 3.0
"""r0³ = r1³ + r2³ where a vessel splits (C. D. Murray, PNAS 12:207, 1926)."""

_BEND_MM = 2.0  # curvature changes over about this length

_MAX_SEGMENTS = 400  # of one kind of vessel; a safeguard, as a typical field has 30–120


@dataclass(frozen=True, slots=True)
class VesselStyle:
    """How one kind of vessel grows; lengths in mm. Sizes as seen on an exposed cortex (assumed).

    Attributes
    ----------
    trunks
        Lowest and highest number of trunks.
    radius
        Lowest and highest radius of a trunk.
    least_radius
        Radius below which a vessel ends.
    wander
        Standard deviation of a vessel's curvature, radians per mm.
    branch_every
        Mean distance between splits.
    pull
        How strongly a vessel turns towards sulci, radians per mm.
    """

    trunks: tuple[int, int]
    radius: tuple[float, float]
    least_radius: float
    wander: float
    branch_every: float
    pull: float


VEIN = VesselStyle(trunks=(2, 4), radius=(0.55, 0.90), least_radius=0.16, wander=0.10, branch_every=9.5, pull=0.45)
ARTERY = VesselStyle(trunks=(4, 6), radius=(0.36, 0.60), least_radius=0.13, wander=0.24, branch_every=6.5, pull=0.15)


class _Segment(NamedTuple):
    row: float
    column: float
    heading: float
    radius: float
    depth: float
    parent: int


@dataclass(frozen=True, eq=False)
class VesselMaps:
    """One kind of vessel on the grid; each (H, W) float32.

    Attributes
    ----------
    cover
        Share of the signal that comes from the vessel, 0…1.
    bulge_mm
        Height above the surface.
    """

    cover: Floats
    bulge_mm: Floats


def draw_vessels(
    rng: np.random.Generator,
    canvas: Canvas,
    style: VesselStyle,
    valley: Floats,
    starts: Floats,
    cover: tuple[float, float],
) -> VesselMaps:
    """Grow the trees of one kind of vessel and draw them on the grid.

    Parameters
    ----------
    valley
        (H, W) 0…1, high in sulci, towards which vessels turn.
    starts
        (n, 3) row and column (tiles) of each entry and its heading, radians; as many as needed are used, from the first.
    cover
        Lowest and highest share of the signal at a vessel's centre line; the share changes slowly
        along a vessel, following its depth.
    """
    points = _Garden(rng, canvas, style, valley, cover).grow(starts)
    return _rasterise(points, canvas)


class _Garden:
    """Growing vessels of one kind. A vessel that meets another of its kind ends there, as if joining it."""

    def __init__(
        self,
        rng: np.random.Generator,
        canvas: Canvas,
        style: VesselStyle,
        valley: Floats,
        cover: tuple[float, float],
    ) -> None:
        self._rng, self._canvas, self._style, self._valley, self._cover = rng, canvas, style, valley, cover
        # On a coarse grid, thin vessels would cover everything, because each is drawn at least a tile wide.
        self._least_radius = max(style.least_radius, 0.35 * canvas.pitch_mm)
        self._owner = np.zeros(canvas.shape, np.int32)
        self._points: list[tuple[float, float, float, float]] = []

    def grow(self, starts: Floats) -> Floats:
        """Grow every trunk and its branches; (n, 4) row, column (tiles), radius (mm), cover."""
        rng, style = self._rng, self._style
        trunks = min(int(rng.integers(style.trunks[0], style.trunks[1] + 1)), len(starts))
        waiting = [
            _Segment(row, column, heading, self._trunk(), float(rng.random()), 0)
            for row, column, heading in starts[:trunks].tolist()
        ]
        grown = 0
        while waiting and grown < _MAX_SEGMENTS:
            grown += 1
            waiting.extend(self._walk(waiting.pop(0), grown))
        return np.asarray(self._points, np.float32).reshape(-1, 4)

    def _trunk(self) -> float:
        return max(float(self._rng.uniform(*self._style.radius)), 1.3 * self._least_radius)

    def _walk(self, start: _Segment, number: int) -> list[_Segment]:
        """Follow one vessel to its next split or end, and return its branches."""
        rng, canvas, style, owner = self._rng, self._canvas, self._style, self._owner
        step = 0.45  # tiles
        step_mm = step * canvas.pitch_mm
        row, column, heading, radius, depth, parent = start
        length = float(rng.exponential(style.branch_every)) * 0.6 + 0.4 * style.branch_every
        steps = max(int(length / step_mm), 2)
        keep = float(np.exp(-step_mm / _BEND_MM))
        bends = rng.normal(0.0, style.wander * np.sqrt(1 - keep * keep), steps)
        drifts = rng.normal(0.0, 0.10 * np.sqrt(step_mm), steps)
        bend = float(rng.normal(0.0, style.wander))
        for index in range(steps):
            bend = keep * bend + bends[index]
            heading += (bend + self._towards_sulcus(row, column, heading) * style.pull) * step_mm
            row += step * np.sin(heading)
            column += step * np.cos(heading)
            depth = min(max(depth + drifts[index], 0.0), 1.0)
            radius *= 1 - 0.012 * step_mm
            if not (0 <= row < canvas.height and 0 <= column < canvas.width) or radius < self._least_radius:
                return []
            met = int(owner[int(row), int(column)])
            if met not in (0, number, parent) and index * step_mm > 2 * start.radius:
                return []
            self._mark(int(row), int(column), number)
            self._points.append((row, column, radius, self._cover[0] + (self._cover[1] - self._cover[0]) * depth))
        return _split(rng, _Segment(row, column, heading, radius, depth, number))

    def _mark(self, row: int, column: int, number: int) -> None:
        window = self._owner[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        window[window == 0] = number

    def _towards_sulcus(self, row: float, column: float, heading: float) -> float:
        """Difference of `valley` between the right and the left of the heading, 1.2 mm ahead; −1…1."""
        reach = 1.2 / self._canvas.pitch_mm
        sides = []
        for side in (0.6, -0.6):
            r = min(max(int(row + reach * np.sin(heading + side)), 0), self._canvas.height - 1)
            c = min(max(int(column + reach * np.cos(heading + side)), 0), self._canvas.width - 1)
            sides.append(float(self._valley[r, c]))
        return sides[0] - sides[1]


def _split(rng: np.random.Generator, end: _Segment) -> list[_Segment]:
    share = float(rng.uniform(0.55, 0.85))  # of the flow that stays in the main branch
    radii = end.radius * share ** (1 / MURRAY_EXPONENT), end.radius * (1 - share) ** (1 / MURRAY_EXPONENT)
    side = 1.0 if rng.random() < 0.5 else -1.0
    angles = side * float(rng.uniform(0.05, 0.30)), -side * float(rng.uniform(0.5, 1.1))
    return [
        end._replace(heading=end.heading + angle, radius=radius) for angle, radius in zip(angles, radii, strict=True)
    ]


def _rasterise(points: Floats, canvas: Canvas) -> VesselMaps:
    """Draw points as discs with a round profile; where discs overlap, the higher value wins."""
    cover = np.zeros(canvas.shape, np.float32)
    bulge = np.zeros(canvas.shape, np.float32)
    pitch = canvas.pitch_mm
    for row, column, radius_mm, share in points.tolist():
        # On a frame of few tiles, vessels are still a tile wide.
        radius = max(radius_mm / pitch, 0.8)
        reach = int(np.ceil(radius + 1))
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        bottom, right = min(int(row) + reach + 1, canvas.height), min(int(column) + reach + 1, canvas.width)
        rows = np.arange(top, bottom, dtype=np.float32)[:, None] - row
        columns = np.arange(left, right, dtype=np.float32)[None, :] - column
        distance = np.sqrt(rows * rows + columns * columns)
        chord = np.sqrt(np.clip(1 - (distance / (radius + 0.5)) ** 2, 0, 1))
        # A vessel is optically saturated well before its centre; at its edge it covers part of the tile.
        filled = np.clip((radius - distance) + 0.5, 0, 1) * np.minimum(1.25 * chord, 1)
        window = np.s_[top:bottom, left:right]
        np.maximum(cover[window], share * filled, out=cover[window])
        np.maximum(bulge[window], np.float32(radius_mm) * chord, out=bulge[window])
    return VesselMaps(cover, bulge)
