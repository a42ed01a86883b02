"""`gliomap demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap._text import command_line
from gliomap.cli._app import app
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb

if TYPE_CHECKING:
    from gliomap.workflows import Demo

_COLOURS = {
    (0, 255, 0): "green",
    (255, 0, 0): "red",
    (0, 0, 255): "blue",
    (0, 255, 255): "cyan",
    (255, 0, 255): "magenta",
}


@verb(app, "demo", writes=True, examples=("gliomap demo", "gliomap demo --out /tmp/first-look --threads 2"))
def demo(
    ui: Ui,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for all output.")] = Path(
        "gliomap-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Seed of the patients and the training.")] = 0,
) -> None:
    """Run the whole workflow on a phantom study, in a minute or two.

    It makes six synthetic patients, trains the thesis's network on five of them,
    evaluates it on the sixth, writes a bundle, and classifies the sixth patient's
    raw frame with it.
    """
    from gliomap.workflows import demo as run_demo

    made = run_demo(out, seed=seed, threads=ui.threads, overwrite=ui.overwrite, track=ui.track)
    _tell(ui, made)


def _tell(ui: Ui, made: Demo) -> None:
    from gliomap.evaluation import summary_line

    record, result = made.evaluation, made.classification.result
    summary = summary_line(record.pooled, record.classes)
    if ui.as_json:
        ui.result(
            {
                "folder": str(made.folder),
                "study": str(made.study),
                "run": str(made.run),
                "bundle": str(made.bundle),
                "result": str(made.result),
                "contact_sheet": str(made.sheet),
                "pictures": [str(path) for path in made.pictures],
                "patient": made.patient,
                "capture": made.capture,
                "pooled": record.pooled.as_dict(),
                "classification": result.model_dump(mode="json"),
                "seconds": made.seconds,
                "notice": result.notice,
            }
        )
        return
    truth = made.pictures[0]
    frame_ms = result.timings_ms["total"]
    height, width = result.shape
    ui.text(
        "",
        f"Patient {made.patient}, never seen by the network: {summary}",
        f"The raw frame was turned into a map of {height}×{width} pixels in {frame_ms:.0f} ms.",
        "",
    )
    pictures = {
        "Its map beside its labels": truth,
        "The map over the frame, which shows through where the network is less confident": made.result
        / result.files["overlay"],
        "All patients with their labels": made.sheet,
        "More from the evaluation": truth.parent,
        "The bundle, all that a camera's computer needs": made.bundle,
    }
    for what, path in pictures.items():
        ui.text(f"{what}:", f"  {path}")
    colours = ", ".join(f"{kind.name} {_COLOURS.get(kind.colour, kind.colour)}" for kind in result.classes)
    ui.text(
        "",
        f"Colours: {colours}; hatched: not classified.",
        "On drape and gauze, outside the opening, the map is wrong: the network has no class for them.",
        "These are synthetic patients, easier than real ones, and one patient is not a measurement.",
        f"{result.notice}. A map never says 'no tumour'.",
        "",
        f"Next: {command_line('report', made.run)}",
        f"Try: {command_line('classify', made.bundle, '--study', made.study, '--capture', made.capture)}",
    )
