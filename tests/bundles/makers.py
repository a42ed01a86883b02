"""Small sensors, linear models and bundles, made in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.bundles import Bundle, Manifest, ModelInfo, SensorInfo, write_bundle
from gliomap.learning import Conv, DenseNetwork, MaxPool, Relu
from gliomap.learning.export import Graphs, build_graphs
from gliomap.preprocessing import Normalisation, PreprocessingConfig, chain_sensor
from gliomap.sensors import ActiveArea, MosaicSensor, SpectralCorrection
from gliomap.taxonomy import THESIS_CLASSES

__all__ = ["BLEND", "linear_network", "small_bundle", "small_manifest", "small_sensor", "window_network"]

BLEND = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.8, 0.0, 0.1], [0.0, 0.1, 0.7, 0.2], [0.05, 0.05, 0.1, 0.8]])
"""A correction matrix whose rows sum to 1."""


def small_sensor(
    *,
    after_division: bool = True,
    offset: tuple[int, int] = (1, 2),
    tiles: tuple[int, int] = (9, 11),
    name: str = "small",
) -> MosaicSensor:
    """A 2×2 mosaic of 4 bands, with one spare row and column after its active area."""
    top, left = offset
    height, width = tiles[0] * 2, tiles[1] * 2
    return MosaicSensor(
        name=name,
        description="a small sensor",
        frame_shape=(top + height + 1, left + width + 1),
        active_area=ActiveArea(top, left, height, width),
        pattern=(2, 2),
        bit_depth=10,
        saturation=1023,
        wavelengths_nm=np.array([660.0, 750.0, 850.0, 950.0]),
        wavelengths_nominal=False,
        band_of_position=(0, 1, 2, 3),
        correction=SpectralCorrection(BLEND if after_division else BLEND * 0.05, "none", after_division),
        defective_pixels=np.array([[top + 2, left + 3]]),
    )


def linear_network(n_bands: int = 4, n_classes: int = 5, seed: int = 0) -> DenseNetwork:
    """One 1×1 convolution."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(0, 1, (n_classes, n_bands, 1, 1)).astype(np.float32)
    return DenseNetwork((Conv(weight, _bias(generator, n_classes)),), 0, n_bands, n_classes)


def window_network(n_bands: int = 4, n_classes: int = 5, seed: int = 0) -> DenseNetwork:
    """The thesis's network on 7×7 windows, with fewer channels."""
    generator = np.random.default_rng(seed)

    def conv(outputs: int, inputs: int, size: int, dilation: int = 1) -> Conv:
        scale = (inputs * size * size) ** -0.5
        weight = generator.normal(0, scale, (outputs, inputs, size, size)).astype(np.float32)
        return Conv(weight, _bias(generator, outputs), dilation)

    layers = (conv(6, n_bands, 2), MaxPool(2), Relu(), conv(8, 6, 3, 2), Relu(), conv(n_classes, 8, 1))
    return DenseNetwork(layers, 3, n_bands, n_classes)


def small_manifest(
    graphs: Graphs, network: DenseNetwork, sensor: MosaicSensor | None, config: PreprocessingConfig
) -> Manifest:
    """A manifest that fits the graphs."""
    records = {"cube": graphs.cube_record}
    if graphs.frame_record is not None:
        records["frame"] = graphs.frame_record
    chain = None if sensor is None else chain_sensor(sensor, config)
    return Manifest(
        name="small",
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        gliomap="0.1.0",
        model=ModelInfo(name="dense", title="dense", window=network.window, n_bands=network.n_bands, parameters=1),
        classes=THESIS_CLASSES,
        preprocessing=config,
        wavelengths_nm=None if chain is None else tuple(float(value) for value in chain.wavelengths_nm),
        sensor=None if sensor is None else SensorInfo.of(sensor),
        graphs=records,
        no_frame="the sensor is not known" if sensor is None else None,
    )


def small_bundle(
    path: Path,
    *,
    network: DenseNetwork | None = None,
    sensor: MosaicSensor | None = None,
    normalisation: Normalisation = "brightness",
    min_brightness: float = 1e-6,
) -> Bundle:
    """Write a bundle; a folder, or an archive where the name ends in .zip."""
    network = linear_network() if network is None else network
    config = PreprocessingConfig(normalisation=normalisation, min_brightness=min_brightness)
    graphs = build_graphs(network, sensor, config)
    return write_bundle(path, small_manifest(graphs, network, sensor, config), graphs.cube, graphs.frame)


def _bias(generator: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    return generator.normal(0, 0.3, size).astype(np.float32)
