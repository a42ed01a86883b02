"""Options that several verbs share, and the words they accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.captures import Exposures

__all__ = [
    "BackendChoice",
    "BundlePath",
    "DarkFrame",
    "ExposureTimes",
    "MsbAligned",
    "NormalisationName",
    "PaletteChoice",
    "RawFrame",
    "SensorName",
    "TrackingUri",
    "WhiteDarkFrame",
    "WhiteFrame",
    "parse_exposures",
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
        help="MLflow: an address, sqlite:///FILE.db or 'none'; if not given MLFLOW_TRACKING_URI, else beside the study.",
    ),
]

SensorName = Annotated[
    str | None,
    typer.Option(
        "--sensor",
        metavar="NAME|FILE",
        autocompletion=sensor_names,
        help="Camera: a name from `gliomap sensor list`, a .toml or a vendor's .xml file.",
    ),
]
BackendChoice = Annotated[Literal["onnxruntime", "openvino"], typer.Option("--backend", help="What runs the bundle.")]
PaletteChoice = Annotated[
    Literal["classic", "safe"],
    typer.Option("--palette", help="Colours of the classes; safe can be told apart by people with colour blindness."),
]
BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A bundle, folder or .zip, or models:/NAME/VERSION.")
]
RawFrame = Annotated[Path | None, typer.Option("--raw", metavar="FILE", help="Raw frame, TIFF of uint8 or uint16.")]
WhiteFrame = Annotated[Path | None, typer.Option("--white", metavar="FILE", help="White reference of the same camera.")]
DarkFrame = Annotated[Path | None, typer.Option("--dark", metavar="FILE", help="Dark reference of the same camera.")]
WhiteDarkFrame = Annotated[
    Path | None,
    typer.Option("--white-dark", metavar="FILE", help="Dark frame taken with the white's exposure, if it differs."),
]
ExposureTimes = Annotated[
    str | None,
    typer.Option("--exposures", metavar="RAW,WHITE,DARK", help="Exposure times in ms, where they differ: 40,12,40."),
]
MsbAligned = Annotated[
    bool | None,
    typer.Option(
        "--msb-aligned/--lsb-aligned", help="Where the bits stand in 16; found out from the frame unless given."
    ),
]


def parse_exposures(text: str | None) -> Exposures | None:
    """Read `--exposures`: three times in ms, or four where a dark frame matches the white.

    Raises
    ------
    UsageError
        Anything else.
    """
    from gliomap.captures import Exposures

    if text is None:
        return None
    try:
        times = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise _bad_exposures(text) from error
    if len(times) not in (3, 4):
        raise _bad_exposures(text)
    return Exposures(*times)


def _bad_exposures(text: str) -> UsageError:
    return UsageError(
        f"--exposures {text!r}",
        "is not three times in ms (raw, white, dark)",
        "Write them with commas between: --exposures 40,12,40 (a fourth for --white-dark).",
    )
