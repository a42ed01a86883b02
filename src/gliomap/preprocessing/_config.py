"""Which preprocessing was done: frozen, and written into every bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gliomap.errors import UsageError

__all__ = ["Normalisation", "PreprocessingConfig"]

Normalisation = Literal["brightness", "none", "snv", "minmax", "area"]


@dataclass(frozen=True, slots=True)
class PreprocessingConfig:
    """The chain from a raw mosaic to a cube.

    Attributes
    ----------
    spectral_correction
        Apply the sensor's matrix; otherwise only sort positions by wavelength.
    normalisation
        'brightness' divides by sqrt(mean over bands of x²), the thesis's 'HELICoiD' step, so that
        every spectrum has RMS 1; 'snv' subtracts the mean and divides by the standard deviation;
        'minmax' maps to 0…1; 'area' divides by the sum of absolute values; 'none' leaves reflectance.
    dark_fraction
        A mosaic pixel with white − dark under this share of full scale is invalid ('dark').
    min_brightness
        A spectrum with RMS reflectance at or under this is invalid ('zero brightness').
    """

    spectral_correction: bool = True
    normalisation: Normalisation = "brightness"
    dark_fraction: float = 0.02
    min_brightness: float = 1e-6

    def __post_init__(self) -> None:
        if self.normalisation not in get_args(Normalisation):
            raise UsageError(
                f"normalisation {self.normalisation!r}",
                "is not known",
                f"Choose one of: {', '.join(get_args(Normalisation))}.",
            )
        if not 0 <= self.dark_fraction < 1 or self.min_brightness < 0:
            raise UsageError(
                "preprocessing",
                "dark_fraction must lie in 0…1 and min_brightness be 0 or more",
                "Correct the configuration.",
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written into study.toml and manifests."""
        return asdict(self)
