"""Report: turns evaluated runs into one HTML page, optionally also as PDF."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gliomap._files import refuse_existing, require_suffix, write_text
from gliomap._progress import Track, silent
from gliomap.errors import RunError, UsageError
from gliomap.evaluation import INSTRUMENTS, EvaluationRecord, SanityRecord, read_evaluation, read_sanity
from gliomap.evaluation.report import MapPicture, ReportedRun, render_report, require_pdf, write_pdf
from gliomap.tracking import EVALUATION, METRICS, REPORT, Run, Store, mirrored, open_run, whole_run
from gliomap.workflows._report_facts import (
    commands,
    environment_facts,
    model_description,
    model_facts,
    study_facts,
    time_facts,
)
from gliomap.workflows._sanity import SANITY
from gliomap.workflows._test_pictures import MAPS

__all__ = ["Reported", "report", "reported_run"]

_MAX_BYTES = 256 << 20
_DAMAGED = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True, eq=False)
class Reported:
    """The written report.

    Attributes
    ----------
    html, pdf
        The page, and the same as PDF; None if not requested.
    runs
        The runs that it shows.
    """

    html: Path | None
    pdf: Path | None
    runs: tuple[ReportedRun, ...]


def report(
    run_folders: Sequence[str | Path],
    out: Path | None = None,
    *,
    compare: bool = False,
    pdf: bool = False,
    palette: str = "safe",
    overwrite: bool = False,
    track: Track = silent,
    store: Store | None = None,
) -> Reported:
    """Write the report of one or more evaluated runs as one self-contained HTML page.

    Parameters
    ----------
    run_folders
        Runs that `evaluate` has tested.
    out
        The page, FILE.html, or FILE.pdf for the PDF alone; by default report.html in the run folder, for a single
        run.
    compare
        Compare the first run with each of the others, patient by patient.
    pdf
        Also write FILE.pdf beside the page.
    palette
        Colours of the maps, 'safe' or 'classic'.
    overwrite
        Replace an earlier report.
    track
        Receives the progress of the work.
    store
        Where the run and its report are mirrored; nowhere by default.

    Raises
    ------
    UsageError
        No run is given, several without `out`, or only one to compare; or the runs have no common patient.
    OutputExistsError
        `out` exists.
    RunError
        A run is not finished, not evaluated, or damaged.
    MissingExtraError, MachineError
        Something that pages or PDF need is not installed.
    """
    page, printed = _targets(run_folders, out, pdf=pdf)
    for path in (page, printed):
        if path is not None:
            refuse_existing(path, overwrite=overwrite)
    if printed is not None:
        require_pdf()
    runs = tuple(reported_run(folder) for folder in track(run_folders, "Reading runs", len(run_folders)))
    mine = whole_run(Path(run_folders[0]))
    with mirrored(mine, store if out is None else None) as mirror:
        html = render_report(runs, palette=palette, compare=compare)
        if page is not None:
            write_text(page, html)
        if printed is not None:
            for path in track((printed,), "Printing", 1):
                write_pdf(html, path)
        mirror.finish(mine)
    return Reported(page, printed, runs)


def _targets(
    run_folders: Sequence[str | Path], out: Path | None, *, pdf: bool
) -> tuple[Path, Path | None] | tuple[None, Path]:
    """The paths of the page and the PDF."""
    if not run_folders:
        raise UsageError("report", "there is no run to report", "Name at least one.")
    if out is None and len(run_folders) > 1:
        raise UsageError("report", "there is no default folder for several runs", "Name a file with -o FILE.html.")
    target = Path(run_folders[0]) / REPORT if out is None else out
    require_suffix(target, "a page or a PDF", ".html", ".htm", ".pdf")
    if target.suffix.lower() == ".pdf":
        return None, target
    return target, target.with_suffix(".pdf") if pdf else None


def reported_run(run_folder: str | Path) -> ReportedRun:
    """Collect what the report shows of a run, from its folder alone: neither study nor bundle is needed.

    Raises
    ------
    RunError
        The run is not finished, not evaluated, or damaged.
    """
    run = open_run(run_folder)
    evaluation = read_evaluation(run.path / EVALUATION / METRICS)
    tested = run.tested()
    return ReportedRun(
        evaluation=evaluation,
        description=model_description(run),
        study_fingerprint=run.record.study.fingerprint,
        synthetic=run.record.study.synthetic,
        study=study_facts(run),
        model=model_facts(run, evaluation),
        times=time_facts(run),
        environment=environment_facts(run, evaluation),
        labelled={} if run.record.folds else run.record.labelled,
        histories={name: one.history() for name, one in tested.items()},
        maps=_maps(run, evaluation),
        sanity=_sanity(run),
        commands=commands(run),
        hints=run.record.hints,
        notes=tuple(dict.fromkeys((*run.record.notes, *(note for fold in evaluation.folds for note in fold.notes)))),
    )


def _sanity(run: Run) -> tuple[SanityRecord, ...]:
    paths = [run.path / SANITY / f"{name}.json" for name in INSTRUMENTS]
    return tuple(read_sanity(path) for path in paths if path.exists())


def _maps(run: Run, evaluation: EvaluationRecord) -> dict[str, MapPicture]:
    found = {}
    for capture in evaluation.captures:
        path = run.path / EVALUATION / MAPS / f"{capture}.npz"
        if path.is_file():
            found[capture] = _map(path, len(evaluation.classes))
    return found


def _map(path: Path, n_classes: int) -> MapPicture:
    """Read a map that `evaluate` wrote.

    Raises
    ------
    RunError
        The file is damaged, or its arrays do not fit each other.
    """
    remedy = "Evaluate the run again."
    if path.stat().st_size > _MAX_BYTES:
        raise RunError(path, f"is larger than {_MAX_BYTES >> 20} MiB", remedy)
    # Parsed in memory, so that an OSError always comes from the disk, never from a broken archive.
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as arrays:
            rgb, truth, labels = (arrays[name] for name in ("rgb", "truth", "labels"))
            confidence = arrays["confidence"].astype(np.float32)
    except _DAMAGED as error:
        raise RunError(path, f"is not a map ({error})", remedy) from error
    whole = labels.ndim == 2 and labels.size > 0
    if not whole or rgb.shape != (*labels.shape, 3) or {truth.shape, confidence.shape} != {labels.shape}:
        raise RunError(path, f"holds arrays that do not fit: {labels.shape}, {rgb.shape}, {truth.shape}", remedy)
    if {rgb.dtype, truth.dtype, labels.dtype} != {np.dtype(np.uint8)} or max(labels.max(), truth.max()) > n_classes:
        raise RunError(path, f"holds labels that are not of the run's {n_classes} classes", remedy)
    if not np.isfinite(confidence).all():
        raise RunError(path, "holds a confidence that is not a finite number", remedy)
    return MapPicture(rgb, truth, labels, confidence)
