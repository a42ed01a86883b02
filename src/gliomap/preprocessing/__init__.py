"""From a raw mosaic to a cube of spectra: small pure functions, composed according to a frozen configuration."""

from gliomap.preprocessing._chain import preprocess, preprocess_capture, reflectance
from gliomap.preprocessing._config import Normalisation, PreprocessingConfig
from gliomap.preprocessing._cube import HyperCube, Reason, reason_counts
from gliomap.preprocessing._helicoid import decimate, drop_bands, helicoid_chain, moving_average
from gliomap.preprocessing._npz import load_npz, save_npz
from gliomap.preprocessing._references import References, chain_sensor, prepare_references, raw_reasons
from gliomap.preprocessing._steps import (
    brightness,
    calibrate,
    correct_spectra,
    cube_to_mosaic,
    is_normalised,
    mosaic_to_cube,
    normalise,
)

__all__ = [
    "HyperCube",
    "Normalisation",
    "PreprocessingConfig",
    "Reason",
    "References",
    "brightness",
    "calibrate",
    "chain_sensor",
    "correct_spectra",
    "cube_to_mosaic",
    "decimate",
    "drop_bands",
    "helicoid_chain",
    "is_normalised",
    "load_npz",
    "mosaic_to_cube",
    "moving_average",
    "normalise",
    "prepare_references",
    "preprocess",
    "preprocess_capture",
    "raw_reasons",
    "reason_counts",
    "reflectance",
    "save_npz",
]
