"""A small made-up brain: enough of a picture to draw maps on, without phantom or camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gliomap.preprocessing import HyperCube, Reason
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

WAVELENGTHS = np.linspace(660, 951, 25)


@dataclass(frozen=True, eq=False)
class SceneMap:
    """What rendering needs of a tissue map."""

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint8]
    classes: ClassSet = field(default=THESIS_CLASSES)
    blanked: str | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """A cube, its true tissue, the labelled part of that, and a map with a few errors."""

    cube: HyperCube
    tissue: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    map: SceneMap


def make_scene(height: int = 217, width: int = 409, seed: int = 0) -> Scene:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    v, u = y / height - 0.5, x / width - 0.5
    tissue = np.full((height, width), 1, np.uint8)
    tissue[(u + 0.12) ** 2 * 3.5 + (v - 0.05) ** 2 < 0.035 + 0.008 * np.sin(9 * np.arctan2(v, u))] = 2
    tissue[np.abs(v + 0.10 - 0.12 * np.sin(7 * u)) < 0.022] = 3
    tissue[np.abs(u - 0.18 - 0.10 * np.sin(8 * v)) < 0.014] = 4
    tissue[u**2 * 4.6 + v**2 * 4.6 > 0.93] = 5
    absorbed = np.array([0, 0.25, 0.45, 0.65, 0.5, 0.15])[tissue]
    slope = np.array([0, 0.15, 0.30, 0.50, -0.35, 0.05])[tissue]
    shade = 0.75 + 0.25 * np.sin(26 * u + 6 * np.sin(9 * v)) * np.cos(19 * v)
    band = (WAVELENGTHS - 800) / 150
    spectra = shade[:, :, None] * (1 - absorbed[:, :, None] * (0.6 - slope[:, :, None] * band))
    spectra += random.normal(0, 0.01, spectra.shape)
    reasons = np.zeros((height, width), np.uint8)
    reasons[(u - 0.05) ** 2 * 3.5 + (v - 0.25) ** 2 < 0.002] = Reason.SATURATED
    reasons[: max(1, height // 30), :] |= np.uint8(Reason.DARK)
    mask = reasons == 0
    spectra[~mask] = 0
    cube = HyperCube(spectra.astype(np.float32), WAVELENGTHS, "reflectance", mask, reasons)
    blobs = np.sin(31 * u + 2) * np.sin(23 * v + 1) > 0.55
    truth = np.where(blobs & mask, tissue, 0).astype(np.uint8)
    confidence = np.clip(0.72 + 0.25 * np.cos(13 * u) * np.cos(11 * v), 0.2, 1).astype(np.float32)
    wrong = random.random((height, width)) > 0.55 + 0.45 * confidence
    labels = np.where(wrong, random.integers(1, 6, (height, width)), tissue)
    labels = np.where(mask, labels, 0).astype(np.uint8)
    return Scene(cube, tissue, truth, SceneMap(labels, np.where(mask, confidence, 0), mask, reasons))
