"""One patient rendered as a camera's three frames and a surgeon's map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError
from gliomap.phantom._camera import (
    WHITE_REFLECTANCE,
    Exposer,
    check_phantom_sensor,
    filter_weights,
    light_change,
    mosaic,
    vignetting,
    white_weights,
)
from gliomap.phantom._fields import Canvas, Floats
from gliomap.phantom._labels import draw_labels
from gliomap.phantom._patient import Patient
from gliomap.phantom._scene import Scene, draw_scene
from gliomap.phantom._surface import band_images
from gliomap.sensors import MosaicSensor, get_sensor

__all__ = ["DEFAULT_SENSOR", "EXPOSURE_MS", "RenderedPatient", "render_patient"]

DEFAULT_SENSOR = "generic-nir-5x5"

EXPOSURE_MS = 40.0
"""Exposure time that a study states for its frames, equal for raw, white and dark."""

_FIRST_DAY = datetime(2021, 3, 1, 9, 0, 0)  # arbitrary, but fixed so that files are reproducible
_GLINTS_PER_MM2 = 0.55
_GLINT_RADIUS_MM = (0.03, 0.16)
_GLINT_STRENGTH = (0.3, 4.0)
_SPOILT = 0.004  # share of the white's signal that a glint may add to a labelled tile


@dataclass(frozen=True, eq=False)
class RenderedPatient:
    """Camera frames and surgeon's labels of one synthetic patient.

    Attributes
    ----------
    raw, white, dark
        uint16 frames of the sensor.
    codes
        (H, W) uint16 tissue codes on the grid of the cube, 0 where unlabelled.
    scene
        The ground truth: maps of what lies where.
    taken_at
        A fictitious date and time, determined by the seed.
    """

    patient: Patient
    sensor: MosaicSensor
    raw: npt.NDArray[np.uint16]
    white: npt.NDArray[np.uint16]
    dark: npt.NDArray[np.uint16]
    codes: npt.NDArray[np.uint16]
    scene: Scene
    taken_at: datetime


def render_patient(
    patient: Patient, sensor: MosaicSensor | None = None, *, label_fraction: float | None = None
) -> RenderedPatient:
    """Render one patient from `draw_patients`, without I/O; the same input yields the same arrays.

    Parameters
    ----------
    patient
        From `draw_patients`.
    sensor
        A sensor with responses; None selects 'generic-nir-5x5'.
    label_fraction
        Share of the exposed brain to label, above 0 and up to 1; None draws 0.05…0.12. Each class gets at
        least six pixels, if there are as many, even on a frame of few tiles.

    Raises
    ------
    SensorError
        The sensor has no responses between 600 and 1000 nm, or fewer than 24×24 tiles.
    UsageError
        `label_fraction` is not above 0 and up to 1.
    """
    if label_fraction is not None and not 0 < label_fraction <= 1:
        raise UsageError("label_fraction", f"is {label_fraction}", "Use a share above 0 and up to 1.")
    camera = get_sensor(DEFAULT_SENSOR) if sensor is None else sensor
    check_phantom_sensor(camera)
    scene_rng, camera_rng, label_rng = (np.random.default_rng(child) for child in _spawned(patient.seed, 3))
    scene = draw_scene(patient, Canvas(*camera.cube_shape), scene_rng)
    raw, white, dark, spoilt = _expose(patient, scene, camera, camera_rng)
    codes = draw_labels(patient, scene, ~spoilt, label_fraction, label_rng)
    taken = _FIRST_DAY + timedelta(days=7 * patient.number, minutes=int(label_rng.integers(360)))
    return RenderedPatient(patient, camera, raw, white, dark, codes, scene, taken)


def _spawned(seed: np.random.SeedSequence, count: int) -> list[np.random.SeedSequence]:
    # A copy: spawning changes a SeedSequence, and rendering twice must yield the same image.
    return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key, pool_size=seed.pool_size).spawn(count)


def _expose(
    patient: Patient, scene: Scene, sensor: MosaicSensor, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Raw, white and dark frames, and a mask (H, W) of tiles spoilt by a glint."""
    spread, draw = patient.difficulty.camera, patient.camera
    weights = filter_weights(sensor, draw)
    white_level = white_weights(weights)
    scale = spread.white_electrons / white_level.max()
    uneven = np.exp(spread.unevenness * rng.standard_normal(len(weights)))
    bands = band_images(patient, scene, weights * light_change(draw) * uneven[:, None])
    seen = mosaic(bands, sensor.pattern)
    texture = rng.standard_normal(seen.shape, dtype=np.float32)
    seen *= 1 + np.float32(patient.difficulty.surface.texture) * texture
    glints = _glints(scene, sensor, rng)
    mirror = np.tile((white_level / WHITE_REFLECTANCE).astype(np.float32).reshape(sensor.pattern), scene.canvas.shape)
    seen += glints * mirror
    shade = vignetting((sensor.active_area.height, sensor.active_area.width), (rng.uniform(-0.04, 0.04), 0.0))
    exposer = Exposer.make(sensor, spread, rng)
    raw = exposer.expose(seen * shade * np.float32(scale * draw.exposure), rng)
    white = exposer.expose(mirror * shade * np.float32(scale * WHITE_REFLECTANCE), rng)
    dark = exposer.expose(None, rng)
    rows, columns = sensor.pattern
    per_tile = glints.reshape(scene.canvas.height, rows, scene.canvas.width, columns)
    return raw, white, dark, np.asarray(per_tile.max(axis=(1, 3)) > _SPOILT)


def _glints(scene: Scene, sensor: MosaicSensor, rng: np.random.Generator) -> Floats:
    """Reflections of the lamp on the wet surface, as shares of a perfect diffuse reflector's signal, per mosaic pixel."""
    rows, columns = sensor.pattern
    result = np.zeros((scene.canvas.height * rows, scene.canvas.width * columns), np.float32)
    sheen = scene.sheen.ravel().astype(np.float64)
    if sheen.sum() <= 0:
        return result
    count = int(
        rng.poisson(_GLINTS_PER_MM2 * float(np.mean(sheen > 0.05)) * scene.sheen.size * scene.canvas.pitch_mm**2)
    )
    tiles = rng.choice(sheen.size, size=count, p=sheen / sheen.sum())
    places = np.stack(np.unravel_index(tiles, scene.canvas.shape), axis=1) + rng.random((count, 2))
    radii = rng.uniform(0, 1, count) ** 2 * (_GLINT_RADIUS_MM[1] - _GLINT_RADIUS_MM[0]) + _GLINT_RADIUS_MM[0]
    strengths = np.exp(rng.uniform(np.log(_GLINT_STRENGTH[0]), np.log(_GLINT_STRENGTH[1]), count))
    per_mm = np.array([rows, columns]) / scene.canvas.pitch_mm
    for place, radius, strength, stretch in zip(places, radii, strengths, rng.uniform(0.5, 2.0, count), strict=True):
        size = np.maximum(radius * per_mm * np.array([1 / stretch, stretch]), 0.6)
        _add_spot(result, place * (rows, columns), size, float(strength))
    return result


def _add_spot(image: Floats, centre: npt.NDArray[np.float64], size: npt.NDArray[np.float64], strength: float) -> None:
    low = np.maximum(np.floor(centre - 4 * size).astype(int), 0)
    high = np.minimum(np.ceil(centre + 4 * size).astype(int), image.shape)
    rows = (np.arange(low[0], high[0]) + 0.5 - centre[0]) / size[0]
    columns = (np.arange(low[1], high[1]) + 0.5 - centre[1]) / size[1]
    spot = strength * np.exp(-0.5 * (rows[:, None] ** 2 + columns[None, :] ** 2))
    image[low[0] : high[0], low[1] : high[1]] += spot.astype(np.float32)
