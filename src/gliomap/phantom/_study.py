"""A cohort of synthetic patients as a study folder."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from gliomap._files import atomic_folder, refuse_existing
from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import GlioMapError, OutputExistsError, UsageError
from gliomap.phantom._camera import check_phantom_sensor
from gliomap.phantom._difficulty import Difficulty
from gliomap.phantom._patient import Patient, draw_patients
from gliomap.phantom._render import DEFAULT_SENSOR, EXPOSURE_MS, render_patient
from gliomap.preprocessing import PreprocessingConfig, prepare_references, preprocess
from gliomap.sensors import MosaicSensor, get_sensor, write_sensor_toml
from gliomap.studies import (
    ExposureTimes,
    StudySettings,
    chain_of,
    open_study,
    write_capture_files,
    write_study_toml,
)

__all__ = ["make_phantom", "refuse_target"]

SENSOR_FILE = "sensor.toml"

_WORKERS = 2  # NumPy releases the GIL during most of the work; each patient takes about 0.4 GB


def make_phantom(
    directory: str | Path,
    *,
    patients: int = 6,
    seed: int = 0,
    difficulty: str | Difficulty = "realistic",
    sensor: MosaicSensor | str | Path | None = None,
    overwrite: bool = False,
    label_fraction: float | None = None,
    track: Track = silent,
) -> Path:
    """Write a study of synthetic patients with one capture each, ID0001C01 and so on.

    The same arguments write the same bytes (on one platform, with the same versions of NumPy and
    SciPy). A failure leaves nothing behind.

    Parameters
    ----------
    directory
        The study folder to create.
    patients
        1…1000.
    seed
        0 or more.
    difficulty
        'realistic', 'moderate', 'easy', or a custom `Difficulty`.
    sensor
        A sensor with responses, its name or its file; None selects 'generic-nir-5x5'. The study refers to
        that sensor by name; any other sensor is written to the study as sensor.toml.
    overwrite
        Replace an earlier phantom.
    label_fraction
        Share of the exposed brain to label, above 0 and up to 1; None draws 0.05…0.12 for each patient.
    track
        Reports progress, one step per patient.

    Returns
    -------
    Path
        `directory`.

    Raises
    ------
    UsageError
        A number is out of range, a name is unknown, or `directory` is not a phantom.
    OutputExistsError
        `directory` exists and `overwrite` is False.
    SensorError
        The sensor is unknown, has no responses between 600 and 1000 nm, or has fewer than 24×24 tiles.
    MissingExtraError
        SciPy, which comes with the 'train' part of GlioMap, is not installed.
    """
    target = Path(directory)
    refuse_target(target, overwrite=overwrite)
    camera = _sensor(sensor)
    cohort = draw_patients(patients, seed=seed, difficulty=difficulty)
    name = difficulty if isinstance(difficulty, str) else difficulty.name
    settings = _settings(f"phantom, {name}, {counted(patients, 'patient')}, seed {seed}", camera)
    with atomic_folder(target, overwrite=overwrite) as folder:
        if settings.sensor == SENSOR_FILE:
            write_sensor_toml(camera, folder / SENSOR_FILE)
        # Closed before the folder is removed: an interrupted worker writes into it until it is joined.
        with closing(_written(folder, cohort, camera, label_fraction)) as written:
            for _ in track(written, "Synthetic patients", patients):
                pass
        write_study_toml(folder, settings)
    return target


def refuse_target(directory: Path, *, overwrite: bool) -> None:
    """Refuse an existing folder; with `overwrite`, refuse it only if it is not a phantom and may hold patient data.

    Raises
    ------
    OutputExistsError
        `directory` exists and `overwrite` is False.
    UsageError
        `directory` is not a phantom.
    """
    remedy = "Choose another folder, or remove it yourself."
    if directory.exists() and not _is_phantom(directory):
        if not overwrite:
            raise OutputExistsError(directory, "already exists, and is not a phantom", remedy)
        refuse_existing(directory, overwrite=True)
        raise UsageError(directory, "is not a phantom, and overwriting would delete it", remedy)
    refuse_existing(directory, overwrite=overwrite)


def _is_phantom(directory: Path) -> bool:
    try:
        return bool(open_study(directory).settings.synthetic)
    except GlioMapError:
        return False


def _sensor(sensor: MosaicSensor | str | Path | None) -> MosaicSensor:
    camera = sensor if isinstance(sensor, MosaicSensor) else get_sensor(sensor or DEFAULT_SENSOR)
    check_phantom_sensor(camera)
    return camera


def _settings(name: str, camera: MosaicSensor) -> StudySettings:
    """Settings that name the packaged sensor, or for any other sensor the file inside the study."""
    packaged = camera.fingerprint() == get_sensor(DEFAULT_SENSOR).fingerprint()
    return StudySettings(
        name=name,
        synthetic=True,
        sensor=DEFAULT_SENSOR if packaged else SENSOR_FILE,
        preprocessing=PreprocessingConfig(),
        exposures=ExposureTimes(raw_ms=EXPOSURE_MS, white_ms=EXPOSURE_MS, dark_ms=EXPOSURE_MS),
    )


def _written(
    folder: Path, cohort: tuple[Patient, ...], camera: MosaicSensor, label_fraction: float | None
) -> Generator[str, None, None]:
    """Render and write every patient, two at a time; yield capture identifiers in order as they finish."""
    from threadpoolctl import threadpool_limits

    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="phantom")
    # With one thread, BLAS yields the same last digits on every machine, and the workers keep the cores busy.
    with threadpool_limits(1):
        try:
            yield from pool.map(lambda patient: _write_patient(folder, patient, camera, label_fraction), cohort)
        finally:
            pool.shutdown(cancel_futures=True)


def _write_patient(folder: Path, patient: Patient, camera: MosaicSensor, label_fraction: float | None) -> str:
    rendered = render_patient(patient, camera, label_fraction=label_fraction)
    config = PreprocessingConfig()
    cube = preprocess(rendered.raw, prepare_references(rendered.white, rendered.dark, camera, config))
    write_capture_files(
        folder,
        patient.capture_id,
        frames=(rendered.raw, rendered.white, rendered.dark),
        cube=cube,
        codes=rendered.codes,
        chain=chain_of(camera, config),
        taken_at=rendered.taken_at,
    )
    return patient.capture_id
