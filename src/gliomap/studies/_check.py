"""Check of a whole study: missing files, contradictions, and what to know before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.captures import untold_findings
from gliomap.errors import GlioMapError, MachineError
from gliomap.studies._check_capture import CaptureCheck
from gliomap.studies._duplicates import same_images
from gliomap.studies._findings import CaptureRow, Finding, StudyCheck
from gliomap.studies._layout import FOLDERS, SETTINGS_FILE, capture_of_file
from gliomap.studies._study import Study
from gliomap.taxonomy import FEW_PIXELS, THESIS_CLASSES, ClassSet

__all__ = ["check_study"]

_ORDER = {"error": 0, "warning": 1, "note": 2}


def check_study(study: Study, classes: ClassSet = THESIS_CLASSES, *, track: Track = silent) -> StudyCheck:
    """Check a study and describe its captures; an unreadable file is a finding and does not stop the check.

    The check reads every file, with one capture in memory at a time.

    Parameters
    ----------
    study
        An open study.
    classes
        Classes of the tissue codes.
    track
        Reports progress.

    Raises
    ------
    MachineError
        The installation lacks a library required to read a file.
    """
    findings = [*_settings_findings(study), *_stray_files(study), *_image_findings(study)]
    rows = []
    images: list[tuple[str, str]] = []
    for capture_id in track(study.capture_ids, "Checking captures"):
        capture = CaptureCheck(study, capture_id, classes)
        with untold_findings():
            capture.run()
        findings += capture.findings
        rows.append(capture.row())
        images += [(capture_id, digest) for digest in capture.image_digests()]
    findings += _band_findings(rows)
    findings += _duplicate_findings(images, rows)
    findings += _patient_findings(study, rows)
    findings += _class_findings(rows, classes)
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    return StudyCheck(study.name, classes.names, tuple(findings), tuple(rows))


def _settings_findings(study: Study) -> Iterator[Finding]:
    settings_file = str(study.root / SETTINGS_FILE)
    named = study.settings.sensor
    if named is not None:
        try:
            study.sensor()
        except MachineError:
            raise
        except GlioMapError as error:
            yield Finding(
                "error", settings_file, f"names the sensor {named!r}: {error.thing} {error.fault}", error.remedy
            )
    elif any(study.has_raw(capture_id) for capture_id in study.capture_ids):
        yield Finding(
            "warning",
            study.name,
            "no sensor is named, so its frames can only be used with --sensor",
            'Add sensor = "NAME" to study.toml (`gliomap sensor list` shows names).',
        )
    else:
        yield Finding(
            "note",
            study.name,
            "no sensor is named: a model trained here takes cubes only, not raw frames (no frame.onnx)",
        )
    for capture_id in sorted(set(study.settings.captures) - set(study.capture_ids)):
        yield Finding(
            "warning",
            settings_file,
            f"describes {capture_id}, which has no files here",
            "Correct the name, or remove the entry.",
        )
    known = set(study.patients) | {capture_id[:6] for capture_id in study.capture_ids}
    for alias, patient in sorted(study.settings.aliases.items()):
        if alias not in known:
            yield Finding(
                "warning", settings_file, f"{alias} = {patient}: no capture belongs to {alias}", "Correct the alias."
            )


def _stray_files(study: Study) -> Iterator[Finding]:
    for folder in FOLDERS:
        place = study.root / folder
        strays = sorted(file.name for file in place.iterdir() if _is_stray(file)) if place.is_dir() else []
        if strays:
            more = f" and {len(strays) - 5} more" if len(strays) > 5 else ""
            yield Finding(
                "warning",
                str(place),
                f"holds files that are ignored, because their names do not follow the layout: {', '.join(strays[:5])}{more}",
                "Rename them like the others, or move them elsewhere.",
            )


def _is_stray(file: Path) -> bool:
    return not file.name.startswith(".") and capture_of_file(file) is None


def _image_findings(study: Study) -> Iterator[Finding]:
    if not any(study.has_raw(capture_id) for capture_id in study.capture_ids):
        yield Finding("note", study.name, "preprocessed only: it has no raw frames in tif/, and training needs none")


def _band_findings(rows: list[CaptureRow]) -> Iterator[Finding]:
    bands = Counter(row.cube_shape[2] for row in rows if row.cube_shape)
    if len(bands) > 1:
        usual = bands.most_common(1)[0][0]
        others = [
            f"{row.capture} ({row.cube_shape[2]})" for row in rows if row.cube_shape and row.cube_shape[2] != usual
        ]
        yield Finding(
            "error",
            "bands",
            f"most cubes have {usual} bands, but not {', '.join(others[:6])}",
            "Keep captures of one camera in one study.",
        )


def _duplicate_findings(images: list[tuple[str, str]], rows: list[CaptureRow]) -> Iterator[Finding]:
    for one in same_images(images, {row.capture: row.patient for row in rows}):
        yield Finding("warning", "duplicate", str(one), "Remove one of them: training data must not be tested.")


def _patient_findings(study: Study, rows: list[CaptureRow]) -> Iterator[Finding]:
    for patient, captures in study.patients.items():
        if len(captures) > 1:
            yield Finding(
                "note",
                patient,
                f"has {len(captures)} captures, which every split keeps together: {', '.join(captures)}",
            )
        labelled: Counter[str] = Counter()
        for row in rows:
            if row.patient == patient:
                labelled.update({name: pixels for name, pixels in row.labelled.items() if pixels})
        if len(labelled) == 1:
            name, pixels = next(iter(labelled.items()))
            yield Finding(
                "warning",
                patient,
                f"has labels of one class only, {name} ({counted(pixels, 'pixel')})",
                "Usable for training; as the only test patient it says little.",
            )
        elif not labelled and any(row.map_shape for row in rows if row.patient == patient):
            yield Finding(
                "warning", patient, "has no labelled pixel of any class", "Label this patient, or exclude it."
            )


def _class_findings(rows: list[CaptureRow], classes: ClassSet) -> Iterator[Finding]:
    for name in classes.names:
        having = [row for row in rows if row.labelled.get(name)]
        pixels = sum(row.labelled[name] for row in having)
        if not having:
            yield Finding(
                "warning",
                f"class {name!r}",
                "has no labelled pixel in any patient",
                "A model trained here cannot learn it.",
            )
        elif pixels == 1:
            yield Finding(
                "warning",
                f"class {name!r}",
                f"has a single labelled pixel, in {having[0].capture}",
                "It cannot both train and test; label more pixels, or expect nothing from this class.",
            )
        elif len({row.patient for row in having}) == 1 and len({row.patient for row in rows}) > 1:
            yield Finding(
                "warning",
                f"class {name!r}",
                f"only patient {having[0].patient} has it ({pixels:,} pixels)",
                "With this patient held out, no model can learn it.",
            )
        elif pixels < FEW_PIXELS:
            yield Finding(
                "warning",
                f"class {name!r}",
                f"has only {pixels} labelled pixels, in {', '.join(row.capture for row in having)}",
                "Label more pixels, or expect little from this class.",
            )
