"""Export a trained model as a bundle: build the graphs, check them against the model, and write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gliomap import __version__
from gliomap._files import refuse_existing
from gliomap._progress import Track, silent
from gliomap.bundles import (
    INTENDED_USE,
    Bundle,
    GraphRecord,
    Manifest,
    Measured,
    ModelInfo,
    SensorInfo,
    Training,
    require_portable,
    write_bundle,
)
from gliomap.errors import ModelError
from gliomap.learning._graph import Classifier, Graphs, build_graphs
from gliomap.learning._graph_check import LABEL_TIE, PROBABILITY_TOLERANCE, check_backends
from gliomap.learning._layers import DenseNetwork
from gliomap.learning._model import TissueModel
from gliomap.learning._registry import MODELS
from gliomap.preprocessing import PreprocessingConfig, chain_sensor
from gliomap.sensors import MosaicSensor
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

__all__ = [
    "LABEL_TIE",
    "PROBABILITY_TOLERANCE",
    "BundleInfo",
    "Graphs",
    "build_graphs",
    "checked_bundle",
    "export_bundle",
]

NO_SENSOR = "the sensor of the training cubes is unknown"


@dataclass(frozen=True)
class BundleInfo:
    """The parts of a manifest that neither the model nor the export can supply.

    Attributes
    ----------
    name
        Name of the bundle, for readers.
    classes
        The classes that the model distinguishes.
    preprocessing
        The preprocessing chain of the training cubes.
    sensor
        The camera of the training cubes; None if unknown, and then there is no frame graph.
    wavelengths_nm
        Wavelengths of the bands, if known without a sensor.
    training
        Where the weights come from; None if unknown.
    metrics, measured_on
        Metrics by name, and what they were measured on.
    intended_use, notes
        Text for the model card.
    """

    name: str
    classes: ClassSet = THESIS_CLASSES
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    sensor: MosaicSensor | None = None
    wavelengths_nm: tuple[float, ...] | None = None
    training: Training | None = None
    metrics: Mapping[str, Measured] = field(default_factory=dict)
    measured_on: str | None = None
    intended_use: str = INTENDED_USE
    notes: tuple[str, ...] = ()


def export_bundle(
    model: TissueModel | DenseNetwork,
    path: str | Path,
    info: BundleInfo,
    *,
    reduced_precision: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> Bundle:
    """Write a bundle: a folder, or an archive if the name ends in .zip.

    Parameters
    ----------
    model
        A trained model.
    path
        The folder or archive to write.
    info
        The rest of the manifest.
    reduced_precision
        Also measure OpenVINO in reduced precision and record how far it agrees.
    threads
        Threads for the checks.
    overwrite
        Replace an existing bundle.
    track
        Shows progress.

    Returns
    -------
    Bundle
        The bundle as written.

    Raises
    ------
    OutputExistsError
        `path` already exists.
    ExportMismatchError
        A graph does not compute what the model computes; nothing was written.
    ModelError
        Bands or classes of model, sensor and `info` differ.
    SensorError
        A bundle cannot describe the channels of the sensor.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    bundle = checked_bundle(model, info, reduced_precision=reduced_precision, threads=threads, track=track, path=path)
    return write_bundle(path, bundle.manifest, bundle.cube_graph, bundle.frame_graph, overwrite=overwrite)


def checked_bundle(
    model: TissueModel | DenseNetwork,
    info: BundleInfo,
    *,
    reduced_precision: bool = False,
    threads: int | None = None,
    track: Track = silent,
    path: Path | None = None,
) -> Bundle:
    """Build a bundle in memory, checked as in `export_bundle`; `Engine(bundle)` runs it. Its identity is empty.

    Parameters
    ----------
    model, info, reduced_precision, threads, track
        As for `export_bundle`.
    path
        Name of the bundle in messages.

    Raises
    ------
    ExportMismatchError, ModelError, SensorError
        As for `export_bundle`.
    """
    network = model if isinstance(model, DenseNetwork) else model.dense()
    if len(info.classes) != network.n_classes:
        raise ModelError(
            "model",
            f"distinguishes {network.n_classes} classes, but {len(info.classes)} are named",
            "Name the classes that it was trained on.",
        )
    if info.sensor is not None:
        require_portable(info.sensor, info.preprocessing)
    graphs = build_graphs(network, info.sensor, info.preprocessing)
    manifest = _manifest(model, network, graphs, info)
    bundle = Bundle(path or Path(info.name), manifest, "", graphs.cube, graphs.frame, "")
    backends = check_backends(model, bundle, reduced=reduced_precision, threads=threads, track=track)
    return replace(bundle, manifest=manifest.model_copy(update={"backends": backends}))


def _manifest(model: TissueModel | DenseNetwork, network: Classifier, graphs: Graphs, info: BundleInfo) -> Manifest:
    name = "dense" if isinstance(model, DenseNetwork) else model.name
    waves, nominal = info.wavelengths_nm, False
    if info.sensor is not None:
        chain = chain_sensor(info.sensor, info.preprocessing)
        waves, nominal = tuple(float(value) for value in chain.wavelengths_nm), chain.wavelengths_nominal
    records: dict[Literal["cube", "frame"], GraphRecord] = {"cube": graphs.cube_record}
    if graphs.frame_record is not None:
        records["frame"] = graphs.frame_record
    return Manifest(
        name=info.name,
        created_at=datetime.now(UTC).replace(microsecond=0),
        gliomap=__version__,
        model=ModelInfo(
            name=name,
            title=MODELS[name].title if name in MODELS else name,
            window=network.window,
            n_bands=network.n_bands,
            parameters=network.parameters,
        ),
        classes=info.classes,
        preprocessing=info.preprocessing,
        wavelengths_nm=waves,
        wavelengths_nominal=nominal,
        sensor=None if info.sensor is None else SensorInfo.of(info.sensor),
        graphs=records,
        no_frame=NO_SENSOR if info.sensor is None else None,
        training=info.training,
        metrics=dict(info.metrics),
        measured_on=info.measured_on,
        intended_use=info.intended_use,
        notes=info.notes,
    )
