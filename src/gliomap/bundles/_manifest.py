"""The manifest, a bundle's description of itself, format version 3.

Old bundles can always be opened. A change that a reader of this version would misread takes the next version number,
and the reader for this version stays. In version 1, the rows of the frame graph were fixed; since version 2 they are
free, and since version 3 the map of a part of a frame is correct in every row.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, JsonValue, ValidationError, model_validator

from gliomap._fields import Fields, field_faults
from gliomap.bundles._container import FRESH
from gliomap.errors import BundleError, GlioMapError, SensorError
from gliomap.preprocessing import PreprocessingConfig, chain_sensor
from gliomap.sensors import ActiveArea, MosaicSensor, SpectralCorrection
from gliomap.taxonomy import ClassSet

__all__ = [
    "CUBE_ROWS",
    "FORMAT_VERSION",
    "FRAME_ROWS",
    "INTENDED_USE",
    "Backend",
    "FileRecord",
    "GraphRecord",
    "Manifest",
    "Measured",
    "ModelInfo",
    "SensorInfo",
    "TensorRecord",
    "Training",
    "cube_graph_record",
    "frame_graph_record",
    "parse_manifest",
    "require_portable",
]

FORMAT_VERSION = 3
OPSET = 18
FRAME_ROWS, CUBE_ROWS, MAP_ROWS = "frame_rows", "rows", "map_rows"
"""Names of the frame graph's free dimensions: rows of the frame, rows of tiles in them, and rows of the map."""

INTENDED_USE = (
    "Research on hyperspectral images of the exposed brain. Not a medical device: not for diagnosis, not for deciding "
    "what to resect. A map marks where spectra resemble those of labelled tissue; it never says 'no tumour'."
)

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0)]
_Side = Annotated[int, Field(ge=1, le=65_535)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Dimension = int | str


class FileRecord(Fields):
    """Hash and size of one file of the bundle."""

    sha256: _Sha256
    bytes: _Count


class TensorRecord(Fields):
    """Input or output of a graph; a dimension given as a word is free, and equal wherever the word occurs."""

    name: str
    dtype: Literal["float32", "uint8", "uint16"]
    shape: tuple[_Dimension, ...]


class GraphRecord(Fields):
    """One graph: its inputs and outputs in order."""

    opset: int = OPSET
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]


class SensorInfo(Fields):
    """The camera whose frames the bundle accepts, with the part of its calibration that inference needs (no responses)."""

    name: str
    description: str
    source: str
    fingerprint: _Sha256
    frame_shape: tuple[_Side, _Side]
    active_area: tuple[_Count, _Count, _Side, _Side] = Field(description="Top, left, height, width.")
    pattern: tuple[_Side, _Side]
    bit_depth: int
    saturation: int
    has_bias_offset: bool
    defective_pixels: tuple[tuple[_Count, _Count], ...]
    wavelengths_nm: tuple[FiniteFloat, ...]
    wavelengths_nominal: bool
    band_of_position: tuple[_Count, ...]
    correction: tuple[tuple[FiniteFloat, ...], ...] | None
    bandpass: str | None
    correction_after_division: bool

    @classmethod
    def of(cls, sensor: MosaicSensor) -> SensorInfo:
        """The part of this sensor that a bundle contains."""
        area, correction = sensor.active_area, sensor.correction
        return cls(
            name=sensor.name,
            description=sensor.description,
            source=sensor.source,
            fingerprint=sensor.fingerprint(),
            frame_shape=sensor.frame_shape,
            active_area=(area.top, area.left, area.height, area.width),
            pattern=sensor.pattern,
            bit_depth=sensor.bit_depth,
            saturation=sensor.saturation,
            has_bias_offset=sensor.has_bias_offset,
            defective_pixels=tuple((int(row), int(column)) for row, column in sensor.defective_pixels),
            wavelengths_nm=tuple(float(value) for value in sensor.wavelengths_nm),
            wavelengths_nominal=sensor.wavelengths_nominal,
            band_of_position=sensor.band_of_position,
            correction=None if correction is None else tuple(tuple(map(float, row)) for row in correction.matrix),
            bandpass=None if correction is None else correction.bandpass,
            correction_after_division=sensor.correction_after_division,
        )

    def build(self) -> MosaicSensor:
        """Rebuild the sensor.

        Raises
        ------
        BundleError
            Its fingerprint differs from the one in the manifest.
        SensorError
            The fields are contradictory.
        """
        correction = None
        if self.correction is not None:
            if len({len(row) for row in self.correction}) != 1:
                raise BundleError("manifest", "rows of the sensor's matrix differ in length", FRESH)
            matrix = np.array(self.correction, np.float64)
            correction = SpectralCorrection(matrix, self.bandpass or "unknown", self.correction_after_division)
        sensor = MosaicSensor(
            name=self.name,
            description=self.description,
            frame_shape=self.frame_shape,
            active_area=ActiveArea(*self.active_area),
            pattern=self.pattern,
            bit_depth=self.bit_depth,
            saturation=self.saturation,
            wavelengths_nm=np.array(self.wavelengths_nm, np.float64),
            wavelengths_nominal=self.wavelengths_nominal,
            band_of_position=self.band_of_position,
            correction=correction,
            has_bias_offset=self.has_bias_offset,
            defective_pixels=np.array(self.defective_pixels, np.int64).reshape(-1, 2),
            source=self.source,
        )
        if sensor.fingerprint() != self.fingerprint:
            raise BundleError("manifest", f"sensor {self.name!r} does not match its stated fingerprint", FRESH)
        return sensor


class ModelInfo(Fields):
    """The model behind the graphs."""

    name: str
    title: str
    window: Annotated[int, Field(ge=1)]
    n_bands: Annotated[int, Field(ge=1)]
    parameters: _Count = 0


class Backend(Fields):
    """One backend on which the graphs were run at export, and the results.

    `agreement` is the share of pixels with the model's own label; `largest_difference` is taken over all probabilities.
    """

    version: str
    precision: Literal["f32", "reduced"]
    agreement: _Share
    largest_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    ms_per_frame: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    ms_per_cube: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    pixels: _Count
    threads: Annotated[int, Field(ge=1)] | None = None


class Training(Fields):
    """Origin of the weights."""

    study: str
    study_fingerprint: str
    synthetic: bool = Field(default=False, description="The patients come from the phantom; they are not people.")
    protocol: str
    split_fingerprint: str
    patients: dict[str, tuple[str, ...]] = Field(description="Role (train, validation, test) → patients.")
    captures: dict[str, tuple[str, ...]] = Field(description="Role → captures.")
    same_patient: tuple[str, ...] = Field(
        default=(), description="Patients on both sides; metrics are then too optimistic."
    )
    labelled: dict[str, dict[str, _Count]] = Field(default={}, description="Role → class → labelled pixels.")
    seed: int
    settings: dict[str, JsonValue] = Field(default={})
    epochs: _Count = 0
    packages: dict[str, str] = Field(default={})
    python: str = ""
    platform: str = ""
    commit: str | None = None
    finished_at: datetime | None = None
    notes: tuple[str, ...] = ()


class Measured(Fields):
    """A metric with its interval over patients, if there is one."""

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    patients: _Count | None = None


class Manifest(Fields):
    """A bundle's description of itself. See docs/reference for each field."""

    # Unknown fields are rejected: adding a field that matters requires a new version.
    format_version: Literal[1, 2, 3] = 3
    name: Annotated[str, Field(min_length=1, max_length=200)]
    created_at: datetime
    gliomap: str
    files: dict[str, FileRecord] = Field(default={}, description="Every other file of the bundle.")
    model: ModelInfo
    classes: ClassSet
    preprocessing: PreprocessingConfig
    wavelengths_nm: tuple[FiniteFloat, ...] | None = Field(
        description="Wavelengths of the cube's bands; null if unknown."
    )
    wavelengths_nominal: bool = Field(default=False, description="The wavelengths were not measured.")
    sensor: SensorInfo | None
    graphs: dict[Literal["cube", "frame"], GraphRecord]
    no_frame: str | None = Field(default=None, description="Why there is no frame.onnx.")
    backends: dict[str, Backend] = Field(default={})
    training: Training | None = Field(default=None, description="null if nothing is known about it.")
    metrics: dict[str, Measured] = Field(default={})
    measured_on: str | None = Field(default=None, description="What the metrics were measured on.")
    intended_use: str = INTENDED_USE
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        bands, classes = self.model.n_bands, len(self.classes)
        if not 1 <= classes <= 255:
            raise ValueError(f"{classes} classes do not fit labels of uint8")
        if self.wavelengths_nm is not None and len(self.wavelengths_nm) != bands:
            raise ValueError(f"{len(self.wavelengths_nm)} wavelengths for {bands} bands")
        if "cube" not in self.graphs:
            raise ValueError("graphs has no 'cube'")
        if ("frame" in self.graphs) != (self.sensor is not None) or ("frame" in self.graphs) == bool(self.no_frame):
            raise ValueError("a frame graph, a sensor and no_frame contradict each other")
        if self.graphs["cube"] != cube_graph_record(bands, classes):
            raise ValueError("inputs or outputs of the cube graph are not those of this format")
        if self.sensor is not None:
            chain = chain_sensor(self.sensor.build(), self.preprocessing)
            if chain.n_bands != bands:
                raise ValueError(f"sensor {chain.name!r} delivers {chain.n_bands} bands, the model takes {bands}")
            if self.graphs["frame"] != frame_graph_record(chain, classes, self.format_version):
                raise ValueError("inputs or outputs of the frame graph are not those of this format")
        return self

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, indented, UTF-8, with a final newline."""
        content = self.model_dump(mode="json")
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        return (text + "\n").encode("utf-8")


def require_portable(sensor: MosaicSensor, preprocessing: PreprocessingConfig) -> None:
    """Refuse a camera whose channels a bundle cannot describe, because it carries no peaks of single filters.

    Raises
    ------
    SensorError
        Without spectral correction, channels are mosaic positions, but the camera's bands are others.
    """
    if not preprocessing.spectral_correction and sensor.n_bands != sensor.n_positions:
        raise SensorError(
            f"sensor {sensor.name!r}",
            f"has {sensor.n_bands} bands and {sensor.n_positions} mosaic positions, which a bundle cannot describe without"
            " spectral correction",
            "Set spectral_correction = true in study.toml, or describe the camera without correction, so that its bands are"
            " its positions.",
        )


def cube_graph_record(n_bands: int, n_classes: int) -> GraphRecord:
    """Inputs and outputs of every cube graph."""
    return GraphRecord(
        inputs=(TensorRecord(name="cube", dtype="float32", shape=("H", "W", n_bands)),),
        outputs=_outputs("H", "W", n_classes),
    )


def frame_graph_record(chain: MosaicSensor, n_classes: int, format_version: int = FORMAT_VERSION) -> GraphRecord:
    """Inputs and outputs of the frame graph for a sensor as the chain sees it.

    The rows are free, so that a frame can be classified in strips. In format version 1 they were fixed. In version 2 the
    map had one row per row of tiles and was wrong near the edges of a strip; later versions omit these rows.

    Parameters
    ----------
    chain
        Result of `gliomap.preprocessing.chain_sensor`.
    n_classes
        Number of classes C in the outputs.
    format_version
        Format version of the bundle.
    """
    frame: tuple[_Dimension, _Dimension] = chain.frame_shape
    height: _Dimension
    height, width = chain.cube_shape
    map_height: _Dimension = height
    if format_version > 1:
        frame, height = (FRAME_ROWS, frame[1]), CUBE_ROWS
        map_height = CUBE_ROWS if format_version == 2 else MAP_ROWS
    return GraphRecord(
        inputs=(
            TensorRecord(name="raw", dtype="uint16", shape=frame),
            TensorRecord(name="dark", dtype="float32", shape=frame),
            TensorRecord(name="gain", dtype="float32", shape=frame),
            TensorRecord(name="scale", dtype="float32", shape=(chain.n_bands, height, width)),
        ),
        outputs=_outputs(map_height, width, n_classes),
    )


def parse_manifest(content: bytes, origin: object) -> Manifest:
    """Read a manifest; error messages name it by `origin`.

    Raises
    ------
    BundleError
        The content is not JSON or has a newer format, or fields are missing, unknown or contradictory.
    """
    try:
        table: Any = json.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleError(origin, f"is not JSON ({error})", FRESH) from error
    version = table.get("format_version") if isinstance(table, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(origin, f"has format version {version!r}", FRESH)
    if version > FORMAT_VERSION:
        raise BundleError(
            origin, f"has format version {version}, this GlioMap reads up to {FORMAT_VERSION}", "Update GlioMap."
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(origin, field_faults(error, 3), FRESH) from error
    except GlioMapError as error:
        raise BundleError(origin, f"{error.thing} {error.fault}", FRESH) from error


def _outputs(height: _Dimension, width: _Dimension, n_classes: int) -> tuple[TensorRecord, ...]:
    return (
        TensorRecord(name="labels", dtype="uint8", shape=(height, width)),
        TensorRecord(name="confidence", dtype="float32", shape=(height, width)),
        TensorRecord(name="probabilities", dtype="float32", shape=(n_classes, height, width)),
    )
