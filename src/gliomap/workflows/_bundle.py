"""Bundle: turns a run, or weights without a run, into a bundle."""

from __future__ import annotations

from pathlib import Path

from gliomap._files import refuse_existing
from gliomap._progress import Track, silent
from gliomap.bundles import GROUP, MANIFEST, Bundle, Measured, Training
from gliomap.errors import GlioMapError, ModelError
from gliomap.evaluation import EvaluationRecord, Interval, Metrics, read_evaluation, tumour_indices
from gliomap.learning import load_model
from gliomap.learning.export import BundleInfo, export_bundle
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import MosaicSensor, get_sensor
from gliomap.studies import ROLES, SensorLike
from gliomap.taxonomy import THESIS_CLASSES, ClassSet
from gliomap.tracking import BUNDLE, EVALUATION, METRICS, Run, Store, mirrored, open_run, whole_run
from gliomap.workflows._evaluation_record import patient_intervals
from gliomap.workflows._folds_plan import FINAL
from gliomap.workflows._report_facts import told_aside
from gliomap.workflows._trained_sensor import in_registry, named_sensor, same_calibration

__all__ = ["bundle_from_weights", "make_bundle"]


def make_bundle(
    run_folder: str | Path,
    out: Path | None = None,
    *,
    sensor: SensorLike | None = None,
    reduced_precision: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
    store: Store | None = None,
) -> Bundle:
    """Make a bundle from a finished run; the manifest includes its evaluation, if there is one.

    Parameters
    ----------
    run_folder
        The run.
    out
        Folder, or archive if it ends in .zip; by default RUN/bundle.
    sensor
        The camera, for a run whose study named none or whose camera description is lost. A run that was
        trained for one camera accepts no other.
    reduced_precision
        Also measure OpenVINO in reduced precision and record how well it agrees.
    threads
        Threads for the checks.
    overwrite
        Replace an earlier bundle.
    track
        Receives the progress of the work.
    store
        Where the run and its bundle are mirrored; nowhere by default.

    Raises
    ------
    OutputExistsError
        `out` exists.
    RunError, ModelError
        The run is unfinished or damaged.
    SensorError
        The run's camera cannot be found, or `sensor` is another camera.
    ExportMismatchError
        A graph does not compute what the model computes.
    """
    run = open_run(run_folder)
    target = run.path / BUNDLE if out is None else out
    _refuse(target, overwrite=overwrite)
    info = _info(run, sensor)
    with mirrored(whole_run(run.path), store if out is None else None) as mirror:
        made = export_bundle(
            run.model_run.model(),
            target,
            info,
            reduced_precision=reduced_precision,
            threads=threads,
            overwrite=overwrite,
            track=track,
        )
        mirror.finish(whole_run(run.path))
    return made


def bundle_from_weights(
    architecture: str,
    weights: Path,
    out: Path,
    *,
    sensor: SensorLike | None = None,
    preprocessing: PreprocessingConfig | None = None,
    classes: ClassSet = THESIS_CLASSES,
    name: str | None = None,
    reduced_precision: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Bundle:
    """Make a bundle from weights alone, such as those of the thesis.

    Parameters
    ----------
    architecture
        'conv2d' or 'fourlayer'.
    weights
        safetensors file with the thesis's names and shapes.
    out
        Folder, or archive if it ends in .zip.
    sensor
        The camera; without one the bundle takes only preprocessed cubes.
    preprocessing
        The preprocessing of the training cubes; the thesis's by default.
    classes
        The classes of the outputs; the thesis's five by default.
    name
        Name of the bundle; derived from the file by default.

    Raises
    ------
    ModelError
        The weights do not fit the architecture, or have another number of classes.
    OutputExistsError, SensorError, ExportMismatchError
        As `make_bundle`.
    """
    _refuse(out, overwrite=overwrite)
    model = load_model(weights, architecture)
    if model.n_classes != len(classes):
        raise ModelError(
            weights,
            f"has {model.n_classes} classes, but class set {classes.name!r} has {len(classes)}",
            "Use weights that were trained on these classes.",
        )
    info = BundleInfo(
        name=name or f"{architecture} from {weights.name}",
        classes=classes,
        preprocessing=preprocessing or PreprocessingConfig(),
        sensor=_described(sensor),
        notes=("Made from weights alone: their training is unknown, and nothing was measured.",),
    )
    return export_bundle(
        model, out, info, reduced_precision=reduced_precision, threads=threads, overwrite=overwrite, track=track
    )


def _info(run: Run, sensor: SensorLike | None) -> BundleInfo:
    """The manifest's information about a run; with several folds, about the one whose model is kept."""
    source = run.model_run
    record, evaluation = source.record, _evaluation(run)
    return BundleInfo(
        name=f"{record.model.title} · {record.study.name}"[:200],
        classes=record.classes,
        preprocessing=record.preprocessing,
        sensor=_sensor_of(source, sensor),
        wavelengths_nm=record.wavelengths_nm,
        training=_training(run, source),
        metrics={} if evaluation is None else _metrics(evaluation),
        measured_on=None if evaluation is None else _measured_on(evaluation, run),
        notes=(*_notes(run, evaluation), *_claimed(source, sensor)),
    )


def _described(sensor: SensorLike | None) -> MosaicSensor | None:
    return sensor if sensor is None or isinstance(sensor, MosaicSensor) else get_sensor(sensor)


def _sensor_of(run: Run, asked: SensorLike | None) -> MosaicSensor | None:
    """The camera that the run was trained for, wherever its description is found; else the requested one."""
    trained, given = run.record.sensor, _described(asked)
    if trained is None:
        return given
    found = given or in_registry(trained) or _from_study(run) or named_sensor(trained, run.path)
    return same_calibration(found, trained, run.path)


def _from_study(run: Run) -> MosaicSensor | None:
    try:
        study = run.study()
        return study.sensor() if study.settings.sensor is not None else None
    except GlioMapError:
        return None


def _notes(run: Run, evaluation: EvaluationRecord | None) -> tuple[str, ...]:
    """What a reader of the card must know about the origin of the figures."""
    told = ["The patients are synthetic: the figures say nothing about people."] if run.record.study.synthetic else []
    if evaluation is None:
        return (*told, "It was never evaluated.")
    if run.record.kept == FINAL:
        told.append(
            f"Trained on all patients{told_aside(run.model_run.kept_aside())}. The figures are those of"
            f" {len(evaluation.folds)} models trained on fewer patients, without those they were tested on; no patient is"
            " left to test this model on."
        )
    elif len(evaluation.folds) > 1:
        told.append(f"The figures are those of {len(evaluation.folds)} models together, each on its own test pixels.")
        told += run.record.notes
    if evaluation.warning is not None:
        told.append(evaluation.warning)
    told += [f"{one}, in training and test: the figures are too high." for one in evaluation.duplicates]
    return tuple(told)


def _claimed(source: Run, sensor: SensorLike | None) -> tuple[str, ...]:
    """A note that the run does not confirm its camera, if the camera was named only when the bundle was made."""
    if sensor is None or source.record.sensor is not None:
        return ()
    return (
        "The camera was named only when the bundle was made; the training cubes do not record theirs. If theirs was"
        " another, or they were prepared differently, maps of frames are wrong, and no figure here shows it.",
    )


def _training(run: Run, source: Run) -> Training:
    """The origin of the weights of `source`, which is the run itself or the fold that it keeps."""
    record, split = source.record, source.split()
    known = {*split.patients_of("train"), *split.patients_of("validation")}
    return Training(
        study=record.study.name,
        study_fingerprint=record.study.fingerprint,
        synthetic=record.study.synthetic,
        protocol=run.record.protocol,
        split_fingerprint=run.record.split_fingerprint,
        patients={role: tuple(split.patients_of(role)) for role in ROLES},
        captures={role: tuple(split.captures_of(role)) for role in ROLES},
        same_patient=tuple(patient for patient in split.patients_of("test") if patient in known),
        labelled={role: counts for role, counts in record.labelled.items() if split.captures_of(role)},
        seed=record.training.seed,
        settings=record.training.as_dict(),
        epochs=record.epochs,
        packages=record.environment.packages,
        python=record.environment.python,
        platform=record.environment.platform,
        commit=record.environment.commit,
        finished_at=record.finished_at,
        notes=(*record.hints, *record.notes, *((record.stopped,) if source.history().refit else ())),
    )


def _evaluation(run: Run) -> EvaluationRecord | None:
    path = run.path / EVALUATION / METRICS
    return read_evaluation(path) if path.exists() else None


def _metrics(evaluation: EvaluationRecord) -> dict[str, Measured]:
    """The most important figures, over patients if there are any, else over all labelled pixels."""
    pooled = evaluation.pooled
    plain: dict[str, float | None] = {
        "overall accuracy": pooled.overall_accuracy,
        "balanced accuracy": pooled.balanced_accuracy,
        "macro F1": pooled.macro_f1,
        "MCC": pooled.mcc,
        "calibration error": pooled.calibration_error,
    }
    for index in tumour_indices(evaluation.classes):
        tumour, name = pooled.classes[index - 1], evaluation.classes.names[index - 1]
        plain |= {f"{name} sensitivity": tumour.sensitivity, f"{name} specificity": tumour.specificity}
    found = {name: Measured(value=value) for name, value in plain.items() if value is not None}
    found |= {name: _measured(one) for name, one in evaluation.intervals.items() if one is not None}
    return found | _by_group(evaluation)


def _by_group(evaluation: EvaluationRecord) -> dict[str, Measured]:
    """The same for patients with and without labelled tumour, if there are both."""
    tumour = tumour_indices(evaluation.classes)
    groups: dict[str, list[Metrics]] = {"patients with labelled tumour": [], "patients without": []}
    for one in evaluation.patients.values():
        has = any(one.classes[index - 1].labelled or one.classes[index - 1].not_classified for index in tumour)
        groups["patients with labelled tumour" if has else "patients without"].append(one)
    if not tumour or not all(groups.values()):
        return {}
    return {
        f"{name}{GROUP}{group}": _measured(interval)
        for group, members in groups.items()
        for name, interval in patient_intervals(members, evaluation.classes).items()
        if interval is not None
    }


def _measured(interval: Interval) -> Measured:
    return Measured(value=interval.mean, low=interval.low, high=interval.high, patients=interval.patients)


def _measured_on(evaluation: EvaluationRecord, run: Run) -> str:
    several = "s" if len(evaluation.captures) > 1 else ""
    told = f"{evaluation.pooled.n:,} labelled pixels of capture{several} {', '.join(evaluation.captures)}"
    if run.record.kept == FINAL:
        return f"{told}; each by a model that was not trained on its patient"
    if evaluation.same_patient:
        return f"{told}; {', '.join(evaluation.same_patient)} also trained, so these figures are too high"
    return f"{told}, of {'a patient' if len(evaluation.patients) == 1 else 'patients'} who did not train"


def _refuse(out: Path, *, overwrite: bool) -> None:
    """Refuse an existing output, and with `overwrite` a folder that is not a bundle."""
    refuse_existing(out, overwrite=overwrite, mark=MANIFEST if out.is_dir() else None)
