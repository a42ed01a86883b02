"""`gliomap azure check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from gliomap.cli._azure_options import DryRun, Where, azure_verb, show_documents
from gliomap.cli._ui import Ui

if TYPE_CHECKING:
    from gliomap.deploy.azure import Checked


@azure_verb(
    "check",
    examples=("gliomap azure check", "gliomap azure check --config config.json --json"),
)
def check(
    ui: Ui,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Check the workspace: identity, stores, computes, quotas.

    If something is missing, it says what creates it and exits with code 2. The
    dry run prints a workspace and a cluster as GlioMap needs them.
    """
    from gliomap.deploy.azure import check_workspace, cluster_document, workspace_document

    if dry_run:
        show_documents(ui, workspace_document(where.settings()), cluster_document())
        return
    with where.connected() as connection:
        checked = check_workspace(connection)
    if ui.as_json:
        ui.result(asdict(checked))
    else:
        _tell(ui, checked)
    if checked.missing:
        raise typer.Exit(2)


def _tell(ui: Ui, checked: Checked) -> None:
    ui.facts([("workspace", checked.workspace), ("region", checked.location), ("you are", checked.identity)])
    default = next(iter(checked.datastores))
    ui.table(
        ["datastore", "container", ""],
        [(name, place, "default" if name == default else "") for name, place in checked.datastores.items()],
    )
    ui.table(
        ["compute", "type", "machine", "state", "max nodes"],
        [(one.name, one.type, one.size, one.state, one.nodes) for one in checked.computes],
        numbers="    r",
    )
    ui.table(["quota", "used", "limit"], [(one.name, one.used, one.limit) for one in checked.quotas], numbers=" rr")
    for one in checked.missing:
        ui.text(f"missing: {one.what}. {one.remedy}")
    ui.text("Ready." if not checked.missing else f"Not ready: {len(checked.missing)} missing.")
