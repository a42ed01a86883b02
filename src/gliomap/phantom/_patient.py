"""Patients as parameters: one draw from a difficulty for each patient of a cohort.

Draws across patients form a Latin hypercube (McKay, Beckman and Conover, Technometrics 21:239,
1979): each quantity takes one value from each of n equal parts of its distribution. Thirteen independent
draws differ too much between seeds to determine how hard a cohort is.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from gliomap.errors import MissingExtraError, UsageError
from gliomap.phantom._difficulty import Difficulty, Spread, TissueSpread, TumourSpread, get_difficulty
from gliomap.phantom._optics import WAVELENGTHS_NM, Optics, tissue_reflectance

__all__ = ["CameraDraw", "Patient", "SurfaceDraw", "Tissue", "draw_patients", "normalised_difference"]

TUMOUR_CODES = (200, 220, 221)
"""One of these per patient: glioblastoma, oligodendroglial and astroglial glioma of grade III."""

MAX_PATIENTS = 1000
TUMOUR_SATURATION = (0.2, 0.75)
"""Limits of a tumour's oxygen saturation; not published, assumed from fits to patients."""

_MAX_REDRAWS = 4000
_SHORT_END = 8  # samples of 5 nm, 655–690 nm
_VISIBLE_NM = (655.0, 955.0)
"""Range over which tumour and grey matter are compared, before a camera is known."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """Optics of one tissue of one patient; units as in `_optics.Optics`."""

    blood: float
    saturation: float
    amplitude: float
    power: float
    water: float

    def spectrum(self) -> npt.NDArray[np.float32]:
        """(81,) diffuse reflectance."""
        values = (self.blood, self.saturation, self.amplitude, self.power, self.water)
        return np.asarray(tissue_reflectance(Optics(*(np.array([value], np.float32) for value in values)))[0])


@dataclass(frozen=True, slots=True)
class SurfaceDraw:
    """Surface of one patient: film of blood, µm, and share of haze."""

    film_um: float
    haze: float


@dataclass(frozen=True, slots=True)
class CameraDraw:
    """Camera and light on the day of one patient; fields as in `CameraSpread`."""

    light_tilt: float
    light_bend: float
    peak_shift_nm: float
    pedestal: float
    leak: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Patient:
    """One synthetic patient, before any image is rendered.

    Attributes
    ----------
    number
        1…n, the patient of capture ID000nC01.
    seed
        Source of the random numbers for this patient's images.
    tumour_code
        Taxonomy code of the tumour.
    grey, tumour, dura, vein, artery
        Optics; those of vessels describe the layer seen in a vessel pixel.
    """

    number: int
    seed: np.random.SeedSequence
    difficulty: Difficulty
    tumour_code: int
    grey: Tissue
    tumour: Tissue
    dura: Tissue
    vein: Tissue
    artery: Tissue
    surface: SurfaceDraw
    camera: CameraDraw

    @property
    def capture_id(self) -> str:
        """Capture identifier in a study."""
        return f"ID{self.number:04d}C01"


class _Cohort:
    """Latin hypercube over the patients of a cohort, one column per quantity in order of request."""

    def __init__(self, patients: int, rng: np.random.Generator) -> None:
        self._patients = patients
        self._rng = rng

    def uniform(self) -> npt.NDArray[np.float64]:
        """(patients,) one value in each of n equal parts of 0…1, in random order."""
        from scipy.stats import qmc

        return np.asarray(qmc.LatinHypercube(d=1, rng=self._rng).random(self._patients)[:, 0])

    def values(self, spread: Spread) -> npt.NDArray[np.float64]:
        """(patients,) draws of one quantity."""
        return _from_uniform(spread, self.uniform())

    def between(self, limits: tuple[float, float]) -> npt.NDArray[np.float64]:
        """(patients,) uniform draws between two limits."""
        return limits[0] + (limits[1] - limits[0]) * self.uniform()

    def tissues(self, spread: TissueSpread) -> list[Tissue]:
        """One tissue for each patient."""
        columns = [self.values(one) for one in (spread.blood, spread.saturation, spread.amplitude, spread.power)]
        return [
            Tissue(float(blood), float(saturation), float(amplitude), float(power), spread.water)
            for blood, saturation, amplitude, power in zip(*columns, strict=True)
        ]


def _from_uniform(spread: Spread, uniform: npt.ArrayLike) -> npt.NDArray[np.float64]:
    from scipy.special import ndtri

    # There are no measurements beyond 2.3 standard deviations, and one such patient among thirteen
    # would dominate a cohort.
    score = np.clip(ndtri(np.asarray(uniform, np.float64)), -2.3, 2.3)
    if spread.logarithmic:
        drawn = spread.centre * np.exp(spread.spread * score)
    else:
        drawn = spread.centre + spread.spread * score
    return np.asarray(np.clip(drawn, spread.low, spread.high))


def normalised_difference(tumour: Tissue, grey: Tissue) -> npt.NDArray[np.float64]:
    """Tumour − grey matter, each normalised to an RMS of 1 over 655–955 nm; (61,)."""
    low, high = _VISIBLE_NM
    seen = (low <= WAVELENGTHS_NM) & (high >= WAVELENGTHS_NM)
    spectra = [tissue.spectrum()[seen].astype(np.float64) for tissue in (tumour, grey)]
    first, second = (spectrum / np.sqrt(np.mean(spectrum**2)) for spectrum in spectra)
    return np.asarray(first - second)


def _candidate(grey: Tissue, spread: TumourSpread, rng: np.random.Generator) -> Tissue:
    parts = (spread.blood, spread.saturation, spread.amplitude, spread.power, spread.water)
    blood, saturation, amplitude, power, water = (
        float(_from_uniform(part, value)) for part, value in zip(parts, rng.random(len(parts)), strict=True)
    )
    return Tissue(
        blood=grey.blood * blood,
        saturation=min(max(grey.saturation + saturation, TUMOUR_SATURATION[0]), TUMOUR_SATURATION[1]),
        amplitude=grey.amplitude * amplitude,
        power=min(max(grey.power + power, 0.1), 3.3),
        water=min(max(grey.water + water, 0.5), 0.95),
    )


def _draw_tumours(greys: list[Tissue], difficulty: Difficulty, rng: np.random.Generator) -> list[Tissue]:
    """One tumour for each patient, whose difference from grey matter has the required size and sign."""
    spread = difficulty.tumour
    patients = len(greys)
    wanted: list[bool | None] = [None] * patients
    if spread.brighter_share is not None:
        share = np.arange(patients) < round(spread.brighter_share * patients)
        wanted = [bool(brighter) for brighter in rng.permutation(share)]
    chosen: list[Tissue] = []
    directions: list[npt.NDArray[np.float64]] = []
    for grey, brighter in zip(greys, wanted, strict=True):
        found = _fitting(grey, difficulty, brighter, rng)
        units = [_unit(normalised_difference(tumour, grey)) for tumour in found]
        alike = [sum(float(unit @ other) ** 2 for other in directions) for unit in units]
        best = int(np.argmin(alike))
        chosen.append(found[best])
        directions.append(units[best])
    return chosen


def _fitting(grey: Tissue, difficulty: Difficulty, brighter: bool | None, rng: np.random.Generator) -> list[Tissue]:
    """As many suitable tumours as the difficulty has alternatives."""
    spread = difficulty.tumour
    low, high = spread.difference
    found: list[Tissue] = []
    for _ in range(_MAX_REDRAWS):
        tumour = _candidate(grey, spread, rng)
        difference = normalised_difference(tumour, grey)
        size = float(np.sqrt(np.mean(difference**2)))
        if low <= size <= high and brighter in (None, bool(difference[:_SHORT_END].mean() > 0)):
            found.append(tumour)
            if len(found) == spread.alternatives:
                return found
    raise UsageError(
        f"difficulty {difficulty.name!r}",
        f"only {len(found)} tumours in {_MAX_REDRAWS} draws differed from grey matter by {low}–{high}",
        "Widen the spreads of its tumour or the range of the difference.",
    )


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def draw_patients(patients: int, *, seed: int = 0, difficulty: str | Difficulty = "realistic") -> tuple[Patient, ...]:
    """Draw a cohort; the same arguments give the same patients.

    Each patient depends on the size of the cohort, because draws are stratified over it.

    Parameters
    ----------
    patients
        Number of patients, 1…1000.
    seed
        0 or more.
    difficulty
        A name of `DIFFICULTIES`, or a `Difficulty`.

    Raises
    ------
    UsageError
        There are fewer than 1 or more than 1000 patients, the seed is negative, or the difficulty is unknown.
    MissingExtraError
        SciPy, which comes with the 'train' part of GlioMap, is not installed.
    """
    if find_spec("scipy") is None:
        raise MissingExtraError("the phantom", "train")
    if not 1 <= patients <= MAX_PATIENTS:
        raise UsageError("patients", f"{patients} were requested", f"Request 1 to {MAX_PATIENTS}.")
    if seed < 0:
        raise UsageError("seed", f"is {seed}", "Use 0 or a positive integer.")
    preset = get_difficulty(difficulty) if isinstance(difficulty, str) else difficulty
    own, *children = np.random.SeedSequence(seed).spawn(patients + 1)
    rng = np.random.default_rng(own)
    cohort = _Cohort(patients, rng)
    grey, dura = cohort.tissues(preset.grey), cohort.tissues(preset.dura)
    vessels = [
        cohort.tissues(TissueSpread(kind.blood, kind.saturation, _BLOOD_AMPLITUDE, _BLOOD_POWER, _VESSEL_WATER))
        for kind in (preset.vein, preset.artery)
    ]
    cameras, surfaces = _draw_cameras(cohort, preset), _draw_surfaces(cohort, preset)
    codes = [TUMOUR_CODES[index] for index in _dealt(len(TUMOUR_CODES), patients, rng)]
    tumours = _draw_tumours(grey, preset, rng)
    return tuple(
        Patient(
            number=i + 1,
            seed=children[i],
            difficulty=preset,
            tumour_code=codes[i],
            grey=grey[i],
            tumour=tumours[i],
            dura=dura[i],
            vein=vessels[0][i],
            artery=vessels[1][i],
            surface=surfaces[i],
            camera=cameras[i],
        )
        for i in range(patients)
    )


_BLOOD_AMPLITUDE = Spread(22.0, 0.10, logarithmic=True)
_BLOOD_POWER = Spread(0.66, 0.08)
_VESSEL_WATER = 0.75
"""Scattering of whole blood (Jacques 2013, table 2); spreads assumed."""


def _draw_cameras(cohort: _Cohort, preset: Difficulty) -> list[CameraDraw]:
    camera = preset.camera
    columns = (
        cohort.values(_centred(camera.light_tilt)),
        cohort.values(_centred(camera.light_bend)),
        cohort.values(_centred(camera.peak_shift_nm)),
        cohort.between(camera.pedestal),
        cohort.between(camera.leak),
        cohort.between(camera.exposure),
    )
    return [CameraDraw(*map(float, row)) for row in zip(*columns, strict=True)]


def _draw_surfaces(cohort: _Cohort, preset: Difficulty) -> list[SurfaceDraw]:
    films = cohort.values(preset.surface.film_um)
    hazes = cohort.between((0.0, preset.surface.haze))
    return [SurfaceDraw(float(film), float(haze)) for film, haze in zip(films, hazes, strict=True)]


def _centred(spread: float) -> Spread:
    return Spread(0.0, spread, low=-float("inf"))


def _dealt(kinds: int, patients: int, rng: np.random.Generator) -> list[int]:
    """Each kind equally often, up to one, in random order."""
    return [int(index) for index in rng.permutation(np.arange(patients) % kinds)]
