"""`gliomap preprocess`: a cube file from one capture, or the cubes of a whole study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._text import counted
from gliomap.cli._app import app
from gliomap.cli._options import Frames, NormalisationName, SensorName
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.captures import Capture
    from gliomap.preprocessing import HyperCube
    from gliomap.workflows import FrameFiles

StudyFolder = Annotated[Path | None, typer.Argument(metavar="STUDY", help="A study; fills its preProcessedImages/.")]
CubeFile = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE.npz", help="Cube of one capture; cube.npz by default."),
]
Normalisation = Annotated[
    NormalisationName | None,
    typer.Option(
        "--normalisation", help="Normalisation of each spectrum; by default from study.toml, else brightness."
    ),
]
NoCorrection = Annotated[bool, typer.Option("--no-correction", help="Skip the sensor's spectral correction.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and show what would be written, but write nothing.")]

_TWO_WAYS = "Give one capture (--raw R --white W --dark D --sensor NAME) or a study folder (gliomap preprocess STUDY)."


@verb(
    app,
    "preprocess",
    writes=True,
    examples=(
        "gliomap preprocess --raw raw.tif --white white.tif --dark dark.tif \\\n      --sensor nemesis -o cube.npz",
        "gliomap preprocess study",
        "gliomap preprocess study --sensor nemesis --dry-run",
    ),
)
def preprocess(
    ui: Ui,
    study: StudyFolder = None,
    *,
    frames: Frames,
    sensor: SensorName = None,
    out: CubeFile = None,
    normalisation: Normalisation = None,
    no_correction: NoCorrection = False,
    dry_run: DryRun = False,
) -> None:
    """Make hyperspectral cubes from raw, white and dark frames.

    For one capture it writes a .npz file: cube (float32, H×W×B), wavelengths
    (nm), mask (True = valid) and reasons (why not). For a study it fills
    preProcessedImages/; cubes that are already there are kept.
    """
    asked = _asked(normalisation, no_correction)
    named = [*frames.flags(), *([] if out is None else ["-o"])]
    if study is not None:
        if named:
            raise UsageError(
                f"preprocess {study}", f"{', '.join(named)} cannot be combined with a study folder", _TWO_WAYS
            )
        _fill_study(ui, study, sensor, asked, dry_run=dry_run)
        return
    files = frames.files("preprocess", _TWO_WAYS)
    if sensor is None:
        raise UsageError("preprocess", "no sensor given", "Add --sensor NAME (`gliomap sensor list` shows the names).")
    _make_cube(ui, files, sensor, out or Path("cube.npz"), asked, dry_run=dry_run)


def _make_cube(ui: Ui, files: FrameFiles, sensor: str, target: Path, asked: dict[str, Any], *, dry_run: bool) -> None:
    from gliomap._files import refuse_existing, require_suffix
    from gliomap.preprocessing import PreprocessingConfig, preprocess_capture, save_npz
    from gliomap.sensors import get_sensor

    require_suffix(target, "a cube", ".npz")
    refuse_existing(target, overwrite=ui.overwrite)
    capture = files.read(get_sensor(sensor))
    cube = preprocess_capture(capture, PreprocessingConfig(**asked))
    if not dry_run:
        save_npz(cube, target)
    _tell_cube(ui, capture, cube, target, dry_run=dry_run)


def _asked(normalisation: NormalisationName | None, no_correction: bool) -> dict[str, Any]:
    """The settings that were given; all others keep the study's values."""
    asked: dict[str, Any] = {} if normalisation is None else {"normalisation": normalisation}
    return asked | ({"spectral_correction": False} if no_correction else {})


def _tell_cube(ui: Ui, capture: Capture, cube: HyperCube, target: Path, *, dry_run: bool) -> None:
    valid, total = int(cube.mask.sum()), cube.mask.size
    if ui.as_json:
        ui.result(
            {
                "file": None if dry_run else str(target),
                "dry_run": dry_run,
                "sensor": capture.sensor.name,
                "shape": list(cube.data.shape),
                "units": cube.units,
                "valid_pixels": valid,
                "invalid": cube.invalid_counts(),
                "warnings": [f"{finding.thing}: {finding.message}" for finding in capture.findings],
            }
        )
        return
    shape = "×".join(map(str, cube.data.shape))
    ui.text(f"{'Would write' if dry_run else 'Wrote'} {target}: {shape}, {cube.units}, sensor {capture.sensor.name}")
    ui.text(f"{valid:,} of {total:,} pixels are valid{_listed(cube.invalid_counts())}")


def _listed(invalid: dict[str, int]) -> str:
    if not invalid:
        return "."
    return "; invalid: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in invalid.items()) + "."


def _fill_study(ui: Ui, folder: Path, sensor: str | None, asked: dict[str, Any], *, dry_run: bool) -> None:
    from gliomap.studies import fill_preprocessed, open_study

    study = open_study(folder)
    config = replace(study.preprocessing, **asked) if asked else None
    report = fill_preprocessed(study, sensor, config, overwrite=ui.overwrite, dry_run=dry_run, track=ui.track)
    written, kept, without = list(report.written), list(report.kept), list(report.without_frames)
    masked = report.masked
    if ui.as_json:
        ui.result(
            {
                "study": str(folder),
                "dry_run": dry_run,
                "written": written,
                "kept": kept,
                "without_frames": without,
                "masked_pixels": masked,
            }
        )
        return
    for capture in written:
        told = f": {counted(masked[capture], 'pixel')} masked" if capture in masked else ""
        ui.text(f"{'would make' if dry_run else 'made'} {study.files(capture).cube}{told}")
    if kept:
        ui.text(f"kept {len(kept)} already there: {', '.join(kept)}")
    if without:
        ui.text(f"{len(without)} without frames in tif/: {', '.join(without)}")
