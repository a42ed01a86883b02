"""`gliomap azure upload|dataset|download`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap._text import command_line, counted
from gliomap.cli._azure_options import DryRun, Where, azure_app, azure_verb, show_documents, tell_command
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group

if TYPE_CHECKING:
    from gliomap.deploy.azure import Asset, Transfer

dataset_app = group(azure_app, "dataset", "Versioned data assets of an uploaded study.")


class Part(StrEnum):
    """Parts of a study; an enum because typer cannot parse a list of a Literal."""

    study = "study"
    captures = "captures"
    cubes = "cubes"
    ground_truth = "ground-truth"
    datasets = "datasets"


@azure_verb(
    "upload",
    writes=True,
    examples=("gliomap azure upload study", "gliomap azure upload study --to nemesis --dry-run"),
)
def upload(
    ui: Ui,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study folder.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FOLDER", help="Folder in the default datastore; named like STUDY by default."),
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Upload a study to the default datastore, in the thesis's layout.

    Files are sent in parallel, each with its SHA-256. Files already there are
    skipped, so the same command resumes an interrupted upload. A file that
    differs from the one already there is refused.
    """
    from gliomap.deploy.azure import azure_faults, check_name, study_files, upload_document, upload_study
    from gliomap.studies import open_study

    found = open_study(study)
    folder = check_name(to or found.root.resolve().name, "folder")
    if dry_run:
        files = study_files(found)
        ui.say(
            f"{counted(len(files), 'file')}, {sum(path.stat().st_size for path in files.values()) / 1e6:.1f} MB, to {folder}/"
        )
        show_documents(ui, upload_document(found.root, folder))
        return
    with where.connected() as connection:
        container = connection.container()
        with azure_faults(f"upload to {folder}"):
            done = upload_study(container, found, folder, overwrite=ui.overwrite, track=ui.track)
    if ui.as_json:
        ui.result({"folder": folder, "fingerprint": done.inventory.fingerprint(), **asdict(done.transfer)})
        return
    ui.text(_told(done.transfer, "sent"), f"Folder: {folder}/ in {container.account_name}/{container.container_name}")
    ui.text(f"Next: {command_line('azure', 'dataset', 'create', folder)}")


@azure_verb(
    "create",
    app=dataset_app,
    within="azure dataset",
    examples=(
        "gliomap azure dataset create study",
        "gliomap azure dataset create study --part cubes --dry-run",
    ),
)
def create(
    ui: Ui,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder that `gliomap azure upload` wrote.")],
    part: Annotated[
        list[Part] | None, typer.Option("--part", help="Only this part; repeatable. All parts of the study by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the assets; FOLDER by default.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="Version; the next number by default.")
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Create data assets from an uploaded study.

    They are named NAME, NAME-captures, -cubes, -ground-truth and -datasets. Every
    file is checked first. No new version is created if the newest one has the
    same files.
    """
    from gliomap.deploy.azure import PARTS, asset_document, create_assets

    parts = ["" if one is Part.study else one.value for one in part] if part else list(PARTS)
    if dry_run:
        show_documents(ui, *(asset_document(folder, one, name=name, version=version) for one in parts))
        return
    with where.connected() as connection:
        made = create_assets(connection, folder, parts, name=name, version=version)
    _table(ui, made)


@azure_verb("list", app=dataset_app, within="azure dataset", examples=("gliomap azure dataset list",))
def list_(
    ui: Ui,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """List the newest version of each data asset in the workspace."""
    from gliomap.deploy.azure import list_assets

    if dry_run:
        tell_command(ui, "az ml data list")
        return
    with where.connected() as connection:
        _table(ui, list_assets(connection))


@azure_verb(
    "download",
    writes=True,
    examples=("gliomap azure download study data", "gliomap azure download study-cubes:2 data/cubes"),
)
def download(
    ui: Ui,
    asset: Annotated[str, typer.Argument(metavar="NAME[:V]", help="A data asset; its newest version if V is omitted.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for its files.")],
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Download a data asset and check every file's SHA-256.

    Files already there are skipped, so the same command resumes an interrupted
    download. Files that changed since the version was made are refused.
    """
    from gliomap.deploy.azure import download_asset

    name, _, version = asset.removeprefix("azureml:").partition(":")
    if dry_run:
        tell_command(ui, f"az ml data show --name {name} {f'--version {version}' if version else '--label latest'}")
        return
    with where.connected() as connection:
        found, transfer = download_asset(
            connection, name, version or None, folder, overwrite=ui.overwrite, track=ui.track
        )
    if ui.as_json:
        ui.result({"name": found.name, "version": found.version, "folder": str(folder), **asdict(transfer)})
        return
    ui.text(_told(transfer, "fetched"))
    if transfer.unverified:
        ui.text(f"Only the size was checked, for lack of a checksum: {counted(len(transfer.unverified), 'file')}.")
    ui.text(f"{found.name}:{found.version} in {folder}")


def _told(transfer: Transfer, did: str) -> str:
    rate = f", {transfer.bytes / 1e6 / transfer.seconds:.1f} MB/s" if transfer.sent else ""
    there = f"; {transfer.skipped} already there" if transfer.skipped else ""
    return f"{counted(transfer.sent, 'file')} {did}, {transfer.bytes / 1e6:.1f} MB in {transfer.seconds:.1f} s{rate}{there}"


def _table(ui: Ui, assets: list[Asset]) -> None:
    if ui.as_json:
        ui.result([asdict(one) for one in assets])
        return
    rows = [
        (one.name, one.version, one.part or "", one.patients or "", one.fingerprint[:12], "new" if one.created else "")
        for one in assets
    ]
    ui.table(["data asset", "version", "part", "patients", "fingerprint", ""], rows, numbers=" r r  ")
