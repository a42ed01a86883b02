"""The preprocessing configuration: frozen, and written into every bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from gliomap.errors import UsageError

__all__ = ["Normalisation", "PreprocessingConfig", "require_normalisation"]

Normalisation = Literal["brightness", "none", "snv", "minmax", "area"]


@dataclass(frozen=True, slots=True)
class PreprocessingConfig:
    """The chain from a raw mosaic to a cube.

    Attributes
    ----------
    spectral_correction
        Apply the sensor's matrix; if False, only sort positions by wavelength.
    normalisation
        'brightness' divides by sqrt(mean over bands of x²), the thesis's 'HELICoiD' step, so that
        every spectrum has RMS 1; 'snv' subtracts the mean and divides by the standard deviation;
        'minmax' maps to 0…1; 'area' divides by the sum of absolute values; 'none' leaves reflectance.
    dark_fraction
        A mosaic pixel with white − dark below this share of full scale is invalid ('dark').
    min_brightness
        A spectrum with an RMS reflectance of at most this value is invalid ('zero brightness').
    """

    spectral_correction: bool = True
    normalisation: Normalisation = "brightness"
    dark_fraction: float = 0.02
    min_brightness: float = 1e-6

    def __post_init__(self) -> None:
        require_normalisation(self.normalisation)
        if not 0 <= self.dark_fraction < 1 or not (math.isfinite(self.min_brightness) and self.min_brightness >= 0):
            raise UsageError(
                "preprocessing",
                f"dark_fraction {self.dark_fraction} must lie in 0…1 and min_brightness {self.min_brightness} be 0 or more",
                "Correct the configuration.",
            )

    @property
    def units(self) -> str:
        """Units of a cube's values after this chain."""
        plain = _UNITS[self.normalisation]
        return plain if self.spectral_correction else f"{plain}, not spectrally corrected"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to study.toml and manifests."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessingConfig:
        """Build from plain values; missing ones get their defaults.

        Raises
        ------
        UsageError
            A name is unknown, or a value has the wrong type or is out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(
                "preprocessing", f"{', '.join(unknown)} is not known", f"Known: {', '.join(sorted(known))}."
            )
        for name, kinds in _KINDS.items():
            value = values.get(name, kinds[0]())
            # bool is a subclass of int, but true is not a dark_fraction
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise UsageError("preprocessing", f"{name} is {value!r}", f"Use a {kinds[0].__name__}.")
        return cls(**values)


def require_normalisation(kind: str) -> None:
    """Raise `UsageError` if there is no normalisation with this name."""
    if kind not in get_args(Normalisation):
        raise UsageError(
            f"normalisation {kind!r}", "is not known", f"Choose one of: {', '.join(get_args(Normalisation))}."
        )


_KINDS: dict[str, tuple[type, ...]] = {
    "spectral_correction": (bool,),
    "normalisation": (str,),
    "dark_fraction": (float, int),
    "min_brightness": (float, int),
}

_UNITS: dict[Normalisation, str] = {
    "brightness": "brightness-normalised reflectance",
    "none": "reflectance",
    "snv": "standard normal variate of reflectance",
    "minmax": "reflectance scaled to 0…1",
    "area": "reflectance of unit area",
}
