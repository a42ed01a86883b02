"""Labels like those of surgeons: partial, patchy and speckled, placed only where the tissue is certain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.phantom._fields import Canvas, Floats, smooth_noise
from gliomap.phantom._patient import Patient
from gliomap.phantom._scene import Scene

__all__ = ["LABEL_FRACTION", "SHARES", "draw_labels"]

LABEL_FRACTION = (0.05, 0.12)
"""Lowest and highest share of the exposed brain that is labelled."""

HEALTHY_CODE, VEIN_CODE, ARTERY_CODE, DURA_CODE = 101, 301, 302, 320

SHARES = {"healthy": 0.45, "tumour": 0.15, "vein": 0.05, "artery": 0.08, "dura": 0.27}
"""Shares of the classes among labelled pixels, as in data from real patients."""

_WIDE_TILE_MM = 0.4

_LEAST_PIXELS = 6  # per class, if there are as many; a frame of few tiles would otherwise miss the thin classes

_DENSITY = 0.45
"""Share of the pixels of a marked patch that keep their label: surgeons' labelling tools keep pixels
whose spectrum is close to a clicked one, which leaves a patch speckled."""


def draw_labels(
    patient: Patient,
    scene: Scene,
    valid: npt.NDArray[np.bool_],
    fraction: float | None,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """(H, W) tissue codes, 0 where unlabelled.

    Parameters
    ----------
    valid
        (H, W); False where a glint spoils the tile.
    fraction
        Share of the exposed pixels to label; None draws it from `LABEL_FRACTION`.
    """
    share = float(rng.uniform(*LABEL_FRACTION)) if fraction is None else fraction
    wanted = share * np.count_nonzero(scene.exposed)
    codes = np.zeros(scene.canvas.shape, np.uint16)
    for name, (code, sure) in _sure(patient, scene).items():
        amount = round(wanted * SHARES[name] * float(np.exp(0.12 * rng.standard_normal())))
        vessel = name in ("vein", "artery")
        chosen = _patches(sure & valid & (codes == 0), amount, scene.canvas, 2.5 if vessel else 5.0, rng)
        codes[chosen] = code
    return codes


def _sure(patient: Patient, scene: Scene) -> dict[str, tuple[int, npt.NDArray[np.bool_]]]:
    """Where the tissue is unambiguous: no border, no vessel, no deep sulcus."""
    from scipy.ndimage import maximum_filter, minimum_filter

    vessel = np.maximum(scene.vein.cover, scene.artery.cover)
    brain = scene.exposed & (scene.dura + scene.rim < 0.01)
    # Keep one tile away from vessels and borders, unless a tile is wide enough to be its own margin.
    margin = 3 if scene.canvas.pitch_mm < _WIDE_TILE_MM else 1
    clear = brain & (maximum_filter(vessel, margin) < 0.05)
    flat = clear & (scene.valley < 0.25)
    vein = brain & _vessel_core(scene.vein.cover, scene.artery.cover, patient.difficulty.vein.cover)
    artery = brain & _vessel_core(scene.artery.cover, scene.vein.cover, patient.difficulty.artery.cover)
    return {
        "vein": (VEIN_CODE, vein),
        "artery": (ARTERY_CODE, artery),
        "tumour": (patient.tumour_code, clear & (scene.tumour > 0.93)),
        "dura": (DURA_CODE, scene.exposed & (minimum_filter(scene.dura, margin) > 0.99)),
        "healthy": (HEALTHY_CODE, flat & (scene.tumour < 0.02)),
    }


def _vessel_core(cover: Floats, other: Floats, limits: tuple[float, float]) -> npt.NDArray[np.bool_]:
    return np.asarray((cover > 0.92 * limits[0]) & (other < 0.02))


def _patches(
    sure: npt.NDArray[np.bool_], amount: int, canvas: Canvas, patch_mm: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], ...]:
    """Speckled patches within `sure`, `amount` pixels in total; all of `sure` if it has fewer."""
    where = np.flatnonzero(sure.ravel())
    liking = smooth_noise(rng, canvas, patch_mm).ravel()[where]
    order = where[np.argsort(-liking, kind="stable")]
    amount = max(amount, _LEAST_PIXELS)
    marked = order[: round(amount / _DENSITY)]
    kept = rng.permutation(marked)[:amount]
    return np.unravel_index(kept, canvas.shape)
