"""How much patients differ and how accurate the camera is: one table, three presets.

Each field states the basis of its value. 'Assumed' marks values that no publication provides; the others
are from S. L. Jacques, Physics in Medicine and Biology 58:R37 (2013), tables 1 and 2,
PubMed 28380934 (grey matter in vivo) and Journal of Biomedical Optics 22:027002 (glioblastoma).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gliomap.errors import UsageError

__all__ = ["DIFFICULTIES", "Difficulty", "Spread", "get_difficulty"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How one quantity varies between patients.

    Attributes
    ----------
    centre
        Its median.
    spread
        Standard deviation; that of the logarithm if `logarithmic`.
    logarithmic
        Log-normal, for factors and amounts that cannot be negative.
    low, high
        Limits to which the draw is clipped.
    """

    centre: float
    spread: float
    logarithmic: bool = False
    low: float = 0.0
    high: float = float("inf")


@dataclass(frozen=True, slots=True)
class TissueSpread:
    """Optics of one tissue across patients; units as in `_optics.Optics`."""

    blood: Spread
    saturation: Spread
    amplitude: Spread
    power: Spread
    water: float


@dataclass(frozen=True, slots=True)
class TumourSpread:
    """Tumour relative to the same patient's grey matter.

    Glioblastoma relative to low grade: scattering ×2.4, absorption +48 % (JBO 22:027002); astrocytoma
    a = 20, b = 1.63…3.25 (Jacques). Saturation is not published: assumed.

    Attributes
    ----------
    blood, amplitude
        Factors.
    saturation, power, water
        Differences; oedematous tissue has more water (assumed).
    difference
        A draw is repeated until the RMS difference of the two normalised spectra lies in this
        range (assumed: neither a tumour that nobody sees nor one that everybody sees).
    brighter_share
        Share of patients whose tumour is brighter than grey matter at the short end after
        normalisation; None leaves this to chance.
    alternatives
        Number of draws from which to choose the one whose difference from grey matter is least aligned
        with those of earlier patients: directions are stratified, as other draws are. 1 takes the first draw.
    """

    blood: Spread
    saturation: Spread
    amplitude: Spread
    power: Spread
    water: Spread
    difference: tuple[float, float]
    brighter_share: float | None
    alternatives: int = 1


@dataclass(frozen=True, slots=True)
class VesselSpread:
    """Vessels: blood over tissue, mixed according to depth and width.

    Attributes
    ----------
    blood
        Blood fraction of the layer seen in a vessel pixel (assumed).
    saturation
        Artery 0.95 ± 0.05, vein 0.70 ± 0.10 (Jacques); wider and lower here, because a vein on the
        surface drains a brain under anaesthesia (assumed).
    cover
        Lowest and highest share of the signal from the vessel at its centre line (assumed).
    """

    blood: Spread
    saturation: Spread
    cover: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SurfaceSpread:
    """Variation over one patient's surface; all values assumed.

    Attributes
    ----------
    blood, saturation, amplitude, power
        Standard deviations of smooth fields; those of the logarithm for blood and amplitude.
    film_um
        Film of blood left on the surface, µm, across patients.
    film_variation
        Standard deviation of the logarithm of the film's thickness over the surface.
    haze
        Highest share of reflectance added as colourless haze of the wet surface.
    texture
        Standard deviation of reflectance within a tile.
    """

    blood: float = 0.15
    saturation: float = 0.03
    amplitude: float = 0.06
    power: float = 0.05
    film_um: Spread = Spread(10.0, 0.6, logarithmic=True, high=60.0)
    film_variation: float = 0.5
    haze: float = 0.05
    texture: float = 0.02


@dataclass(frozen=True, slots=True)
class CameraSpread:
    """Light, exposure and deviations of the camera from its calibration; all values assumed.

    Attributes
    ----------
    light_tilt, light_bend
        Ratio of light at the exposure to light at the white reference:
        exp(tilt·N·z + bend·N·(z² − 0.33)), z = (λ − 812 nm)/160 nm.
    peak_shift_nm
        Shift of the filters' peaks from their calibration, nm.
    pedestal
        Share of a filter's area in a flat pedestal.
    leak
        Short-end light transmitted by the longest band, as a share of its own area.
    unevenness
        Standard deviation of the logarithm of the ratio of each filter's signal from the scene to that
        from the white reference. A filter's pass-band depends on the angle of the light, which differs
        between a folded wet surface and a flat white tile. It makes class means as jagged as real ones,
        and is the main obstacle to applying one patient's classifier to another patient.
    exposure
        Brightness of the lamp relative to a white of `white_electrons`.
    white_electrons
        Electrons of the white reference in the brightest band.
    full_well
        Electrons at the highest digital number.
    read_noise
        Electrons.
    """

    light_tilt: float = 0.045
    light_bend: float = 0.03
    peak_shift_nm: float = 2.0
    pedestal: tuple[float, float] = (0.05, 0.20)
    leak: tuple[float, float] = (0.0, 0.4)
    unevenness: float = 0.03
    exposure: tuple[float, float] = (0.6, 1.0)
    white_electrons: float = 9_000.0
    full_well: float = 11_000.0
    read_noise: float = 13.0


@dataclass(frozen=True, slots=True)
class Difficulty:
    """One preset: every distribution from which patients and camera are drawn."""

    name: str
    grey: TissueSpread
    tumour: TumourSpread
    vein: VesselSpread
    artery: VesselSpread
    dura: TissueSpread
    surface: SurfaceSpread = field(default_factory=SurfaceSpread)
    camera: CameraSpread = field(default_factory=CameraSpread)


def _log(centre: float, spread: float) -> Spread:
    return Spread(centre, spread, logarithmic=True)


def _share(centre: float, spread: float) -> Spread:
    return Spread(centre, spread, low=0.02, high=0.99)


def _difference(centre: float, spread: float) -> Spread:
    return Spread(centre, spread, low=-float("inf"))


_REALISTIC = Difficulty(
    name="realistic",
    # Blood 3.9 %, saturation 52 % in vivo; a = 10.9–11.6 cm⁻¹, b = 0.334–0.601.
    grey=TissueSpread(_log(0.039, 0.25), _share(0.50, 0.07), _log(11.2, 0.08), Spread(0.47, 0.15), 0.75),
    tumour=TumourSpread(
        blood=_log(1.2, 0.5),
        saturation=_difference(0.0, 0.15),
        amplitude=_log(1.3, 0.4),
        power=_difference(0.3, 0.6),
        water=_difference(0.02, 0.04),
        difference=(0.045, 0.085),
        brighter_share=5 / 13,
        alternatives=4,
    ),
    vein=VesselSpread(_log(0.35, 0.4), _share(0.58, 0.12), (0.65, 0.95)),
    artery=VesselSpread(_log(0.35, 0.4), _share(0.92, 0.05), (0.65, 0.95)),
    # No values published for dura: fibrous tissue a = 27.1, b = 1.2–1.6; blood and saturation assumed.
    dura=TissueSpread(_log(0.035, 0.4), _share(0.90, 0.05), _log(27.1, 0.15), Spread(1.2, 0.25), 0.60),
    surface=SurfaceSpread(),
    camera=CameraSpread(),
)

_MODERATE = Difficulty(
    name="moderate",
    grey=TissueSpread(_log(0.039, 0.15), _share(0.50, 0.04), _log(11.2, 0.06), Spread(0.47, 0.10), 0.75),
    tumour=TumourSpread(
        blood=_log(1.6, 0.25),
        saturation=_difference(-0.10, 0.06),
        amplitude=_log(1.4, 0.2),
        power=_difference(0.7, 0.3),
        water=_difference(0.03, 0.03),
        difference=(0.04, 0.11),
        brighter_share=0.0,
    ),
    vein=VesselSpread(_log(0.35, 0.25), _share(0.58, 0.07), (0.70, 0.95)),
    artery=VesselSpread(_log(0.35, 0.25), _share(0.93, 0.03), (0.70, 0.95)),
    dura=TissueSpread(_log(0.035, 0.2), _share(0.90, 0.03), _log(27.1, 0.10), Spread(1.2, 0.15), 0.60),
    surface=SurfaceSpread(film_um=Spread(10.0, 0.3, logarithmic=True), film_variation=0.4, haze=0.03),
    camera=CameraSpread(
        light_tilt=0.020,
        light_bend=0.013,
        peak_shift_nm=1.0,
        pedestal=(0.08, 0.15),
        leak=(0.1, 0.2),
        unevenness=0.014,
        white_electrons=18_000.0,
        full_well=22_000.0,
    ),
)

_EASY = Difficulty(
    name="easy",
    grey=TissueSpread(_log(0.039, 0.08), _share(0.50, 0.02), _log(11.2, 0.05), Spread(0.47, 0.05), 0.75),
    tumour=TumourSpread(
        blood=_log(2.0, 0.1),
        saturation=_difference(-0.20, 0.02),
        amplitude=_log(1.5, 0.1),
        power=_difference(0.2, 0.1),
        water=_difference(0.03, 0.01),
        difference=(0.03, 0.20),
        brighter_share=None,
    ),
    vein=VesselSpread(_log(0.40, 0.1), _share(0.58, 0.03), (0.85, 0.95)),
    artery=VesselSpread(_log(0.40, 0.1), _share(0.94, 0.02), (0.85, 0.95)),
    dura=TissueSpread(_log(0.035, 0.1), _share(0.90, 0.02), _log(27.1, 0.05), Spread(1.2, 0.08), 0.60),
    surface=SurfaceSpread(film_um=Spread(10.0, 0.1, logarithmic=True), film_variation=0.2, haze=0.02),
    camera=CameraSpread(
        light_tilt=0.005,
        light_bend=0.003,
        peak_shift_nm=0.3,
        pedestal=(0.10, 0.12),
        leak=(0.10, 0.13),
        unevenness=0.002,
        exposure=(0.8, 1.0),
        white_electrons=36_000.0,
        full_well=44_000.0,
    ),
)

DIFFICULTIES: dict[str, Difficulty] = {preset.name: preset for preset in (_REALISTIC, _MODERATE, _EASY)}
"""The presets by name."""


def get_difficulty(name: str) -> Difficulty:
    """Preset with this name.

    Raises
    ------
    UsageError
        The name is not one of the three.
    """
    if name not in DIFFICULTIES:
        raise UsageError(f"difficulty {name!r}", "is not known", f"Choose one of: {', '.join(DIFFICULTIES)}.")
    return DIFFICULTIES[name]
