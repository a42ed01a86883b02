"""A prepared cube of a `.mat` file, held against the camera of the bundle that is to classify it."""

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
    """Read the cube, and what must be said of it.

    Our own files carry a digest of what made them; crop and exposures, which it covers too, stand in the study.toml
    above. Files that others made tell nothing, and are held against the sensor of that study.toml only.

    Raises
    ------
    CubeError
        The cube is of another camera than the bundle; or it is ours, and not known to be of the bundle's.
    StudyError
        A file that cannot be read, or a study.toml above it that cannot.
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
        _require_same(path, f"lies in {study.root}, whose study.toml names sensor {named.name!r}", named, wanted)
        return read_prepared(path, None, config), ()
    return read_prepared(path, None, config), (
        f"the cube does not tell its camera: if it is another than {wanted.name}, the map is wrong",
    )


def _sensor_of(study: Study) -> MosaicSensor | None:
    """The sensor that study.toml names; None where it names none, or one that is not here."""
    with suppress(GlioMapError):
        return study.sensor()
    return None


def _require_same(path: Path, told: str, camera: MosaicSensor, wanted: MosaicSensor | None) -> None:
    if wanted is None or camera.fingerprint() == wanted.fingerprint():
        return
    whose = f"the bundle is for {wanted.name!r}"
    if camera.name == wanted.name:
        whose += " in another calibration"
    raise CubeError(path, f"{told}, and {whose}", _OTHER_BUNDLE)


def _unknown(path: Path, wanted: MosaicSensor, study: Study | None) -> CubeError:
    """Ours, but made with none of the cameras that are known, or with a crop or exposures that are not."""
    if study is None:
        return CubeError(
            path,
            f"is not known to be of the bundle's sensor {wanted.name!r}: it was made with another, or with a crop or"
            " exposures, and there is no study.toml above it to tell them",
            f"Classify it in its study (--study STUDY --capture ID). {_OTHER_BUNDLE}",
        )
    return CubeError(
        path,
        f"was not made with the bundle's sensor {wanted.name!r} and with the preprocessing, crop and exposures that"
        f" {study.root / 'study.toml'} has now",
        f"Make it again with `gliomap preprocess {study.root} --overwrite`. {_OTHER_BUNDLE}",
    )
