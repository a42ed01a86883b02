"""`gliomap bundle create|show|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gliomap._text import command_line
from gliomap.cli._app import app
from gliomap.cli._models import bundle_path
from gliomap.cli._options import BundlePath, NormalisationName, SensorName, TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.bundles import Bundle

bundle_app = group(app, "bundle", "Portable model bundles: create, show, verify.")


RunFolder = Annotated[Path | None, typer.Argument(metavar="RUN", help="A run folder of `gliomap train`.")]
BundleOut = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="BUNDLE", help="Folder or .zip; RUN/bundle by default.")
]
WeightsArchitecture = Annotated[
    Literal["conv2d", "fourlayer"] | None, typer.Option("--architecture", help="Architecture of the weights.")
]
WeightsFile = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="safetensors file with the thesis's names.")
]
Normalisation = Annotated[
    NormalisationName,
    typer.Option("--normalisation", help="Normalisation of the cubes that the weights were trained on."),
]
NoCorrection = Annotated[bool, typer.Option("--no-correction", help="Those cubes had no spectral correction.")]
BundleName = Annotated[str | None, typer.Option("--name", help="Name of a bundle made from weights.")]
ReducedPrecision = Annotated[
    bool, typer.Option("--reduced-precision", help="Measure openvino's reduced precision as well.")
]

_TWO_WAYS = "Give a run (gliomap bundle create RUN), or --architecture and --weights with -o BUNDLE."


@verb(
    bundle_app,
    "create",
    within="bundle",
    writes=True,
    examples=(
        "gliomap bundle create run",
        "gliomap bundle create run -o bundle.zip",
        "gliomap bundle create --architecture conv2d --weights weights.safetensors \\\n      --sensor nemesis -o bundle",
    ),
)
def create(
    ui: Ui,
    run: RunFolder = None,
    out: BundleOut = None,
    architecture: WeightsArchitecture = None,
    weights: WeightsFile = None,
    sensor: SensorName = None,
    normalisation: Normalisation = "brightness",
    no_correction: NoCorrection = False,
    name: BundleName = None,
    reduced: ReducedPrecision = False,
    tracking: TrackingUri = None,
) -> None:
    """Create a bundle from a run, or from weights alone.

    The graphs are always compared with the model on a rendered scene. A bundle
    that computes something else is refused. Without a sensor a bundle takes only
    preprocessed cubes.
    """
    from gliomap.workflows import bundle_from_weights, make_bundle

    common: dict[str, Any] = {"overwrite": ui.overwrite, "threads": ui.threads, "track": ui.track}
    of_weights = {
        "--architecture": architecture is not None,
        "--weights": weights is not None,
        "--normalisation": normalisation != "brightness",
        "--no-correction": no_correction,
        "--name": name is not None,
    }
    if run is not None:
        named = [flag for flag, given in of_weights.items() if given]
        if named:
            raise UsageError(f"bundle create {run}", f"{', '.join(named)} cannot be combined with a run", _TWO_WAYS)
        from gliomap.tracking import store_of_run

        store = store_of_run(run, tracking) if out is None else None
        made = make_bundle(run, out, sensor=sensor, reduced_precision=reduced, store=store, **common)
    else:
        if architecture is None or weights is None or out is None:
            given = {"--architecture": architecture, "--weights": weights, "-o": out}
            missing = [flag for flag, value in given.items() if value is None]
            raise UsageError("bundle create", f"{', '.join(missing)} not given", _TWO_WAYS)
        from gliomap.preprocessing import PreprocessingConfig

        chain = PreprocessingConfig(spectral_correction=not no_correction, normalisation=normalisation)
        made = bundle_from_weights(
            architecture,
            weights,
            out,
            sensor=sensor,
            preprocessing=chain,
            name=name,
            reduced_precision=reduced,
            **common,
        )
    _tell(ui, made)


@verb(
    bundle_app,
    "show",
    within="bundle",
    examples=("gliomap bundle show bundle", "gliomap bundle show bundle.zip --json"),
)
def show(ui: Ui, bundle: BundlePath, tracking: TrackingUri = None) -> None:
    """Verify a bundle and print its card.

    With --json it prints the manifest and the identity.
    """
    from gliomap.bundles import open_bundle

    opened = open_bundle(bundle_path(bundle, tracking))
    if ui.as_json:
        ui.result(
            {"path": str(bundle), "identity": opened.identity, "manifest": opened.manifest.model_dump(mode="json")}
        )
        return
    ui.text(opened.card.rstrip("\n"), "", f"Identity: {opened.identity}")


@verb(
    bundle_app,
    "verify",
    within="bundle",
    examples=("gliomap bundle verify bundle", "gliomap bundle verify bundle --sensor nemesis"),
)
def verify(ui: Ui, bundle: BundlePath, sensor: SensorName = None, tracking: TrackingUri = None) -> None:
    """Check hashes, format and shapes, and that it is for a sensor."""
    from gliomap.bundles import open_bundle
    from gliomap.sensors import get_sensor

    opened = open_bundle(bundle_path(bundle, tracking), None if sensor is None else get_sensor(sensor))
    if ui.as_json:
        ui.result({"path": str(bundle), "identity": opened.identity, "valid": True, "sensor_checked": sensor})
        return
    fits = "" if sensor is None else f" and for sensor {sensor}"
    ui.text(f"{bundle}: intact{fits}.", f"Identity: {opened.identity}")


def _tell(ui: Ui, made: Bundle) -> None:
    manifest = made.manifest
    if ui.as_json:
        backends = {name: backend.model_dump(mode="json") for name, backend in manifest.backends.items()}
        ui.result(
            {
                "bundle": str(made.path),
                "identity": made.identity,
                "sensor": None if manifest.sensor is None else manifest.sensor.name,
                "frame_graph": made.frame_graph is not None,
                "backends": backends,
            }
        )
        return
    frames = "cubes only" if manifest.sensor is None else f"frames of {manifest.sensor.name}, and cubes"
    ui.text(f"Bundle: {made.path} ({frames})", f"Identity: {made.identity}")
    rows = [
        (
            name,
            backend.version,
            f"{backend.agreement:.2%}",
            f"{backend.largest_difference:.1e}",
            "" if backend.ms_per_frame is None else f"{backend.ms_per_frame:.1f}",
            "" if backend.ms_per_cube is None else f"{backend.ms_per_cube:.1f}",
        )
        for name, backend in manifest.backends.items()
    ]
    columns = ["backend", "version", "labels equal", "largest difference", "ms/frame", "ms/cube"]
    ui.table(columns, rows, title="Compared with the model itself", numbers="  rrrr")
    ui.text(f"Next: {command_line('classify', made.path, '--help')}")
