"""`gliomap azure deploy|undeploy|score`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliomap.cli._azure_options import DryRun, Where, azure_verb, show_documents, tell_command
from gliomap.cli._map_table import tell_map, tell_written
from gliomap.cli._options import DarkFrame, WhiteDarkFrame, WhiteFrame
from gliomap.cli._ui import Ui
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.deploy.azure import Deployed


Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")]


@azure_verb(
    "deploy",
    examples=(
        "gliomap azure deploy run/bundle --endpoint brain",
        "gliomap azure deploy lda_holdout:3 --endpoint brain --traffic 10",
        "gliomap azure deploy run/bundle --endpoint brain \\\n      --to kubernetes --compute aks",
    ),
)
def deploy(
    ui: Ui,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A local bundle, or a registered NAME[:V].")],
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="NAME", help="Endpoint; created if it does not exist.")
    ] = "gliomap",
    to: Annotated[
        Literal["managed", "kubernetes"], typer.Option("--to", help="Azure's machines, or your own cluster.")
    ] = "managed",
    deployment: Annotated[
        str | None, typer.Option("--deployment", metavar="NAME", help="By default blue or green, whichever is free.")
    ] = None,
    traffic: Annotated[
        int,
        typer.Option("--traffic", metavar="PERCENT", min=0, max=100, help="Share of requests for the new deployment."),
    ] = 100,
    instance_type: Annotated[
        str | None,
        typer.Option("--instance-type", metavar="T", help="By default Standard_DS3_v2, or the cluster's own."),
    ] = None,
    instances: Annotated[int, typer.Option("--instances", metavar="N", min=1, help="Number of instances.")] = 1,
    compute: Annotated[
        str | None, typer.Option("--compute", metavar="NAME", help="The attached cluster, for --to kubernetes.")
    ] = None,
    auth: Annotated[Literal["key", "entra"], typer.Option("--auth", help="Endpoint key, or Entra sign-in.")] = "key",
    register: Annotated[
        str | None, typer.Option("--register", metavar="NAME", help="Name of the model; the bundle's own by default.")
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Deploy a bundle behind an endpoint and wait until it answers.

    A new deployment runs beside the old one and gets its share of the requests
    once it answers. One that never becomes healthy gets none; its log is shown.
    """
    from gliomap.deploy.azure import EndpointPlan, as_reference, deploy_bundle, local_model, planned_documents

    bundle = local_model(model)
    plan = EndpointPlan(
        endpoint=endpoint,
        deployment=deployment or "blue",
        kind=to,
        model=as_reference(bundle or model, register),
        auth=auth,
        instance_type=instance_type,
        instances=instances,
        compute=compute,
    )
    if dry_run:
        show_documents(ui, *planned_documents(plan, bundle, register))
        return
    with where.connected() as connection:
        done = deploy_bundle(
            connection,
            bundle or model,
            plan,
            chosen=deployment is not None,
            share=traffic,
            register=register,
            say=ui.say,
        )
    _tell_deployed(ui, done)


def _tell_deployed(ui: Ui, done: Deployed) -> None:
    if ui.as_json:
        ui.result(asdict(done))
        return
    ui.table(["stage", "s"], [(stage, f"{took:.1f}") for stage, took in done.seconds.items()], numbers=" r")
    shares = ", ".join(f"{name} {share} %" for name, share in done.traffic.items())
    ui.text(f"{done.model} behind {done.endpoint}: {shares}", f"Address: {done.address}")
    ui.text(f"Next: gliomap azure score {done.endpoint} --raw raw.tif --white white.tif --dark dark.tif")


@azure_verb(
    "undeploy",
    examples=("gliomap azure undeploy brain --deployment blue", "gliomap azure undeploy brain"),
)
def undeploy(
    ui: Ui,
    endpoint: Endpoint,
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", metavar="NAME", help="Only this deployment; its share of the requests must be 0."),
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Delete an endpoint with all its deployments, or one of them.

    Registered models are kept.
    """
    from gliomap.deploy.azure import undeploy as take_away

    if dry_run:
        one = f"online-deployment delete --endpoint-name {endpoint} --name {deployment}"
        tell_command(ui, f"az ml {one if deployment else f'online-endpoint delete --name {endpoint}'}")
        return
    with where.connected() as connection:
        gone = take_away(connection, endpoint, deployment)
    if ui.as_json:
        ui.result({"removed": gone})
        return
    ui.text(*(f"Removed: {name}" for name in gone))


@azure_verb(
    "score",
    writes=True,
    examples=("gliomap azure score brain --raw raw.tif --white white.tif --dark dark.tif \\\n      -o map",),
)
def score(
    ui: Ui,
    endpoint: Endpoint,
    raw: Annotated[Path, typer.Option("--raw", metavar="FILE", help="Raw frame, TIFF of uint8 or uint16.")],
    white: WhiteFrame = None,
    dark: DarkFrame = None,
    white_dark: WhiteDarkFrame = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", metavar="NAME", help="Send to this deployment, whatever its share.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the files that `gliomap classify -o` writes."),
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Send a frame to an endpoint; get its map and the timings."""
    from gliomap._files import refuse_existing
    from gliomap.deploy.azure import score_in_azure
    from gliomap.engine import RESULT

    if white is None or dark is None:
        raise UsageError("azure score", "no references given", "Give --white and --dark.")
    if out is not None:
        refuse_existing(out, overwrite=ui.overwrite, mark=RESULT)
    if dry_run:
        chosen = f" --deployment-name {deployment}" if deployment else ""
        tell_command(ui, f"az ml online-endpoint invoke --name {endpoint}{chosen} --request-file REQUEST.json")
        return
    frames = {"raw": raw, "white": white, "dark": dark, **({} if white_dark is None else {"white_dark": white_dark})}
    with where.connected() as connection:
        done = score_in_azure(connection, endpoint, frames, out, deployment=deployment, overwrite=ui.overwrite)
    if ui.as_json:
        ui.result({"folder": None if out is None else str(out), **asdict(done)})
        return
    for warning in done.result["warnings"]:
        ui.warn(warning)
    tell_map(ui, done.result)
    there = {stage: took / 1e3 for stage, took in done.result["timings_ms"].items()}
    ui.table(
        ["time", "s"],
        [(stage.replace("_", " "), f"{took:.3f}") for stage, took in {**done.seconds, **there}.items()],
        numbers=" r",
    )
    ui.text(f"{done.sent / 1e6:.1f} MB sent, {done.received / 1e6:.1f} MB received")
    tell_written(ui, done.result["notice"], *([] if out is None else [f"Map: {out / 'map.png'}"]))
