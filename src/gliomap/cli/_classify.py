"""`gliomap classify`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._map_table import tell_map, tell_written
from gliomap.cli._models import bundle_path
from gliomap.cli._options import BackendChoice, BundlePath, Frames, PaletteChoice, SensorName, TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.workflows import Classification, Source

CubeFile = Annotated[Path | None, typer.Option("--cube", metavar="FILE", help="A preprocessed cube, .mat or .npz.")]
StudyFolder = Annotated[Path | None, typer.Option("--study", metavar="DIR", help="A study folder; needs --capture.")]
CaptureName = Annotated[str | None, typer.Option("--capture", metavar="ID", help="A capture of the study.")]
ResultFolder = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the map, arrays and result.json.")
]
ReducedPrecision = Annotated[
    bool, typer.Option("--reduced-precision", help="Faster with openvino; some labels differ.")
]
MaxReferenceAge = Annotated[
    float | None,
    typer.Option(
        "--max-reference-age",
        metavar="MINUTES",
        min=0,
        max=525_600,
        help="Blank the map if references and frame are further apart in time, or the age is unknown. By default 60,"
        " and an unknown age is only a warning.",
    ),
]

_WAYS = "Give --raw R --white W --dark D, or --cube FILE, or --study DIR --capture ID."


@verb(
    app,
    "classify",
    writes=True,
    examples=(
        "gliomap classify bundle --raw raw.tif --white white.tif \\\n      --dark dark.tif -o map",
        "gliomap classify bundle --cube cube.npz -o map --palette safe",
        "gliomap classify bundle --study study --capture ID0003C01 --json",
        "gliomap classify models:/glioma-map/3 --study study --capture ID0003C01",
        "gliomap classify bundle.zip --study study --capture ID0003C01 \\\n      --backend openvino --max-reference-age 30",
    ),
)
def classify(
    ui: Ui,
    bundle: BundlePath,
    frames: Frames,
    cube: CubeFile = None,
    study: StudyFolder = None,
    capture: CaptureName = None,
    out: ResultFolder = None,
    palette: PaletteChoice = "classic",
    backend: BackendChoice = "onnxruntime",
    reduced: ReducedPrecision = False,
    max_reference_age: MaxReferenceAge = None,
    sensor: SensorName = None,
    tracking: TrackingUri = None,
) -> None:
    """Make a tissue map of one frame, cube or capture.

    Frames are read in the format of the bundle's sensor; --sensor only checks
    that the bundle is for that camera. -o DIR writes labels.npy (0 = not
    classified), probabilities.npy, map.png, overlay.png and result.json.

    Research software, not a medical device: a map never says 'no tumour'.
    """
    from gliomap.workflows import ClassifyOptions
    from gliomap.workflows import classify as run_classify

    camera = None
    if sensor is not None:
        from gliomap.sensors import get_sensor

        camera = get_sensor(sensor)
    source = _source(frames, cube, study, capture)
    options = ClassifyOptions(
        backend=backend,
        precision="reduced" if reduced else "f32",
        threads=ui.threads,
        palette=palette,
        sensor=camera,
        max_reference_age=None if max_reference_age is None else timedelta(minutes=max_reference_age),
    )
    done = run_classify(bundle_path(bundle, tracking, study), source, out=out, options=options, overwrite=ui.overwrite)
    _tell(ui, done)


def _source(frames: Frames, cube: Path | None, study: Path | None, capture: str | None) -> Source:
    from gliomap.workflows import CubeFile, StudyCapture

    flags = frames.flags()
    ways = [not {"--raw", "--white", "--dark"}.isdisjoint(flags), cube is not None, study is not None]
    if sum(ways) != 1:
        raise UsageError("classify", "nothing to classify" if not any(ways) else "more than one input", _WAYS)
    if flags and not ways[0]:
        raise UsageError("classify", f"{', '.join(flags)} can only be used with --raw, --white and --dark", _WAYS)
    if capture is not None and study is None:
        raise UsageError("classify", "--capture can only be used with --study", _WAYS)
    if cube is not None:
        return CubeFile(cube)
    if study is None:
        return frames.files("classify", _WAYS)
    if capture is None:
        raise UsageError(f"study {study}", "no capture given", "Add --capture ID (`gliomap study check` lists them).")
    return StudyCapture(study, capture)


def _tell(ui: Ui, done: Classification) -> None:
    result, folder, files = done.result, done.folder, done.result.files
    if ui.as_json:
        ui.result({"folder": None if folder is None else str(folder), **result.model_dump(mode="json")})
        return
    height, width = result.shape
    title = f"{height}×{width} pixels in {result.timings_ms['total']:.0f} ms"
    tell_map(ui, result.model_dump(mode="json"), title=title)
    written = [] if folder is None else [f"Map: {folder / files['map']}", f"Overlay: {folder / files['overlay']}"]
    tell_written(ui, result.notice, *written)
