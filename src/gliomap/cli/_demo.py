"""`gliomap demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb


@verb(app, "demo", writes=True, examples=("gliomap demo", "gliomap demo --out /tmp/first-look --threads 2"))
def demo(
    ui: Ui,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything that is made.")] = Path(
        "gliomap-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Of patients and training.")] = 0,
) -> None:
    """Do the whole job on a phantom study, in a few minutes.

    Makes six synthetic patients, trains the thesis's network on five of them,
    evaluates it on the sixth, writes a bundle, and classifies the sixth patient's
    raw frame with it.
    """
    from gliomap.workflows import demo as run_demo

    outcome = run_demo(out, seed=seed, threads=ui.threads, overwrite=ui.overwrite, track=ui.track)
