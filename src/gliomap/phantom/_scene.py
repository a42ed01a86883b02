"""The scene in front of the camera: a brain in an opened skull, drawn on a grid of tiles.

Shapes and sizes are assumed from photographs of craniotomies; nothing here depends on wavelength.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.phantom._fields import Canvas, Floats, blur, ridged_noise, smooth_noise, smoothstep
from gliomap.phantom._patient import Patient
from gliomap.phantom._vessels import ARTERY, VEIN, VesselMaps, draw_vessels

__all__ = ["Scene", "SurfaceFields", "draw_scene"]

GYRUS_MM = 14.0
"""Wavelength of the folds; there is a sulcus every half wavelength."""


@dataclass(frozen=True, eq=False)
class SurfaceFields:
    """Smooth variation over the surface, mean 0 and variance 1, each (H, W) float32."""

    blood: Floats
    saturation: Floats
    amplitude: Floats
    power: Floats
    film: Floats
    haze: Floats


@dataclass(frozen=True, eq=False)
class Scene:
    """One exposed brain as maps of (H, W).

    Attributes
    ----------
    exposed
        True inside the craniotomy: brain or dura.
    tumour
        Share of tumour, 0…1, logistic over its infiltrating border.
    dura, rim
        Share of dura and of the cut soft tissue at the edge.
    cloth
        Share of drape or gauze.
    gauze
        Share of the cloth that is gauze.
    stain_um
        Blood in the gauze, as µm of whole blood.
    valley
        0…1, 1 at the bottom of a sulcus.
    vein, artery
        Vessels.
    light
        Light that the surface receives and returns to the camera, about 1 on a flat surface.
    sheen
        How strongly the surface reflects the lamp into the camera, 0…1.
    fields
        Smooth variation of the optics.
    """

    canvas: Canvas
    exposed: npt.NDArray[np.bool_]
    tumour: Floats
    dura: Floats
    rim: Floats
    cloth: Floats
    gauze: Floats
    stain_um: Floats
    valley: Floats
    vein: VesselMaps
    artery: VesselMaps
    light: Floats
    sheen: Floats
    fields: SurfaceFields


@dataclass(frozen=True, eq=False)
class _Opening:
    """Craniotomy: signed distances in mm, negative inside, and each tile's angle from the centre."""

    edge: Floats
    dura_edge: Floats
    cloth_edge: Floats
    angle: Floats


def draw_scene(patient: Patient, canvas: Canvas, rng: np.random.Generator) -> Scene:
    """Draw the scene of one patient: opening, folds, tumour, vessels, cloth, light."""
    opening = _opening(rng, canvas)
    folds = _folds(rng, canvas)
    tumour = _tumour(rng, canvas, opening)
    dura = smoothstep(opening.dura_edge, -0.25, 0.25)
    brain = 1 - dura
    depth = 0.30 + 0.70 * smoothstep(smooth_noise(rng, canvas, 7.0), -1.2, 0.6)
    valley = np.asarray(np.exp(-((folds / np.float32(0.26)) ** 2)) * depth * (1 - 0.75 * tumour), np.float32)
    cover_vein, cover_artery = patient.difficulty.vein.cover, patient.difficulty.artery.cover
    vein = draw_vessels(rng, canvas, VEIN, valley, _entries(rng, canvas, opening), cover_vein)
    artery = draw_vessels(rng, canvas, ARTERY, valley, _entries(rng, canvas, opening), cover_artery)
    vein, artery = _cut(vein, brain), _cut(artery, brain)
    rim = smoothstep(opening.edge, -0.2, 0.3)
    cloth = smoothstep(opening.cloth_edge, -0.15, 0.15)
    gauze, stain, weave = _cloth(rng, canvas, opening)
    relief = _relief(rng, canvas, opening, folds, tumour, (vein, artery), dura, rim)
    light, sheen = _shade(rng, canvas, relief, valley * brain, opening, cloth)
    light *= 1 + cloth * weave
    return Scene(
        canvas=canvas,
        exposed=opening.edge < 0,
        tumour=tumour * brain,
        dura=dura * (1 - rim),
        rim=rim * (1 - cloth),
        cloth=cloth,
        gauze=gauze,
        stain_um=stain,
        valley=valley * brain,
        vein=vein,
        artery=artery,
        light=light,
        sheen=sheen * (1 - cloth),
        fields=_surface_fields(rng, canvas),
    )


def _opening(rng: np.random.Generator, canvas: Canvas) -> _Opening:
    rows, columns = canvas.positions_mm()
    height, width = canvas.size_mm
    half_height, half_width = 0.47 * height * rng.uniform(0.95, 1.05), 0.43 * width * rng.uniform(0.95, 1.05)
    turn = rng.uniform(-0.10, 0.10)
    y = rows * np.cos(turn) - columns * np.sin(turn) + rng.uniform(-0.03, 0.03) * height
    x = columns * np.cos(turn) + rows * np.sin(turn) + rng.uniform(-0.03, 0.03) * width
    # A superellipse: burr holes joined by saw cuts are rounder than a rectangle but not elliptical.
    radius = ((np.abs(y) / half_height) ** 2.4 + (np.abs(x) / half_width) ** 2.4) ** (1 / 2.4)
    edge = (radius - 1) * min(half_height, half_width) + 0.55 * smooth_noise(rng, canvas, 9.0)
    angle = np.arctan2(y, x).astype(np.float32)
    flap = np.exp(1.6 * (np.cos(angle - rng.uniform(-np.pi, np.pi)) - 1))
    width_mm = 1.1 + rng.uniform(3.2, 4.6) * flap + 0.45 * smooth_noise(rng, canvas, 6.0)
    dura_edge = edge + np.maximum(width_mm, 0.5)
    cloth_edge = edge - (1.6 + 1.2 * rng.uniform() + 0.5 * smooth_noise(rng, canvas, 7.0))
    return _Opening(*(np.asarray(array, np.float32) for array in (edge, dura_edge, cloth_edge, angle)))


def _folds(rng: np.random.Generator, canvas: Canvas) -> Floats:
    """Field whose zero lines are sulci: even folds, bent by smaller ones so that no two are alike."""
    wavelength = GYRUS_MM * float(rng.uniform(0.85, 1.15))
    folds = ridged_noise(rng, canvas, wavelength) + 0.22 * ridged_noise(rng, canvas, 0.5 * wavelength, 0.3)
    return np.asarray(folds, np.float32)


def _tumour(rng: np.random.Generator, canvas: Canvas, opening: _Opening) -> Floats:
    """Logistic function of a distance with added noise: fingers of tumour reach into the cortex."""
    radius = float(rng.uniform(6.0, 7.6))
    depth = -opening.dura_edge
    inner = np.flatnonzero((depth >= min(radius + 0.5, 0.85 * float(depth.max()))).ravel())
    centre = int(inner[rng.integers(inner.size)])
    rows, columns = canvas.positions_mm()
    dy = rows - rows[centre // canvas.width, 0]
    dx = columns - columns[0, centre % canvas.width]
    angle, squash = rng.uniform(0, np.pi), rng.uniform(0.72, 0.95)
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / squash
    distance = np.sqrt(along**2 + across**2) - radius
    distance += 0.9 * smooth_noise(rng, canvas, 6.0) + 0.45 * smooth_noise(rng, canvas, 2.0)
    return np.asarray(1 / (1 + np.exp(np.clip(distance / 0.6, -30, 30))), np.float32)


def _entries(rng: np.random.Generator, canvas: Canvas, opening: _Opening) -> Floats:
    """Where vessels enter: around the dura's edge, heading inwards; (12, 3) row, column, heading.

    The angles are evenly spread apart from jitter, so that trunks of one kind do not run side by side.
    """
    band = np.flatnonzero((np.abs(opening.dura_edge) < 0.3 + canvas.pitch_mm).ravel())
    angles = opening.angle.ravel()[band]
    golden = np.pi * (3 - np.sqrt(5))
    wanted = rng.uniform(-np.pi, np.pi) + golden * np.arange(12) + rng.normal(0, 0.2, 12)
    apart = np.abs(np.angle(np.exp(1j * (angles[None, :] - wanted[:, None]))))
    chosen = band[np.argmin(apart, axis=1)]
    rows, columns = (chosen // canvas.width).astype(np.float64), (chosen % canvas.width).astype(np.float64)
    headings = np.arctan2(canvas.height / 2 - rows, canvas.width / 2 - columns) + rng.normal(0, 0.45, rows.size)
    return np.stack([rows, columns, headings], axis=1).astype(np.float32)


def _cut(vessel: VesselMaps, brain: Floats) -> VesselMaps:
    return VesselMaps(vessel.cover * brain, vessel.bulge_mm * brain)


def _cloth(rng: np.random.Generator, canvas: Canvas, opening: _Opening) -> tuple[Floats, Floats, Floats]:
    """Gauze next to the opening and drape beyond; (share of gauze, blood in µm, weave as ± share of light)."""
    rows, columns = canvas.positions_mm()
    patches = smooth_noise(rng, canvas, 14.0)
    gauze = smoothstep(3.4 + 2.0 * patches - opening.cloth_edge, -0.15, 0.15)
    stain = np.exp(1.1 * smooth_noise(rng, canvas, 4.0) - 0.35 * np.maximum(opening.cloth_edge, 0)) * 14.0
    bend = 0.5 * smooth_noise(rng, canvas, 10.0)
    threads = np.sin(2 * np.pi * (rows + bend) / 0.9) * np.sin(2 * np.pi * (columns + bend) / 0.9)
    folds = ridged_noise(rng, canvas, 11.0, 0.4)
    weave = gauze * 0.12 * threads + (1 - gauze) * (0.10 * folds + 0.02 * threads)
    return gauze, np.asarray(stain * gauze, np.float32), np.asarray(weave, np.float32)


def _relief(
    rng: np.random.Generator,
    canvas: Canvas,
    opening: _Opening,
    folds: Floats,
    tumour: Floats,
    vessels: tuple[VesselMaps, VesselMaps],
    dura: Floats,
    rim: Floats,
) -> Floats:
    """Height of the surface, mm."""
    gyri = 2.0 * (1 - np.exp(-np.abs(folds) / 0.75)) * (1 - 0.6 * tumour)
    swelling = 0.9 * tumour + 0.03 * smooth_noise(rng, canvas, 1.2)
    # The brain bulges out of its opening.
    dome = 1.6 * smoothstep(-opening.edge, 0.0, 14.0)
    wrinkles = 0.22 * ridged_noise(rng, canvas, 3.2, 0.5) + 0.30 * ridged_noise(rng, canvas, 8.0, 0.4)
    sheet = 0.7 + wrinkles
    lumps = 0.40 * smooth_noise(rng, canvas, 1.6) + 1.0
    brain = gyri + swelling + dome + 0.9 * np.maximum(vessels[0].bulge_mm, vessels[1].bulge_mm)
    height = brain * (1 - dura) + (dome + 0.6 + sheet) * dura * (1 - rim) + (dome + 1.0 + lumps) * rim
    return blur(np.asarray(height, np.float32), canvas, 0.16)


def _shade(
    rng: np.random.Generator, canvas: Canvas, relief: Floats, valley: Floats, opening: _Opening, cloth: Floats
) -> tuple[Floats, Floats]:
    """(light, sheen) of a surface under one lamp, seen from above."""
    slope_rows, slope_columns = np.gradient(relief, canvas.pitch_mm)
    # Slopes soften: light scatters within tissue over about half a millimetre.
    length = np.sqrt(1 + slope_rows**2 + slope_columns**2)
    azimuth, tilt = rng.uniform(-np.pi, np.pi), rng.uniform(0.25, 0.45)
    lamp = np.array([np.sin(tilt) * np.sin(azimuth), np.sin(tilt) * np.cos(azimuth), np.cos(tilt)])
    facing = (-slope_rows * lamp[0] - slope_columns * lamp[1] + lamp[2]) / length
    light = 0.30 + 0.70 * np.maximum(facing, 0) / lamp[2]
    light *= 1 - 0.50 * valley
    shadow = np.exp(-((np.minimum(opening.dura_edge, 0) / 0.9) ** 2)) * (opening.dura_edge < 0)
    light *= 1 - 0.22 * shadow
    gap = np.exp(-(((opening.edge + 0.1) / 0.45) ** 2)) + 0.6 * np.exp(-((opening.cloth_edge / 0.4) ** 2))
    light *= 1 - 0.5 * np.minimum(gap, 1)
    rows, columns = canvas.positions_mm()
    height, width = canvas.size_mm
    spot = (rows / height - rng.uniform(-0.15, 0.15)) ** 2 + (columns / width - rng.uniform(-0.15, 0.15)) ** 2
    light *= np.exp(-0.9 * spot)
    half = lamp + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    mirror = (-slope_rows * half[0] - slope_columns * half[1] + half[2]) / length
    sheen = np.clip(mirror, 0, 1) ** 60 * smoothstep(smooth_noise(rng, canvas, 7.0), -0.2, 1.2)
    return np.asarray(np.clip(light, 0.04, 1.5), np.float32), np.asarray(sheen * (1 - cloth), np.float32)


def _surface_fields(rng: np.random.Generator, canvas: Canvas) -> SurfaceFields:
    """Fields with two scales each: slow drifts over the field of view, and patches of a few millimetres."""

    def both() -> Floats:
        slow, fast = smooth_noise(rng, canvas, 12.0), smooth_noise(rng, canvas, 3.0)
        return np.asarray(np.sqrt(0.5, dtype=np.float32) * (slow + fast), np.float32)

    return SurfaceFields(both(), both(), both(), both(), both(), both())
