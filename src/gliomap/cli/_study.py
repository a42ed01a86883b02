"""`gliomap study check|show|split`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap._text import command_line, counted
from gliomap.cli._app import app
from gliomap.cli._options import PaletteChoice, SensorName
from gliomap.cli._train_options import FoldCount
from gliomap.cli._train_tables import describe_folds, table_of_folds
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb

if TYPE_CHECKING:
    from gliomap.studies import CaptureRow, StudyCheck

study_app = group(app, "study", "Study folders: check, draw, split into folds.")

_NAMED = 3
"""How many of the captures that share a finding are named."""

StudyFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The study folder.")]


@verb(study_app, "check", within="study", examples=("gliomap study check study", "gliomap study check study --json"))
def check(ui: Ui, folder: StudyFolder) -> None:
    """Check a study for missing or inconsistent files.

    Errors must be fixed and give exit code 2. Warnings are worth knowing. Notes are for information.
    """
    from gliomap.studies import check_study, open_study

    outcome = check_study(open_study(folder), track=ui.track)
    if ui.as_json:
        ui.result(outcome.as_dict())
    else:
        _print_check(ui, outcome)
    if not outcome.ok:
        raise typer.Exit(2)


@verb(
    study_app,
    "show",
    within="study",
    writes=True,
    examples=("gliomap study show study -o study.png", "gliomap study show study --sensor nemesis --palette safe"),
)
def show(
    ui: Ui,
    folder: StudyFolder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.png", help="The picture to write.")] = Path(
        "contact-sheet.png"
    ),
    sensor: SensorName = None,
    palette: PaletteChoice = "classic",
) -> None:
    """Draw a contact sheet of all captures.

    It shows each capture in false colour beside its labels.
    """
    from gliomap._files import refuse_existing, require_suffix
    from gliomap.evaluation import contact_sheet
    from gliomap.studies import open_study

    require_suffix(out, "a PNG picture", ".png")
    refuse_existing(out, overwrite=ui.overwrite)
    study = open_study(folder)
    contact_sheet(study, out, palette=palette, sensor=sensor, track=ui.track)
    if ui.as_json:
        patients = {patient: list(captures) for patient, captures in study.patients.items()}
        ui.result({"study": study.name, "patients": patients, "picture": str(out)})
        return
    ui.text(
        f"{study.name}: {counted(len(study.patients), 'patient')}, {counted(len(study.capture_ids), 'capture')}",
        f"Contact sheet: {out}",
    )


@verb(
    study_app,
    "split",
    within="study",
    writes=True,
    examples=(
        "gliomap study split study --protocol kfold-patient -o splits.json",
        "gliomap study split study --protocol lopo --seed 1 -o lopo.json",
    ),
)
def split(
    ui: Ui,
    folder: StudyFolder,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="P", help="lopo, kfold-patient, double-cv or pooled.")
    ] = "lopo",
    folds: FoldCount = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same folds.")] = 0,
    sensor: SensorName = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="The file to write.")] = Path(
        "splits.json"
    ),
) -> None:
    """Write a file of folds (who trains, who tests) for several models.

    Models that are trained with the same file are tested on the same folds. The
    file contains the hashes of the study's files. For another study it is
    refused, and the message names the file that differs.
    """
    from gliomap._files import refuse_existing, require_suffix
    from gliomap.workflows import draw_folds

    require_suffix(out, "a file of folds", ".json")
    refuse_existing(out, overwrite=ui.overwrite)
    drawn = draw_folds(folder, {"protocol": protocol, "folds": folds, "seed": seed, "sensor": sensor}, track=ui.track)
    drawn.save(out)
    if ui.as_json:
        ui.result({"file": str(out), "protocol": protocol, "fingerprint": drawn.fingerprint, **describe_folds(drawn)})
        return
    table_of_folds(ui, drawn, folder.resolve().name)
    ui.text(f"Folds: {out}", f"Next: {command_line('train', folder, '--split', out)}")


def _print_check(ui: Ui, outcome: StudyCheck) -> None:
    columns = ["capture", "from", "cube", *outcome.classes, "other"]
    rows = [_cells(row) for row in outcome.rows]
    if all(row[-1] == "" for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    ui.table(columns, rows, title=f"{outcome.study}: labelled pixels", numbers="  " + "r" * (len(columns) - 2))
    together: dict[tuple[str, str], list[str]] = {}  # a finding shared by many captures is printed once
    for finding in outcome.findings:
        told = f"{finding.message}. {finding.remedy}".rstrip()
        together.setdefault((finding.severity, told), []).append(finding.thing)
    for (severity, told), things in together.items():
        more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
        ui.text(f"{severity}: {', '.join(things[:_NAMED])}{more}: {told}")
    counts = Counter(severity for severity, _ in together)
    verdict = ", ".join(
        counted(counts[severity], severity) for severity in ("error", "warning", "note") if counts[severity]
    )
    ui.text(f"{'Sound' if outcome.ok else 'Not sound'}: {verdict or 'no findings'}.")


def _cells(row: CaptureRow) -> list[str]:
    # A capture's name contains its patient, unless study.toml has an alias.
    capture = row.capture if row.capture.startswith(row.patient) else f"{row.capture} = {row.patient}"
    shape = "" if row.cube_shape is None else "×".join(map(str, row.cube_shape))
    other = row.ignored + row.unknown
    labelled = [f"{count:,}" if count else "" for count in row.labelled.values()]
    return [capture, row.image, shape, *labelled, f"{other:,}" if other else ""]
