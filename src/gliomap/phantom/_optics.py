"""Tissue optics: the share of light reflected at each wavelength.

Absorbers: `absorbers.csv` beside this file, 600–1000 nm in steps of 5 nm. Molar extinction of
oxygenated and deoxygenated haemoglobin (decadic, cm⁻¹/M) from the compilation of S. Prahl,
https://omlc.org/spectra/hemoglobin/; absorption of water (natural, cm⁻¹) in the range of Hale and
Querry, Applied Optics 12:555 (1973). Scattering: S. L. Jacques, Physics in Medicine and Biology
58:R37 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from gliomap.phantom._fields import Floats

__all__ = ["WAVELENGTHS_NM", "Optics", "absorbers", "blood_absorption", "diffuse_reflectance", "tissue_reflectance"]

WAVELENGTHS_NM: npt.NDArray[np.float32] = np.arange(600, 1001, 5, dtype=np.float32)
"""(81,) wavelength grid of every spectrum in this package, nm."""

REFRACTIVE_INDEX = 1.4
"""Refractive index of brain tissue; 1.36–1.44 in the literature (Jacques 2013)."""

HAEMOGLOBIN_MOLAR = 150.0 / 64_500.0
"""Haemoglobin in whole blood, mol/L: 150 g/L divided by 64,500 g/mol (Prahl)."""

SCATTERING_REFERENCE_NM = 500.0
"""Wavelength at which μs′ = a (Jacques 2013, equation 1)."""

_CHUNK = 8192  # pixels at a time: 2.6 MB per work array, which still fits in the caches


@dataclass(frozen=True, eq=False)
class Absorbers:
    """Absorption on `WAVELENGTHS_NM`, each (81,) float32, natural logarithm, cm⁻¹."""

    oxygenated: Floats
    deoxygenated: Floats
    water: Floats


@dataclass(frozen=True, eq=False)
class Optics:
    """Optical properties of N pixels; each field (N,) float32.

    Attributes
    ----------
    blood
        Volume fraction of whole blood, 0…1.
    saturation
        Oxygen saturation of that blood, 0…1.
    amplitude
        a of μs′ = a·(λ/500 nm)^−b, cm⁻¹.
    power
        b of the same.
    water
        Volume fraction of water, 0…1.
    """

    blood: Floats
    saturation: Floats
    amplitude: Floats
    power: Floats
    water: Floats

    def take(self, chosen: npt.NDArray[np.intp] | slice) -> Optics:
        """The optical properties of a subset of the pixels."""
        return Optics(
            self.blood[chosen],
            self.saturation[chosen],
            self.amplitude[chosen],
            self.power[chosen],
            self.water[chosen],
        )

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.blood.size)


@lru_cache(maxsize=1)
def absorbers() -> Absorbers:
    """Absorption of water, and of whole blood at both extremes of saturation."""
    text = files("gliomap.phantom").joinpath("absorbers.csv").read_text(encoding="utf-8")
    table = np.array([[float(cell) for cell in line.split(",")] for line in text.split()[1:]])
    scale = np.log(10) * HAEMOGLOBIN_MOLAR
    columns = (table[:, 1] * scale, table[:, 2] * scale, table[:, 3])
    oxygenated, deoxygenated, water = (column.astype(np.float32) for column in columns)
    for array in (oxygenated, deoxygenated, water):
        array.setflags(write=False)
    return Absorbers(oxygenated, deoxygenated, water)


def blood_absorption(saturation: npt.ArrayLike) -> Floats:
    """Absorption of whole blood, cm⁻¹, of shape `saturation.shape` + (81,).

    μa = ln 10 · (150 g/L ÷ 64,500 g/mol) · [S·ε(HbO2) + (1−S)·ε(Hb)] (Prahl).
    """
    table = absorbers()
    share = np.asarray(saturation, np.float32)[..., None]
    return np.asarray(table.deoxygenated + share * (table.oxygenated - table.deoxygenated), np.float32)


def diffuse_reflectance(absorption: npt.ArrayLike, scattering: npt.ArrayLike) -> Floats:
    """Diffuse reflectance of a half-space, 0…1, from μa and μs′ in the same unit.

    Diffusion form R = 3A·a′ / [(μeff/μtr + 1)(μeff/μtr + 3A)], μtr = μa + μs′, a′ = μs′/μtr,
    μeff = √(3 μa μtr), A = (1 − Reff)/(2(1 + Reff)),
    Reff = 0.0636 n + 0.668 + 0.710/n − 1.440/n². Within 8 % of Monte Carlo at
    μs′/μa ≥ 4 (n = 1.4).
    """
    scatter = np.asarray(scattering, np.float32)
    albedo = scatter / (np.asarray(absorption, np.float32) + scatter)
    n = REFRACTIVE_INDEX
    inner = 0.0636 * n + 0.668 + 0.710 / n - 1.440 / n**2
    three_a = np.float32(3 * (1 - inner) / (2 * (1 + inner)))
    ratio = np.sqrt(3 * (1 - albedo), dtype=np.float32)  # μeff/μtr depends on a′ alone
    return np.asarray(three_a * albedo / ((ratio + 1) * (ratio + three_a)), np.float32)


def tissue_reflectance(optics: Optics, film_cm: Floats | None = None) -> Floats:
    """Diffuse reflectance (N, 81) of N pixels of tissue.

    Parameters
    ----------
    film_cm
        (N,) thickness of a film of blood on the surface, cm; light crosses it twice, so
        R is multiplied by exp(−2·μa·d) at the tissue's own saturation.
    """
    result = np.empty((optics.size, WAVELENGTHS_NM.size), np.float32)
    for start in range(0, optics.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        film = None if film_cm is None else film_cm[part]
        result[part] = _reflectance(optics.take(part), film)
    return result


def _reflectance(optics: Optics, film_cm: Floats | None) -> Floats:
    decay = -np.log(WAVELENGTHS_NM / np.float32(SCATTERING_REFERENCE_NM))
    blood = blood_absorption(optics.saturation)
    absorption = optics.blood[:, None] * blood
    absorption += optics.water[:, None] * absorbers().water
    scattering = np.exp(optics.power[:, None] * decay)
    scattering *= optics.amplitude[:, None]
    reflectance = diffuse_reflectance(absorption, scattering)
    if film_cm is not None:
        reflectance *= np.exp(-2 * film_cm[:, None] * blood)
    return reflectance
