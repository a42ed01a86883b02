"""Options that several verbs share, and the words they accept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.captures import Exposures
    from gliomap.workflows import FrameFiles

__all__ = [
    "BackendChoice",
    "BundlePath",
    "DarkFrame",
    "Frames",
    "NormalisationName",
    "PaletteChoice",
    "RawFrame",
    "SensorName",
    "TrackingUri",
    "WhiteDarkFrame",
    "WhiteFrame",
    "sensor_names",
]


NormalisationName = Literal["brightness", "none", "snv", "minmax", "area"]
"""What each spectrum is divided by; see `PreprocessingConfig`."""


def sensor_names(incomplete: str) -> list[str]:
    """Complete the name of a sensor in the shell."""
    from gliomap.sensors import list_sensors

    return [name for name in list_sensors() if name.startswith(incomplete)]


TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking",
        metavar="URI",
        help="MLflow: an address, sqlite:///FILE.db or 'none'; by default MLFLOW_TRACKING_URI, else beside the study.",
    ),
]

SensorName = Annotated[
    str | None,
    typer.Option(
        "--sensor",
        metavar="NAME|FILE",
        autocompletion=sensor_names,
        help="Camera: a name from `gliomap sensor list`, a .toml file or a vendor's .xml file.",
    ),
]
BackendChoice = Annotated[Literal["onnxruntime", "openvino"], typer.Option("--backend", help="Runtime for the bundle.")]
PaletteChoice = Annotated[
    Literal["classic", "safe"],
    typer.Option("--palette", help="Colours of the classes; 'safe' suits colour-blind readers."),
]
BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A bundle (folder or .zip), or models:/NAME/VERSION.")
]
RawFrame = Annotated[Path | None, typer.Option("--raw", metavar="FILE", help="Raw frame, TIFF of uint8 or uint16.")]
WhiteFrame = Annotated[Path | None, typer.Option("--white", metavar="FILE", help="White reference of the same camera.")]
DarkFrame = Annotated[Path | None, typer.Option("--dark", metavar="FILE", help="Dark reference of the same camera.")]
WhiteDarkFrame = Annotated[
    Path | None,
    typer.Option("--white-dark", metavar="FILE", help="Dark frame taken with the white's exposure, if it differs."),
]


@dataclass(frozen=True)
class Frames:
    """One exposure with its references."""

    raw: RawFrame = None
    white: WhiteFrame = None
    dark: DarkFrame = None
    white_dark: WhiteDarkFrame = None
    exposures: Annotated[
        str | None,
        typer.Option("--exposures", metavar="RAW,WHITE,DARK", help="Exposure times in ms, if they differ: 40,12,40."),
    ] = None
    msb_aligned: Annotated[
        bool | None,
        typer.Option(
            "--msb-aligned/--lsb-aligned", help="Alignment of the bits within 16; detected from the frame by default."
        ),
    ] = None

    def flags(self) -> list[str]:
        """The flags that were given."""
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return [f"--{name.replace('_', '-')}" for name in given]

    def files(self, verb: str, remedy: str) -> FrameFiles:
        """The files in the form that the workflows take.

        Raises
        ------
        UsageError
            A file is missing, or the exposure times cannot be parsed.
        """
        from gliomap.workflows import FrameFiles

        if self.raw is None or self.white is None or self.dark is None:
            missing = [flag for flag in ("--raw", "--white", "--dark") if flag not in self.flags()]
            raise UsageError(verb, f"{', '.join(missing)} not given", remedy)
        times = None if self.exposures is None else _exposures(self.exposures)
        return FrameFiles(self.raw, self.white, self.dark, self.white_dark, times, self.msb_aligned)


def _exposures(text: str) -> Exposures:
    """Three times in ms, or four if there is a dark frame for the white."""
    from gliomap.captures import Exposures

    try:
        times = [float(part) for part in text.split(",")]
    except ValueError:
        times = []
    if len(times) not in (3, 4):
        raise UsageError(
            f"--exposures {text!r}",
            "is not three times in ms (raw, white, dark)",
            "Separate them with commas: --exposures 40,12,40 (a fourth for --white-dark).",
        )
    return Exposures(*times)
