"""From a scene to the signal of each filter: optics per pixel, layers, reflectance, band images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.phantom._fields import Floats
from gliomap.phantom._optics import WAVELENGTHS_NM, Optics, blood_absorption, tissue_reflectance
from gliomap.phantom._patient import Patient, Tissue
from gliomap.phantom._scene import Scene

__all__ = ["band_images"]

_CHUNK = 8192
_SEEN_COVER = 0.01  # a vessel that contributes less than this share of the signal is ignored

RIM = Tissue(blood=0.13, saturation=0.72, amplitude=20.0, power=1.1, water=0.7)
"""Cut muscle and skin at the edge of the opening (assumed)."""

SULCUS_BLOOD = 0.5
"""Additional blood in the pia of a sulcus, as a share (assumed)."""

GAUZE_REFLECTANCE = 0.70
"""Reflectance of cotton, constant over the range (assumed)."""

STAIN_SATURATION = 0.85
"""Oxygen saturation of blood in gauze, which is exposed to air (assumed)."""


def band_images(patient: Patient, scene: Scene, weights: npt.NDArray[np.float64]) -> Floats:
    """(H, W, positions) signal of each filter for each tile, before exposure scaling and noise.

    Parameters
    ----------
    weights
        (positions, 81) weights from `_camera.filter_weights`, including the change of light.
    """
    height, width = scene.canvas.shape
    weights32 = np.ascontiguousarray(weights, np.float32)
    result = np.zeros((height * width, weights.shape[0]), np.float32)
    tissue = np.flatnonzero(scene.cloth.ravel() < 1)
    for start in range(0, tissue.size, _CHUNK):
        chosen = tissue[start : start + _CHUNK]
        result[chosen] = _seen(_tissue(patient, scene, chosen), weights32)
    cloth = np.flatnonzero(scene.cloth.ravel() > 0)
    for start in range(0, cloth.size, _CHUNK):
        chosen = cloth[start : start + _CHUNK]
        seen = _seen(_cloth(scene, chosen), weights32)
        share = scene.cloth.ravel()[chosen][:, None]
        result[chosen] = (1 - share) * result[chosen] + share * seen
    result *= scene.light.ravel()[:, None]
    return result.reshape(height, width, -1)


def _seen(spectra: Floats, weights: Floats) -> Floats:
    # Not a BLAS matrix product, whose last digits depend on the number of threads.
    return np.asarray(np.einsum("nl,pl->np", spectra, weights), np.float32)


def _tissue(patient: Patient, scene: Scene, chosen: npt.NDArray[np.intp]) -> Floats:
    """(n, 81) reflectance of tissue under its vessels, film of blood and haze."""
    spread, fields = patient.difficulty.surface, scene.fields
    film = np.float32(patient.surface.film_um * 1e-4) * np.exp(
        np.float32(spread.film_variation) * fields.film.ravel()[chosen]
    )
    reflectance = tissue_reflectance(_optics(patient, scene, chosen), film)
    for vessel, map_ in ((patient.vein, scene.vein), (patient.artery, scene.artery)):
        cover = map_.cover.ravel()[chosen]
        there = np.flatnonzero(cover > _SEEN_COVER)
        if there.size == 0:
            continue
        field = fields.saturation.ravel()[chosen][there] * np.float32(spread.saturation)
        blood = np.full(there.size, vessel.blood, np.float32)
        level = tissue_reflectance(
            Optics(
                blood,
                np.clip(vessel.saturation + field, 0.02, 0.99).astype(np.float32),
                np.full(there.size, vessel.amplitude, np.float32),
                np.full(there.size, vessel.power, np.float32),
                np.full(there.size, vessel.water, np.float32),
            )
        )
        share = cover[there][:, None]
        reflectance[there] = (1 - share) * reflectance[there] + share * level
    haze = np.float32(patient.surface.haze) * np.clip(1 + 0.6 * fields.haze.ravel()[chosen], 0, None)
    reflectance += (haze * reflectance.mean(axis=1))[:, None]
    return reflectance


def _optics(patient: Patient, scene: Scene, chosen: npt.NDArray[np.intp]) -> Optics:
    """Optics of the tissue itself: grey matter, tumour, dura and rim, mixed by their shares and varied by the fields."""
    spread, fields = patient.difficulty.surface, scene.fields
    tumour, dura, rim = (map_.ravel()[chosen] for map_ in (scene.tumour, scene.dura, scene.rim))
    grey = np.clip(1 - tumour - dura - rim, 0, 1)
    parts = ((grey, patient.grey), (tumour, patient.tumour), (dura, patient.dura), (rim, RIM))
    total = tumour + dura + rim + grey

    def mixed(name: str) -> Floats:
        return np.asarray(sum(share * np.float32(getattr(tissue, name)) for share, tissue in parts) / total, np.float32)

    def field(map_: Floats, size: float) -> Floats:
        return np.asarray(map_.ravel()[chosen] * np.float32(size), np.float32)

    crowded = 1 + np.float32(SULCUS_BLOOD) * scene.valley.ravel()[chosen]
    return Optics(
        blood=np.minimum(mixed("blood") * np.exp(field(fields.blood, spread.blood)) * crowded, np.float32(0.9)),
        saturation=np.clip(mixed("saturation") + field(fields.saturation, spread.saturation), 0.02, 0.99),
        amplitude=mixed("amplitude") * np.exp(field(fields.amplitude, spread.amplitude)),
        power=mixed("power") + field(fields.power, spread.power),
        water=mixed("water"),
    )


def _cloth(scene: Scene, chosen: npt.NDArray[np.intp]) -> Floats:
    """(n, 81) reflectance of blood-stained gauze and of green drape, which is bright beyond 700 nm."""
    gauze = scene.gauze.ravel()[chosen][:, None]
    stain_cm = scene.stain_um.ravel()[chosen][:, None] * np.float32(1e-4)
    stained = np.float32(GAUZE_REFLECTANCE) * np.exp(-2 * stain_cm * blood_absorption(STAIN_SATURATION))
    drape = 0.08 + 0.27 / (1 + np.exp(-(WAVELENGTHS_NM - 705) / np.float32(14)))
    return np.asarray(gauze * stained + (1 - gauze) * drape, np.float32)
