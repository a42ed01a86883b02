"""The report's facts about a run: study, model, times, versions, and the commands that reproduce it."""

from __future__ import annotations

import math
import platform
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gliomap import __version__
from gliomap._text import counted
from gliomap.bundles import open_bundle
from gliomap.errors import GlioMapError
from gliomap.evaluation import EvaluationRecord
from gliomap.evaluation.report import Fact
from gliomap.learning import MODELS, PRESETS, TrainingConfig
from gliomap.sensors import sensor_file
from gliomap.studies import ROLES, Folds, Split
from gliomap.tracking import BUNDLE, SPLITS, Run
from gliomap.workflows._folds_plan import FINAL
from gliomap.workflows._validation import usual_number

__all__ = [
    "commands",
    "environment_facts",
    "model_description",
    "model_facts",
    "study_facts",
    "time_facts",
    "told_aside",
]

_LINE = 80
"""Longest line of a command in the report, in characters, unless a single option is longer."""

_FLAGS = {"epochs": "--epochs", "batch_size": "--batch-size", "learning_rate": "--learning-rate"}
"""Settings of a preset that the command line can override."""


def model_description(run: Run) -> str:
    """The model in a few plain words, for the start of a sentence."""
    model = run.record.model
    kind = MODELS.get(model.name)
    return model.title if kind is None else f"{model.title} ({kind.description})"


def study_facts(run: Run) -> tuple[Fact, ...]:
    """The study, its size, its camera and its split."""
    record, folds = run.record, run.folds()
    captures = sorted({name for split in folds.splits.values() for role in ROLES for name in split.captures_of(role)})
    patients = Counter(folds.patients[capture] for capture in captures)
    several = sum(count > 1 for count in patients.values())
    return (
        ("Study", record.study.name),
        ("Patients", f"{len(patients)}: {', '.join(patients)}"),
        ("Captures", f"{len(captures)}; patients with more than one: {several or 'none'}"),
        (
            "Classes",
            "; ".join(
                f"{one.name} (code{'s' * (len(one.codes) > 1)} {_listed(one.codes)})" for one in record.classes.classes
            ),
        ),
        ("Labels outside the classes", _ignored(_outside_classes(run, folds))),
        ("Camera", "not named: preprocessed cubes" if record.sensor is None else record.sensor.name),
        ("Fingerprint of the study", record.study.fingerprint),
        ("Fingerprint of the split", record.split_fingerprint),
    )


def model_facts(run: Run, evaluation: EvaluationRecord) -> tuple[Fact, ...]:
    """The model, its input and its training settings."""
    record = run.record
    chain, model = record.preprocessing, record.model
    waves = record.wavelengths_nm
    kind = MODELS.get(model.name)
    fitted = kind is not None and not kind.iterative
    facts = [
        ("Model", model_description(run)),
        ("Sees", "single spectra" if model.window == 1 else f"windows of {model.window}×{model.window} pixels"),
        ("Bands", f"{model.n_bands}" + ("" if waves is None else f", {waves[0]:.0f} to {waves[-1]:.0f} nm")),
        (
            "Preprocessing",
            f"{'with' if chain.spectral_correction else 'without'} spectral correction, normalisation"
            f" '{chain.normalisation}'",
        ),
        ("Class weights", record.training.class_weights),
        ("Seed", str(record.training.seed)),
    ]
    if not fitted:
        config = record.training
        stops = config.patience is not None and (
            not evaluation.folds or any(fold.validated for fold in evaluation.folds)
        )
        facts.append(
            (
                "Training",
                f"preset '{config.preset}': {'at most ' if stops else ''}{counted(config.epochs, 'epoch')} in batches of"
                f" {config.batch_size}, Adam at {config.learning_rate:g} ({config.schedule}),"
                f" {_stopping(config) if stops else 'to the end'}",
            )
        )
    facts.append(("Kept for use", _kept(run)))
    return tuple(facts)


def time_facts(run: Run) -> tuple[Fact, ...]:
    """How long training took, and the time per frame if the run has a bundle."""
    record = run.record
    # Of all trained folds: double-cv tests only the best of each outer fold.
    seconds = {name: run.fold(name).record.seconds for name in record.folds} or {"": record.seconds}
    facts = [("Training, all folds" if record.folds else "Training", f"{sum(seconds.values()):.1f} s")]
    if len(seconds) > 1:
        slowest = max(seconds, key=lambda name: seconds[name])
        facts.append((f"Slowest of {len(seconds)} folds", f"{slowest}, {seconds[slowest]:.1f} s"))
    if record.finished_at is not None:
        facts.append(("Trained", f"{record.started_at:%Y-%m-%d %H:%M} to {record.finished_at:%Y-%m-%d %H:%M %Z}"))
    return (*facts, *_frame_times(run))


def environment_facts(run: Run, evaluation: EvaluationRecord) -> tuple[Fact, ...]:
    """The versions with which the run was trained, evaluated and reported."""
    where = run.record.environment
    return (
        ("Trained with", ", ".join(f"{name} {number}" for name, number in where.packages.items())),
        ("Python, platform", f"{where.python}, {where.platform}"),
        ("Commit of GlioMap", where.commit or "not known"),
        ("Evaluated with", f"GlioMap {evaluation.gliomap}"),
        ("Reported with", f"GlioMap {__version__}, Python {platform.python_version()}"),
    )


def commands(run: Run) -> tuple[str, ...]:
    """The commands to train, evaluate and report the run again, typed beside the study's folder."""
    record, folds = run.record, run.folds()
    # Only the folder's name: its place on somebody's disk is private.
    words = ["gliomap", "train", Path(record.study.path).name, "--model", record.model.name]
    if record.training.preset != "default":
        words += ["--preset", record.training.preset]
    if record.sensor is not None and record.sensor.given is not None:
        words += ["--sensor", record.sensor.given]
    words += _division(run, folds)
    base = PRESETS.get(record.training.preset, PRESETS["default"]).as_dict()
    used = record.training.as_dict()
    for setting, flag in _FLAGS.items():
        if used[setting] != base[setting]:
            words += [flag, str(used[setting])]
    if used["threads"] != base["threads"]:
        words += ["--threads", str(used["threads"])]
    if record.model.hidden is not None:
        words += ["--hidden", str(record.model.hidden)]
    words += ["--seed", str(record.training.seed), "-o", record.name]
    evaluate = ["gliomap", "evaluate", record.name]
    if record.sensor is not None and record.sensor.given is not None and sensor_file(record.sensor.given) is not None:
        # Neither the study nor the registry need have a camera that is described in a file of its own.
        evaluate += ["--sensor", record.sensor.given]
    return (*_lines(words), f"  && {shlex.join(evaluate)} && gliomap report {shlex.quote(record.name)}")


def _lines(words: Sequence[str]) -> list[str]:
    """A command with continued lines, so that no page has to break it; an option and its value share a line."""
    parts: list[str] = []
    for word in map(shlex.quote, words):
        if parts and parts[-1].startswith("-") and not word.startswith("-"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part) > _LINE:
            lines.append("   ")
        lines[-1] += f" {part}" if lines[-1] else part
    return [f"{line} \\" for line in lines]


def _division(run: Run, folds: Folds) -> list[str]:
    """Options that divide the study in the same way as the run did."""
    protocol, split = run.record.protocol, folds.first
    words = ["--protocol", protocol]
    if protocol == "holdout":
        words += ["--test-capture", ",".join(split.test)]
        words += ["--train-capture", ",".join((*split.train, *split.validation))]
        if split.validation:
            words += ["--validation-patient", ",".join(split.patients_of("validation"))]
        return [*words, "--allow-same-patient"] if split.allow_same_patient else words
    if split.seed != run.record.training.seed or _given_validation(run, split):
        # Drawn with another seed than the model's initial weights, or for another model: only the file records it.
        words = ["--split", SPLITS]
    elif protocol == "kfold-patient":
        words += ["--folds", str(len(folds.splits))]
    elif protocol == "double-cv":
        words += ["--folds", str(math.isqrt(len(folds.splits)))]
    elif split.pixels is not None:
        words += ["--folds", str(split.pixels.count)]
    return [*words, "--no-final"] if protocol in ("lopo", "kfold-patient") and run.record.kept is None else words


def _given_validation(run: Run, split: Split) -> bool:
    """Whether more or fewer patients validate than is usual for this model, so that the folds came from a file."""
    kind, validating = MODELS.get(run.record.model.name), len(split.patients_of("validation"))
    if kind is None or run.record.protocol != "lopo":
        return False
    return validating != usual_number(validating + len(split.patients_of("train")), run.record.training, kind)


def _frame_times(run: Run) -> tuple[Fact, ...]:
    """Times measured when the run's own bundle was exported, or why there are none."""
    path = run.path / BUNDLE
    if not path.is_dir():
        how = "no model kept for use" if run.record.folds and run.record.kept is None else "gliomap bundle create RUN"
        return (("Time per frame", f"not measured: the run has no bundle ({how})"),)
    try:
        backends = open_bundle(path).manifest.backends
    except GlioMapError as error:
        return (("Time per frame", f"not known: {error.thing} {error.fault}"),)
    return tuple(
        (f"Time per frame, {name}", f"{one.ms_per_frame:.1f} ms from the raw mosaic")
        if one.ms_per_frame is not None
        else (f"Time per cube, {name}", f"{one.ms_per_cube:.1f} ms")
        for name, one in backends.items()
        if one.ms_per_frame is not None or one.ms_per_cube is not None
    )


def _stopping(config: TrainingConfig) -> str:
    again = ", then retrained on all its patients" if config.refit else ""
    return f"stopped after {counted(config.patience or 0, 'epoch')} without gain on the validation patients{again}"


def _kept(run: Run) -> str:
    record = run.record
    if not record.folds:
        return "the model that was tested"
    if record.kept is None:
        return "none"
    if record.kept != FINAL:
        return f"fold {record.kept}"
    aside = run.model_run.kept_aside()
    return f"a model trained on all patients{told_aside(aside)}; no patient is left to test it"


def told_aside(patients: Sequence[str]) -> str:
    """Names the patients that a model trained on 'all patients' did not learn from."""
    return f" except {', '.join(patients)}, who calibrated it or decided when it stopped" if patients else ""


def _outside_classes(run: Run, folds: Folds) -> Counter[int]:
    """Code → pixels, over all captures; a fold has each capture in one role, or in every role if it divides pixels."""
    record = run.fold(run.record.folds[0]).record if run.record.folds else run.record
    total = Counter[int]()
    for role in ROLES if folds.first.pixels is None else ("train",):
        total.update(record.ignored_codes.get(role, {}))
    return total


def _ignored(counts: Mapping[int, int]) -> str:
    return (
        "none"
        if not counts
        else ", ".join(f"code {code}: {counted(count, 'pixel')}" for code, count in sorted(counts.items()))
    )


def _listed(codes: tuple[int, ...]) -> str:
    return ", ".join(str(code) for code in codes)
