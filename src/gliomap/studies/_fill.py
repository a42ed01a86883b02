"""Fill preProcessedImages/ from tif/."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from gliomap._files import write_text
from gliomap._progress import Track, silent
from gliomap.errors import OutputExistsError, StudyError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import sensor_file
from gliomap.studies._layout import SETTINGS_FILE
from gliomap.studies._made_with import differing
from gliomap.studies._prepared import chain_of
from gliomap.studies._settings import StudySettings, parse_study_toml, write_study_toml
from gliomap.studies._study import Study
from gliomap.studies._write import write_cube

__all__ = ["FillReport", "fill_preprocessed"]


@dataclass(frozen=True, slots=True)
class FillReport:
    """What `fill_preprocessed` did.

    Attributes
    ----------
    written
        Captures whose cube was made, or would be in a dry run.
    kept
        Captures that already had a cube, made with the same sensor and preprocessing or by other software.
    without_frames
        Captures without a complete set of frames in tif/.
    masked
        Written capture → number of masked pixels.
    recorded
        Whether study.toml was created or extended, or would be in a dry run.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    without_frames: tuple[str, ...]
    masked: dict[str, int]
    recorded: bool


def fill_preprocessed(
    study: Study,
    sensor: str | Path | None = None,
    config: PreprocessingConfig | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    track: Track = silent,
) -> FillReport:
    """Make the prepared cube of every capture that has frames; a second call resumes an interrupted one.

    If study.toml does not name the sensor and preprocessing yet, they are added first: without them, nobody
    could later determine the wavelengths of the cubes. They are added as new lines; existing content stays
    unchanged, and a study.toml that contradicts them is an error.

    Each cube is cropped as study.toml states, in accordance with the file's name.

    Parameters
    ----------
    study
        An open study.
    sensor
        Registry name or path; None uses the sensor in study.toml.
    config
        None uses the preprocessing in study.toml, else the default chain.
    overwrite
        Recreate existing cubes.
    dry_run
        Check everything that can be checked without reading frames, and write nothing.
    track
        Reports progress, one step per capture.

    Raises
    ------
    StudyError
        No sensor is named, no capture has frames, or study.toml names another sensor or preprocessing.
    OutputExistsError
        Existing cubes were made differently, and `overwrite` is False.
    CaptureError, SensorError
        Frames or the sensor cannot be used; cubes made before the error stay.
    """
    with_frames = [capture_id for capture_id in study.capture_ids if study.has_raw(capture_id)]
    if not with_frames:
        raise StudyError(study.root, "has no capture with raw, white and dark frames", "Add them to its tif/ folder.")
    settings = _settled(study, sensor, config, with_frames, overwrite=overwrite)
    recorded = settings != study.settings
    if recorded and not dry_run:
        _add_to_settings(study.root, study.settings, settings)
    study = replace(study, settings=settings)
    camera = study.sensor()
    there = [capture_id for capture_id in with_frames if study.has_cube(capture_id)]
    if not overwrite:
        _refuse_stale(study, there)
    kept = [] if overwrite else there
    todo = [capture_id for capture_id in with_frames if capture_id not in kept]
    masked: dict[str, int] = {}
    for capture_id in () if dry_run else track(todo, "Preprocessing"):
        cube = study.cube_from_frames(capture_id, camera)
        chain = chain_of(camera, study.preprocessing, study.capture_settings(capture_id))
        write_cube(study.root, capture_id, cube, chain=chain)
        masked[capture_id] = int((~cube.mask).sum())
    return FillReport(
        written=tuple(todo),
        kept=tuple(kept),
        without_frames=tuple(capture_id for capture_id in study.capture_ids if capture_id not in with_frames),
        masked=masked,
        recorded=recorded,
    )


def _refuse_stale(study: Study, there: list[str]) -> None:
    stale = [capture_id for capture_id in there if not study.is_prepared(capture_id)]
    if stale:
        raise OutputExistsError(
            study.files(stale[0]).cube,
            f"was made with another sensor, preprocessing or crop ({len(stale)} such cubes)",
            "Add --overwrite to recreate them.",
        )


def _settled(
    study: Study,
    sensor: str | Path | None,
    config: PreprocessingConfig | None,
    with_frames: list[str],
    *,
    overwrite: bool,
) -> StudySettings:
    """The study's settings, with sensor and preprocessing added if they are missing."""
    settings = study.settings
    if sensor is not None and settings.sensor is not None:
        wanted, named = study.sensor(sensor), study.sensor()
        if wanted.fingerprint() != named.fingerprint():
            raise _contradiction(study, f"names the sensor {settings.sensor!r}, not {str(sensor)!r}")
    if config is not None and settings.preprocessing not in (None, config):
        raise _contradiction(study, f"states {differing(study.preprocessing, config)}")
    wanted_config = config or study.preprocessing
    if wanted_config != study.preprocessing:
        staying = [
            capture_id
            for capture_id in study.capture_ids
            if study.has_cube(capture_id) and not (overwrite and capture_id in with_frames)
        ]
        if staying:
            others = f", and so would {len(staying) - 1} more" if len(staying) > 1 else ""
            raise OutputExistsError(
                study.files(staying[0]).cube,
                f"would be mixed with cubes made differently{others}",
                "Add --overwrite if all captures have frames, or keep the preprocessing unchanged.",
            )
    study.sensor(sensor)
    new_sensor = None if settings.sensor is not None or sensor is None else _sensor_entry(study.root, sensor)
    return settings.model_copy(
        update={"sensor": new_sensor or settings.sensor, "preprocessing": settings.preprocessing or wanted_config}
    )


def _contradiction(study: Study, fault: str) -> StudyError:
    return StudyError(
        study.root / SETTINGS_FILE,
        fault,
        "Correct study.toml, or omit the option; all cubes of a study must be made alike.",
    )


def _sensor_entry(root: Path, sensor: str | Path) -> str:
    """The sensor's entry in study.toml: a registry name, or a path, relative if it lies inside the study."""
    if sensor_file(sensor) is None:
        return str(sensor)
    absolute = Path(sensor).resolve()
    base = root.resolve()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()


def _add_to_settings(root: Path, said: StudySettings, settings: StudySettings) -> None:
    """Add lines to study.toml without changing existing ones."""
    path = root / SETTINGS_FILE
    if not path.exists():
        write_study_toml(root, settings)
        return
    text, added = path.read_text(encoding="utf-8"), []
    if settings.sensor is not None and said.sensor is None:
        # A key before the first table header always belongs to the top level.
        added.append(tomli_w.dumps({"sensor": settings.sensor}))
        text = added[-1] + text
    if settings.preprocessing is not None and said.preprocessing is None:
        added.append(tomli_w.dumps({"preprocessing": settings.preprocessing.as_dict()}))
        text = text.rstrip("\n") + "\n\n" + added[-1]
    if parse_study_toml(text.encode(), path) != settings:
        raise StudyError(
            path,
            "cannot be extended without changing its meaning",
            f"Add these lines yourself: {'; '.join(line for part in added for line in part.splitlines() if line)}.",
        )
    write_text(path, text)
