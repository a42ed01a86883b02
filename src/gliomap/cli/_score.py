"""`gliomap score`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._files import atomic_folder
from gliomap.cli._app import app
from gliomap.cli._map_table import tell_map, tell_written
from gliomap.cli._options import DarkFrame, PaletteChoice, RawFrame, WhiteDarkFrame, WhiteFrame
from gliomap.cli._service import Access, Url
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import MachineError, RequestError, UsageError

if TYPE_CHECKING:
    from gliomap.serving import Client, References


@verb(
    app,
    "score",
    writes=True,
    examples=(
        "gliomap score http://127.0.0.1:8000 --raw raw.tif --white white.tif \\\n      --dark dark.tif -o map",
        "gliomap score http://127.0.0.1:8000 --raw raw.tif --references or-1 -o map",
        "gliomap score http://127.0.0.1:8000 --watch frames --white white.tif \\\n      --dark dark.tif",
    ),
)
def score(
    ui: Ui,
    url: Url,
    raw: RawFrame = None,
    white: WhiteFrame = None,
    dark: DarkFrame = None,
    white_dark: WhiteDarkFrame = None,
    references: Annotated[
        str | None, typer.Option("--references", metavar="ID", help="References that the service already holds.")
    ] = None,
    watch: Annotated[
        Path | None, typer.Option("--watch", metavar="DIR", help="Send each frame that appears in DIR, until Ctrl-C.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Folder for results; with --watch beside the frames by default."
        ),
    ] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="ID", help="Patient identifier, for the service's archive.")
    ] = None,
    palette: PaletteChoice = "classic",
    *,
    access: Access,
) -> None:
    """Get a service's map of a frame, or of every frame in a folder.

    -o DIR gets the files that `gliomap classify -o` writes. --watch writes
    FRAME_map.png, FRAME_result.json and so on beside each frame, and skips frames
    that already have them.
    """
    if (raw is None) == (watch is None):
        raise UsageError("score", "needs either --raw or --watch", "Give the frame, or the folder of frames.")
    if references is not None:
        if any(own is not None for own in (white, dark, white_dark)):
            raise UsageError(
                "score",
                "--references was given together with reference files",
                "Give --white and --dark, or --references ID.",
            )
        kept: References = references
    elif white is not None and dark is not None:
        kept = white, dark
    else:
        raise UsageError("score", "no references given", "Give --white and --dark, or --references ID.")
    with access.client("score", url) as client:
        if raw is not None and white_dark is None:
            _once(ui, client, raw, kept, out, patient, palette)
            return
        with _put(ui, client, kept, white_dark) as (name, renew):
            if raw is not None:
                _once(ui, client, raw, name, out, patient, palette)
            elif watch is not None:
                _watch(ui, client, watch, name, out, patient, palette, renew)


@contextmanager
def _put(
    ui: Ui, client: Client, references: References, white_dark: Path | None
) -> Iterator[tuple[str, Callable[[], object] | None]]:
    """The id of the references, and a function that sends them again, if they are files: these are sent, and deleted at the end."""
    if isinstance(references, str):
        client.get_references(references)  # reports a wrong address, key or name now, not with the first frame
        yield references, None
        return
    name = f"score-{uuid.uuid4().hex[:12]}"

    def send() -> None:
        for warning in client.put_references(name, *references, white_dark=white_dark).warnings:
            ui.warn(warning)

    def renew() -> None:
        send()
        ui.warn(
            "the service had lost the references, so they were sent again; without a time of their own they count as new"
        )

    send()
    try:
        yield name, renew
    finally:
        with suppress(MachineError, RequestError):  # a service that has stopped no longer holds them
            client.delete_references(name)


def _once(
    ui: Ui,
    client: Client,
    raw: Path,
    references: References,
    out: Path | None,
    patient: str | None,
    palette: str,
) -> None:
    from gliomap.serving import score_frame

    if out is None:
        answer = client.summary(raw, references, patient=patient, palette=palette)
        result: dict[str, Any] = answer.model_dump(mode="json")
        result.pop("labels_png")
    else:
        with atomic_folder(out, overwrite=ui.overwrite) as folder:
            result = score_frame(client, raw, references, folder, patient=patient, palette=palette)
    if ui.as_json:
        ui.result({"folder": None if out is None else str(out), **result})
        return
    height, width = result["shape"]
    for warning in result["warnings"]:
        ui.warn(warning)
    tell_map(ui, result, title=f"{height}×{width} pixels")
    pictures = [] if out is None else [f"Map: {out / 'map.png'}", f"Overlay: {out / 'overlay.png'}"]
    tell_written(ui, result["notice"], *pictures)


def _watch(
    ui: Ui,
    client: Client,
    folder: Path,
    references: str,
    out: Path | None,
    patient: str | None,
    palette: str,
    renew: Callable[[], object] | None,
) -> None:
    from gliomap.serving import watch

    if not folder.is_dir():
        raise UsageError(folder, "is not a folder", "Name the folder that the camera writes to.")
    target = folder if out is None else out
    target.mkdir(parents=True, exist_ok=True)
    ui.say(f"watching {folder}; maps go to {target}; Ctrl-C ends it")
    told: set[str] = set()
    for scored in watch(client, folder, target, references=references, patient=patient, palette=palette, renew=renew):
        if ui.as_json:
            told_now = {"fault": scored.fault, "again": scored.again, "result": scored.result}
            ui.result({"frame": str(scored.frame), **told_now}, event=True)
        elif scored.again:
            ui.text(f"{scored.frame.name}: waiting. {scored.fault}")
        elif scored.fault is not None:
            ui.text(f"{scored.frame.name}: {scored.fault}")
        else:
            ui.text(f"{scored.frame.name}: {target / f'{scored.frame.stem}_map.png'}")
            # A warning that holds for every frame is printed once; one that returns, as for a shadow, is printed again.
            warnings = scored.result["warnings"] if scored.result is not None else ()
            for warning in warnings:
                if warning not in told:
                    ui.warn(f"{scored.frame.name}: {warning}")
            told = set(warnings)
