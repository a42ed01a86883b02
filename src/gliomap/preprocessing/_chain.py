"""The chain from a raw frame to a cube, readable in one function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gliomap.captures import Capture
from gliomap.preprocessing._config import PreprocessingConfig
from gliomap.preprocessing._cube import HyperCube, Reason
from gliomap.preprocessing._references import References, prepare_references, raw_reasons
from gliomap.preprocessing._steps import correct_spectra, mosaic_to_cube, normalised

__all__ = ["preprocess", "preprocess_capture", "reflectance"]


def preprocess(raw: npt.NDArray[np.uint16], references: References) -> HyperCube:
    """Turn a raw mosaic frame into a cube of spectra.

    Parameters
    ----------
    raw
        uint16, of the frame's shape; digital numbers in the low bits.
    references
        Prepared for its camera and exposure.

    Returns
    -------
    HyperCube
        float32 (h, w, bands) in wavelength order; finite. Tiles that are saturated, dark, defective or without
        brightness are 0 and masked, with the reasons recorded.

    Raises
    ------
    CaptureError
        The frame has another shape or type.
    """
    config, chain = references.config, references.chain
    reasons = raw_reasons(raw, references)
    active = references.sensor.active
    calibrated = np.subtract(active(raw), active(references.dark), dtype=np.float32)
    calibrated *= active(references.gain)
    spectra = correct_spectra(mosaic_to_cube(calibrated, chain.pattern), references.matrix)
    if not chain.correction_after_division:
        spectra *= references.scale.transpose(1, 2, 0)
    spectra[reasons != 0] = 0
    data, bright = normalised(spectra, config.normalisation, config.min_brightness)
    reasons = np.where(bright | (reasons != 0), reasons, np.uint8(Reason.ZERO_BRIGHTNESS))
    return HyperCube(data, chain.wavelengths_nm, config.units, reasons == 0, reasons)


def reflectance(raw: npt.NDArray[np.uint16], references: References) -> HyperCube:
    """The cube before normalisation, which keeps the light and shade that normalisation removes.

    Raises
    ------
    CaptureError
        As in `preprocess`.
    """
    plain = replace(references.config, normalisation="none")
    return preprocess(raw, replace(references, config=plain))


def preprocess_capture(capture: Capture, config: PreprocessingConfig | None = None) -> HyperCube:
    """Turn a capture into a cube; see `prepare_references` and `preprocess`.

    Raises
    ------
    ReferenceFrameError
        No dark fits the exposures.
    """
    references = prepare_references(
        capture.white,
        capture.dark,
        capture.sensor,
        config,
        exposures=capture.exposures,
        white_dark=capture.white_dark,
    )
    return preprocess(capture.raw, references)
