"""`gliomap archive list`, `show`, `export` and `verify`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap._text import counted
from gliomap.cli._app import app
from gliomap.cli._map_table import tell_map
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import ArchiveError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from gliomap.serving.archive import ArchiveReader

archive_app = group(app, "archive", "A service's archived answers: list, show, export, verify.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder passed to `gliomap serve --archive`.")]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Database of the index, if it is not the SQLite file in DIR.")
]


@verb(
    archive_app,
    "list",
    within="archive",
    examples=("gliomap archive list cases", "gliomap archive list cases --patient ID0018 --since 2026-11-01 --json"),
)
def list_cases(
    ui: Ui,
    folder: Folder,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="ID", help="Patient identifier, or its pseudonym p-….")
    ] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="NAME", help="Only cases of this client.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Received at or after this time, such as 2026-11-23T10:00."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=1, max=1_000_000, help="List at most the N newest cases.")
    ] = 100,
    url: Url = None,
) -> None:
    """List cases, newest first."""
    # One row more than is shown reveals whether there are more.
    found = _reader(folder, url).rows(patient=patient, client=client, since=_moment(since), most=most + 1)
    rows, more = found[:most], len(found) > most
    if ui.as_json:
        ui.result(
            [
                {name: getattr(row, name) for name in row.__slots__} | {"received_at": row.received_at.isoformat()}
                for row in rows
            ]
        )
        return
    ui.table(
        ["case (starts with its UTC time)", "kind", "client", "patient", "frame"],
        [(row.id, row.kind, row.client, row.patient, "kept" if row.has_raw else "") for row in rows],
        title=f"The newest {counted(most, 'case')}; there are more" if more else counted(len(rows), "case"),
    )
    if more:
        ui.text("Use --most N to list more.")


@verb(
    archive_app,
    "show",
    within="archive",
    examples=("gliomap archive show cases 20261123T091501123456-1a2b3c4d",),
)
def show(
    ui: Ui,
    folder: Folder,
    case: Annotated[str, typer.Argument(metavar="ID", help="Case id from `gliomap archive list`.")],
) -> None:
    """Show one archived case after verifying its hashes."""
    kept = _reader(folder).case(case)
    record = kept.record
    if ui.as_json:
        ui.result(record.model_dump(mode="json"))
        return
    ui.facts(
        [
            ("case", record.id),
            ("received", f"{record.received_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("requested by", f"{record.client} ({record.kind})"),
            ("patient", record.patient),
            ("references", record.references),
            ("model", f"{record.model} {record.model_version}".strip()),
            ("bundle", record.bundle),
            ("answer", record.answer),
            ("files", ", ".join(f"{name} ({len(content):,} bytes)" for name, content in kept.files.items())),
        ]
    )
    tell_map(ui, record.result)


@verb(
    archive_app,
    "export",
    within="archive",
    writes=True,
    examples=(
        "gliomap archive export cases -o export",
        "gliomap archive export cases 20261123T091501123456-1a2b3c4d -o one",
    ),
)
def export(
    ui: Ui,
    folder: Folder,
    cases: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Cases to export; all by default.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")] = Path("export"),
) -> None:
    """Unpack each case into its own folder.

    Each folder contains case.json, labels.png and, if it was kept, raw.tif.
    audit.jsonl beside the folders contains the audit-log lines of these cases.
    """
    reader = _reader(folder)
    folders = reader.export(cases or reader.ids(), out, overwrite=ui.overwrite, track=ui.track)
    if ui.as_json:
        ui.result({"folder": str(out), "cases": [path.name for path in folders]})
        return
    ui.text(f"{counted(len(folders), 'case')}: {out}")


@verb(
    archive_app,
    "verify",
    within="archive",
    examples=("gliomap archive verify cases", "gliomap archive verify cases --json"),
)
def verify(ui: Ui, folder: Folder, url: Url = None) -> None:
    """Check files, hashes, audit log and index against each other.

    The exit code is 2 if something is wrong.
    """
    found = _reader(folder, url).verify(ui.track)
    if ui.as_json:
        ui.result({name: getattr(found, name) for name in found.__slots__})
    else:
        ui.text(f"Intact: {found.whole} of {counted(found.cases, 'case')}. Lines in the audit log: {found.entries}.")
        ui.text(*(f"note: {note}" for note in found.notes), *(f"fault: {fault}" for fault in found.faults))
        if not found.faults:
            ui.text("No faults found.")
    if found.faults:
        raise ArchiveError(folder, f"has {counted(len(found.faults), 'fault')}", "Restore damaged files from a backup.")


def _reader(folder: Path, url: str | None = None) -> ArchiveReader:
    try:
        from gliomap.serving.archive import ArchiveReader
    except ModuleNotFoundError as error:
        raise MissingExtraError("gliomap archive", "serve") from error
    return ArchiveReader(folder, url)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("--since", f"{text!r} is not a date", "Write it as 2026-11-23 or 2026-11-23T10:00.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
