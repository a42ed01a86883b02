"""A prepared cube from a `.mat` file, checked against the camera of the bundle that will classify it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gliomap.bundles import Bundle
from gliomap.errors import CubeError, GlioMapError
from gliomap.preprocessing import HyperCube
from gliomap.sensors import MosaicSensor
from gliomap.studies import Study, made_with, read_chain, read_prepared, study_of_file

__all__ = ["read_prepared_cube"]

_OTHER_BUNDLE = "Use a bundle that was trained for this camera."


def read_prepared_cube(path: Path, bundle: Bundle) -> tuple[HyperCube, tuple[str, ...]]:
    """Read the cube, and return it with the warnings about it.

    Files that GlioMap wrote contain a digest of the settings that made them. It also covers crop and exposures, which are
    in the study.toml above the file. Other files record nothing; they are checked only against the sensor in that
    study.toml.

    Raises
    ------
    CubeError
        The cube is from another camera than the bundle's; or GlioMap wrote it, but not verifiably for the bundle's camera.
    StudyError
        The file, or a study.toml above it, cannot be read.
    """
    config, wanted = bundle.manifest.preprocessing, bundle.sensor
    within = study_of_file(path)
    study, capture = (None, None) if within is None else within
    settings = None if study is None or capture is None else study.capture_settings(capture)
    chains = [config] if study is None else [config, study.preprocessing]
    named = None if study is None else _sensor_of(study)
    told = made_with(path, (wanted, named), chains, settings)
    if told is not None:
        _require_same(path, f"was made with sensor {told[0].name!r}", told[0], wanted)
        return read_prepared(path, *told), ()
    if wanted is None:
        return read_prepared(path, None, config), ()
    if read_chain(path) is not None:
        raise _unknown(path, wanted, study)
    if study is not None and named is not None:
        _require_same(path, f"is in {study.root}, whose study.toml names sensor {named.name!r}", named, wanted)
        return read_prepared(path, None, config), ()
    return read_prepared(path, None, config), (
        f"the cube does not record its camera: if that is not {wanted.name}, the map is wrong",
    )


def _sensor_of(study: Study) -> MosaicSensor | None:
    """The sensor that study.toml names; None if it names none, or one that cannot be found."""
    with suppress(GlioMapError):
        return study.sensor()
    return None


def _require_same(path: Path, told: str, camera: MosaicSensor, wanted: MosaicSensor | None) -> None:
    if wanted is None or camera.fingerprint() == wanted.fingerprint():
        return
    whose = f"the bundle is for {wanted.name!r}"
    if camera.name == wanted.name:
        whose += " in another calibration"
    raise CubeError(path, f"{told}, but {whose}", _OTHER_BUNDLE)


def _unknown(path: Path, wanted: MosaicSensor, study: Study | None) -> CubeError:
    """The error for a cube that GlioMap wrote, but with a camera, crop or exposures that are not known here."""
    if study is None:
        return CubeError(
            path,
            f"cannot be traced to the bundle's sensor {wanted.name!r}: it was made with another sensor, or with a crop or"
            " exposures, and there is no study.toml above it that records them",
            f"Classify it within its study (--study STUDY --capture ID). {_OTHER_BUNDLE}",
        )
    return CubeError(
        path,
        f"was not made with the bundle's sensor {wanted.name!r} and the preprocessing, crop and exposures that"
        f" {study.root / 'study.toml'} has now",
        f"Make it again with `gliomap preprocess {study.root} --overwrite`. {_OTHER_BUNDLE}",
    )
