"""`gliomap sensor list|show|import`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap.cli._app import app
from gliomap.cli._options import sensor_names
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import SensorError

if TYPE_CHECKING:
    from gliomap.sensors import MosaicSensor

sensor_app = group(app, "sensor", "Cameras: list, show, import from a vendor's file.")

NameOrFile = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE", autocompletion=sensor_names, help="A listed name, a .toml file or a vendor's .xml file."
    ),
]
CorrectionIndex = Annotated[
    int | None,
    typer.Option(
        "--correction", metavar="K", min=0, help="Correction matrix to use if the .xml file has several, from 0."
    ),
]


@verb(sensor_app, "list", within="sensor", examples=("gliomap sensor list", "gliomap sensor list --json"))
def list_all(ui: Ui) -> None:
    """List the cameras known by name."""
    from gliomap.sensors import get_sensor, list_sensors

    sensors = []
    for name in list_sensors():
        try:
            sensors.append(get_sensor(name))
        except SensorError as error:
            # One damaged description must not hide the other cameras.
            ui.warn(str(error))
    if ui.as_json:
        ui.result({"sensors": [_summary(sensor) for sensor in sensors]})
        return
    rows = [
        (sensor.name, "×".join(map(str, sensor.frame_shape)), sensor.n_bands, _range(sensor), sensor.description)
        for sensor in sensors
    ]
    ui.table(["name", "frame", "bands", "wavelengths", "description"], rows, numbers="  r")


@verb(
    sensor_app,
    "show",
    within="sensor",
    writes=True,
    examples=(
        "gliomap sensor show nemesis",
        "gliomap sensor show generic-nir-5x5 --plot responses.png",
        "gliomap sensor show calibration.xml --correction 0",
    ),
)
def show(
    ui: Ui,
    sensor: NameOrFile,
    correction: CorrectionIndex = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw filter responses and correction matrix.")
    ] = None,
) -> None:
    """Show a camera: geometry, bands, filters and spectral correction."""
    from gliomap._files import refuse_existing, require_suffix
    from gliomap.sensors import sensor_table

    described = _load(sensor, correction)
    if plot is not None:
        require_suffix(plot, "a PNG picture", ".png")
        refuse_existing(plot, overwrite=ui.overwrite)
        from gliomap.evaluation import plot_responses

        plot_responses(described, plot)
    rows = sensor_table(described)
    if ui.as_json:
        ui.result(
            {
                **_summary(described),
                "bands": [asdict(row) for row in rows],
                "plot": None if plot is None else str(plot),
            }
        )
        return
    _print_geometry(ui, described)
    ui.table(
        ["band", "nm", "position", "peak nm", "width nm", "noise gain", "row sum"],
        [
            (
                row.band,
                f"{row.wavelength_nm:.1f}" + (" nominal" if row.nominal else ""),
                " ".join(map(str, row.positions)),
                "" if row.peak_nm is None else f"{row.peak_nm:.1f}",
                "" if row.fwhm_nm is None else f"{row.fwhm_nm:.1f}",
                f"{row.noise_gain:.3f}",
                f"{row.row_sum:.4f}",
            )
            for row in rows
        ],
        numbers="r rrrrr",
    )
    if plot is not None:
        ui.text(f"Picture: {plot}")


@verb(
    sensor_app,
    "import",
    within="sensor",
    writes=True,
    examples=(
        "gliomap sensor import calibration.xml --name theatre-2",
        "gliomap sensor import calibration.xml --correction 1 --name theatre-2-nir",
    ),
)
def import_one(
    ui: Ui,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A vendor's .xml calibration or a .toml description.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the camera; the file's name by default.")] = None,
    correction: CorrectionIndex = None,
) -> None:
    """Add a camera to your own registry.

    From then on --sensor finds it by name. The registry is the folder ~/.config/gliomap/sensors, or $GLIOMAP_SENSORS.
    """
    from gliomap.sensors import import_sensor

    described = _load(file, correction)
    if name is not None:
        described = replace(described, name=name)
    path = import_sensor(described, overwrite=ui.overwrite)
    if ui.as_json:
        ui.result({**_summary(described), "file": str(path)})
        return
    ui.text(f"Sensor {described.name!r} is in {path}", f"Look at it: gliomap sensor show {described.name}")


def _load(sensor: str | Path, correction: int | None) -> MosaicSensor:
    from gliomap.errors import UsageError
    from gliomap.sensors import get_sensor, read_imec_xml

    if correction is None:
        return get_sensor(sensor)
    if Path(sensor).suffix.lower() != ".xml":
        raise UsageError(
            f"--correction {correction}", "selects a matrix of a vendor's .xml file", f"Omit it for {sensor}."
        )
    return read_imec_xml(sensor, correction=correction)


def _summary(sensor: MosaicSensor) -> dict[str, Any]:
    area = sensor.active_area
    return {
        "name": sensor.name,
        "description": sensor.description,
        "frame_shape": list(sensor.frame_shape),
        "active_area": {"top": area.top, "left": area.left, "height": area.height, "width": area.width},
        "pattern": list(sensor.pattern),
        "cube_shape": [*sensor.cube_shape, sensor.n_bands],
        "bit_depth": sensor.bit_depth,
        "saturation": sensor.saturation,
        "wavelengths_nm": [float(value) for value in sensor.wavelengths_nm],
        "wavelengths_nominal": sensor.wavelengths_nominal,
        "bandpass": None if sensor.correction is None else sensor.correction.bandpass,
        "correction_after_division": None if sensor.correction is None else sensor.correction.after_division,
        "defective_pixels": len(sensor.defective_pixels),
        "fingerprint": sensor.fingerprint(),
        "source": sensor.source,
    }


def _range(sensor: MosaicSensor) -> str:
    ends = f"{sensor.wavelengths_nm[0]:.0f}–{sensor.wavelengths_nm[-1]:.0f} nm"
    return f"{ends} nominal" if sensor.wavelengths_nominal else ends


def _print_geometry(ui: Ui, sensor: MosaicSensor) -> None:
    area, (height, width) = sensor.active_area, sensor.cube_shape
    if sensor.correction is None:
        correction = "none: mosaic positions in wavelength order"
    else:
        when = "after" if sensor.correction.after_division else "before"
        correction = (
            f"{sensor.n_bands}×{sensor.n_positions} matrix, {when} the division by the white reference,"
            f" band-pass filter: {sensor.correction.bandpass}"
        )
    rows = [
        ("frame", f"{sensor.frame_shape[0]}×{sensor.frame_shape[1]}, {sensor.bit_depth} bits"),
        ("saturation", f"{sensor.saturation}"),
        ("active area", f"{area.height}×{area.width} from row {area.top}, column {area.left}"),
        ("mosaic", f"{sensor.pattern[0]}×{sensor.pattern[1]}"),
        ("cube", f"{height}×{width}×{sensor.n_bands}"),
        ("wavelengths", _range(sensor)),
        ("correction", correction),
        ("defective pixels", len(sensor.defective_pixels)),
        ("source", sensor.source),
    ]
    ui.text(f"{sensor.name}: {sensor.description}" if sensor.description else sensor.name)
    ui.facts(rows)
