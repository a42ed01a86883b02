"""The inputs that can be classified, read for one bundle: frames, a cube file, a capture of a study."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.captures import Capture, Exposures, read_capture, reference_age
from gliomap.engine import Engine
from gliomap.errors import BundleError, CaptureError, CubeError, TaxonomyError
from gliomap.preprocessing import HyperCube, load_npz
from gliomap.sensors import MosaicSensor
from gliomap.workflows._prepared_cube import read_prepared_cube
from gliomap.workflows._result import InputRecord

__all__ = ["CubeFile", "FrameFiles", "Loaded", "Source", "StudyCapture", "load_input"]


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """A raw frame with its references, as TIFF files.

    Attributes
    ----------
    raw, white, dark, white_dark
        Paths; `white_dark` is a second dark frame with the white's exposure.
    exposures
        Exposure times, if they differ.
    msb_aligned
        See `gliomap.captures.read_frame`.
    """

    raw: Path | str
    white: Path | str
    dark: Path | str
    white_dark: Path | str | None = None
    exposures: Exposures | None = None
    msb_aligned: bool | None = None

    def read(self, sensor: MosaicSensor) -> Capture:
        """Read and check the files; parameters and errors as of `gliomap.captures.read_capture`."""
        for path in (self.raw, self.white, self.dark, self.white_dark):
            if path is not None and Path(path).suffix.lower() in _OF_CUBES:
                raise CaptureError(
                    path,
                    "is a cube file, not a frame",
                    "Give the camera's TIFF file. A preprocessed cube needs no preprocessing: `gliomap classify BUNDLE --cube"
                    " FILE` takes it as it is.",
                )
        return read_capture(
            self.raw,
            self.white,
            self.dark,
            sensor,
            white_dark=self.white_dark,
            exposures=self.exposures,
            msb_aligned=self.msb_aligned,
        )


@dataclass(frozen=True, slots=True)
class CubeFile:
    """A preprocessed cube: a .mat file in the thesis's layout, or a .npz file of `gliomap preprocess`."""

    path: Path | str


@dataclass(frozen=True, slots=True)
class StudyCapture:
    """One capture of a study: its frames if bundle and study allow that, else its cube."""

    study: Path | str
    capture: str


logger = logging.getLogger(__name__)

_SAME_BAND_NM = 0.5
"""Bands further apart than this belong to another camera, or to another calibration of it."""

_OF_CUBES = (".mat", ".npz")

Source = FrameFiles | CubeFile | StudyCapture


@dataclass(frozen=True, eq=False)
class Loaded:
    """An input after reading.

    Attributes
    ----------
    record
        What was read.
    content
        A capture, or a preprocessed cube.
    truth
        (H, W) classes 0…C of the ground truth, in the size of the map, or None.
    warnings
        Warnings for result.json; already logged.
    synthetic
        Whether it is known to show a phantom's patient; frames and cubes by themselves do not record that.
    """

    record: InputRecord
    content: Capture | HyperCube
    truth: npt.NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()
    synthetic: bool = False


def load_input(source: Source, engine: Engine) -> Loaded:
    """Read an input for this engine's bundle.

    Raises
    ------
    CaptureError, StudyError, SensorError
        The files cannot be used.
    BundleError
        The bundle takes only cubes and got frames, or is for another sensor.
    CubeError
        The cube cannot be used; or it is from another camera, according to itself or the study.toml above it; or its
        bands are not the bundle's, in number or, if both record them, in wavelength.
    """
    if isinstance(source, FrameFiles):
        return _load_frames(source, engine)
    if isinstance(source, CubeFile):
        path = Path(source.path)
        record = InputRecord(kind="cube", files={"cube": str(path)})
        cube, warnings = _read_cube(path, engine)
        loaded = _with_cube(cube, path, record, engine)
        for warning in warnings:
            loaded = _warned(loaded, warning)
        return loaded
    return _load_from_study(source, engine)


def _load_frames(source: FrameFiles, engine: Engine) -> Loaded:
    paths = {"raw": source.raw, "white": source.white, "dark": source.dark, "white_dark": source.white_dark}
    files = {role: str(path) for role, path in paths.items() if path is not None}
    return _with_capture(source.read(engine.sensor), InputRecord(kind="frame", files=files))


def _load_from_study(source: StudyCapture, engine: Engine) -> Loaded:
    from gliomap.studies import open_study

    study = open_study(source.study)
    bundle = engine.bundle
    if study.settings.sensor is not None and bundle.sensor is not None:
        named = study.sensor()
        if named.fingerprint() != bundle.sensor.fingerprint():
            raise BundleError(
                bundle.path,
                f"is for sensor {bundle.sensor.name!r}, but the calibration of {named.name!r} in {study.root} differs",
                "Use a bundle that was trained for this camera.",
            )
    files = {"study": str(source.study)}
    if bundle.sensor is not None and study.has_raw(source.capture):
        capture = study.capture(source.capture, bundle.sensor)
        loaded = _with_capture(capture, InputRecord(kind="study frame", files=files, capture=source.capture))
        shape = bundle.sensor.cube_shape
    else:
        cube = study.cube(source.capture, bundle.sensor, engine.manifest.preprocessing)
        record = InputRecord(kind="study cube", files=files, capture=source.capture)
        loaded = _with_cube(cube, study.files(source.capture).cube, record, engine)
        shape = (cube.height, cube.width)
    loaded = replace(loaded, synthetic=bool(study.settings.synthetic))
    if not study.has_map(source.capture):
        return loaded
    codes = study.codes(source.capture)
    crop = study.crop(source.capture)
    if codes.shape != shape and crop is not None and crop.shape == codes.shape and crop.fits(shape):
        whole = np.zeros(shape, codes.dtype)
        whole[crop.row : crop.row + crop.height, crop.column : crop.column + crop.width] = codes
        codes = whole
    if codes.shape != shape:
        return _warned(
            loaded, f"the ground truth has shape {codes.shape}, but the map {shape}: the ground truth is not shown"
        )
    try:
        return replace(loaded, truth=engine.classes.from_codes(codes))
    except TaxonomyError as error:
        return _warned(loaded, f"the ground truth is not shown: {error.thing}: {error.fault}")


def _read_cube(path: Path, engine: Engine) -> tuple[HyperCube, tuple[str, ...]]:
    if path.suffix.lower() == ".npz":
        return load_npz(path), ()
    if path.suffix.lower() in (".tif", ".tiff"):
        raise CubeError(path, "is a frame, not a preprocessed cube", "Give it as --raw, with --white and --dark.")
    return read_prepared_cube(path, engine.bundle)


def _with_cube(cube: HyperCube, path: Path, record: InputRecord, engine: Engine) -> Loaded:
    wanted, config = engine.manifest.model.n_bands, engine.manifest.preprocessing
    if cube.n_bands != wanted:
        raise CubeError(
            path,
            f"has {cube.n_bands} bands, but the bundle takes {wanted}",
            "Use a cube with the camera and preprocessing that the bundle was trained for.",
        )
    _check_wavelengths(cube, path, engine)
    loaded = Loaded(record, cube)
    if cube.units != config.units:
        return _warned(loaded, f"the cube holds {cube.units}, but the bundle was trained on {config.units}")
    return loaded


def _check_wavelengths(cube: HyperCube, path: Path, engine: Engine) -> None:
    """Refuse a cube whose bands differ from the bundle's: an equal number of bands does not mean the same camera."""
    wanted = engine.manifest.wavelengths_nm
    if cube.wavelengths_nm is None or wanted is None:
        return
    apart = np.abs(cube.wavelengths_nm - np.array(wanted))
    if apart.max() <= _SAME_BAND_NM:
        return
    first, sensor = int(np.argmax(apart > _SAME_BAND_NM)), engine.bundle.sensor
    whose = "the bundle's" if sensor is None else f"that of the bundle's sensor {sensor.name!r}"
    raise CubeError(
        path,
        f"is from another camera: its band {first + 1} is at {cube.wavelengths_nm[first]:.1f} nm, {whose} at"
        f" {wanted[first]:.1f} nm; bands differ by up to {apart.max():.1f} nm",
        "Use a bundle that was trained for this camera.",
    )


def _with_capture(capture: Capture, record: InputRecord) -> Loaded:
    age = reference_age(capture)
    dated = record.model_copy(
        update={
            "taken_at": capture.taken_at,
            "references_taken_at": capture.references_taken_at,
            "reference_age_minutes": None if age is None else age.total_seconds() / 60,
        }
    )
    # Names without folders: warnings are drawn on pictures, which travel further than a machine's paths should.
    warnings = tuple(f"{Path(finding.thing).name}: {finding.message}" for finding in capture.findings)
    return Loaded(dated, capture, warnings=warnings)


def _warned(loaded: Loaded, warning: str) -> Loaded:
    logger.warning(warning)
    return replace(loaded, warnings=(*loaded.warnings, warning))
