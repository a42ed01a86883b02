"""`gliomap phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gliomap._text import command_line, counted
from gliomap.cli._app import app
from gliomap.cli._options import SensorName
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb


@verb(
    app,
    "phantom",
    writes=True,
    examples=(
        "gliomap phantom study",
        "gliomap phantom study --patients 13 --seed 1 --difficulty realistic",
        "gliomap phantom study --patients 3 --difficulty easy --dry-run",
    ),
)
def phantom(
    ui: Ui,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The study folder to create.")],
    patients: Annotated[int, typer.Option("--patients", metavar="N", min=1, help="Synthetic patients.")] = 6,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same patients.")] = 0,
    difficulty: Annotated[
        Literal["realistic", "moderate", "easy"],
        typer.Option("--difficulty", help="How much patients differ and how well the camera sees."),
    ] = "realistic",
    sensor: SensorName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be made; write nothing.")] = False,
) -> None:
    """Make a study of synthetic patients from tissue optics.

    The folder has raw, white and dark frames, preprocessed cubes, ground-truth
    maps and labelled spectra, in the layout of a real study.
    """
    from gliomap.phantom import DEFAULT_SENSOR, make_phantom, refuse_target
    from gliomap.sensors import get_sensor

    named = sensor or DEFAULT_SENSOR
    camera = get_sensor(named)
    plan = {"folder": str(folder), "patients": patients, "seed": seed, "difficulty": difficulty}
    refuse_target(folder, overwrite=ui.overwrite)
    if not dry_run:
        make_phantom(
            folder,
            patients=patients,
            seed=seed,
            difficulty=difficulty,
            sensor=camera,
            overwrite=ui.overwrite,
            track=ui.track,
        )
    if ui.as_json:
        ui.result({**plan, "sensor": named, "dry_run": dry_run})
        return
    told = f"{counted(patients, 'synthetic patient')}, {difficulty}, seed {seed}"
    if dry_run:
        ui.text(f"Would make {told}, in {folder}")
        return
    ui.text(f"Made {told}: {folder}", f"Look at them: {command_line('study', 'show', folder, '-o', 'study.png')}")
