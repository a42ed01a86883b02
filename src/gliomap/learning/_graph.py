"""The two graphs of a bundle, built operator by operator (ONNX, opset 18).

Apart from the network itself, what costs time on a CPU is moving the frame in memory. So mosaic → cube and
spectral correction are one convolution with the tile's size and stride, channels stay in front, and softmax
is written out so that it yields the confidence (1 / Σ exp(l − max)) as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gliomap.bundles import ML_DOMAIN, ML_OPSET, GraphRecord, cube_graph_record, frame_graph_record
from gliomap.errors import MissingExtraError, ModelError
from gliomap.learning._layers import Conv, DenseNetwork, Layer, MaxPool, Relu
from gliomap.learning._spectral_graph import SpectralGraph
from gliomap.preprocessing import PreprocessingConfig, chain_sensor
from gliomap.sensors import MosaicSensor

__all__ = ["Classifier", "Graphs", "build_graphs"]

_OPSET, _IR_VERSION = 18, 8
_BLOCK = 8
_TO_THE_END = 2**63 - 1
_Scalar = TypeVar("_Scalar", bound=np.generic)
_TINY = 1e-30
"""The smallest divisor of the preprocessing chain: its reciprocal is still finite in float32."""


Classifier = DenseNetwork | SpectralGraph
"""The form in which a trained model is exported: convolutions, or a graph for single spectra."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """Serialised graphs with records of their inputs and outputs; without a sensor there is no frame graph."""

    cube: bytes
    cube_record: GraphRecord
    frame: bytes | None = None
    frame_record: GraphRecord | None = None


def build_graphs(network: Classifier, sensor: MosaicSensor | None, config: PreprocessingConfig) -> Graphs:
    """Build `cube.onnx` and, if the sensor is known, `frame.onnx`.

    Parameters
    ----------
    network
        The network with its weights.
    sensor
        The sensor whose frames `frame.onnx` takes; None if unknown.
    config
        The preprocessing of the training cubes.

    Raises
    ------
    ModelError
        There are more classes than uint8 labels can name, or the sensor yields another number of bands.
    MissingExtraError
        The `onnx` package is not installed.
    """
    if network.n_classes > 255:
        raise ModelError("network", f"has {network.n_classes} classes", "Labels are uint8: use 255 or fewer.")
    record = cube_graph_record(network.n_bands, network.n_classes)
    cube = _cube_graph(network, record)
    if sensor is None:
        return Graphs(cube, record)
    chain = chain_sensor(sensor, config)
    if chain.n_bands != network.n_bands:
        raise ModelError(
            "network",
            f"takes {network.n_bands} bands, but sensor {sensor.name!r} yields {chain.n_bands}",
            "Name the camera that the model was trained for.",
        )
    frame_record = frame_graph_record(chain, network.n_classes)
    return Graphs(cube, record, _frame_graph(network, chain, config, frame_record), frame_record)


class _Builder:
    """Collects nodes and constants; its methods return names of tensors.

    Node names begin with the stage, which keeps a backend's profile readable.
    """

    def __init__(self) -> None:
        self.stage = "input"
        try:
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise MissingExtraError("export of a bundle", "train") from error
        self._helper, self._numpy_helper = helper, numpy_helper
        self._nodes: list[Any] = []
        self._count = 0
        self._constants: list[Any] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        """Add an initialiser; equal ones are shared."""
        array = np.ascontiguousarray(np.asarray(value, dtype))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant_{len(self._known)}"
            # ascontiguousarray makes scalars one-dimensional.
            shaped = array.reshape(np.shape(value))
            self._constants.append(self._numpy_helper.from_array(shaped, self._known[key]))
        return self._known[key]

    def real(self, value: npt.ArrayLike) -> str:
        return self.constant(value, np.float32)

    def integers(self, *values: int) -> str:
        return self.constant(list(values), np.int64)

    def __call__(
        self, operator: str, *inputs: str, output: str | None = None, named: str | None = None, **attributes: Any
    ) -> str:
        name = self._fresh(named or operator)
        result = output or name
        self._nodes.append(self._helper.make_node(operator, list(inputs), [result], name=name, **attributes))
        return result

    def second(self, operator: str, *inputs: str, **attributes: Any) -> str:
        first, result = self._fresh(operator), self._fresh(operator)
        self._nodes.append(self._helper.make_node(operator, list(inputs), [first, result], name=first, **attributes))
        return result

    def planes(self, values: str, count: int) -> list[str]:
        """Cut a tensor along its first axis into `count` planes, each (1, …)."""
        planes = [self._fresh("plane") for _ in range(count)]
        name = self._fresh("split")
        self._nodes.append(self._helper.make_node("Split", [values], planes, name=name, axis=0, num_outputs=count))
        return planes

    def row_by_row(self, plane: str, channels: int, body: Callable[[str], str]) -> str:
        outside, self._nodes = self._nodes, []
        row = self._fresh("row")
        result = body(row)
        inside, self._nodes = self._nodes, outside
        ends = [
            self._helper.make_tensor_value_info(name, 1, shape)
            for name, shape in ((row, [None, None]), (result, [None, channels]))
        ]
        graph = self._helper.make_graph(inside, "row", ends[:1], ends[1:])
        return self("Scan", plane, body=graph, num_scan_inputs=1)

    def _fresh(self, operator: str) -> str:
        self._count += 1
        return f"{self.stage}/{operator.lower()}_{self._count - 1}"

    def serialise(self, name: str, record: GraphRecord) -> bytes:
        import onnx

        types = {
            "float32": onnx.TensorProto.FLOAT,
            "uint8": onnx.TensorProto.UINT8,
            "uint16": onnx.TensorProto.UINT16,
        }
        inputs, outputs = (
            [self._helper.make_tensor_value_info(one.name, types[one.dtype], list(one.shape)) for one in tensors]
            for tensors in (record.inputs, record.outputs)
        )
        graph = self._helper.make_graph(self._nodes, name, inputs, outputs, self._constants)
        opsets = [self._helper.make_opsetid("", _OPSET)]
        if any(node.domain == ML_DOMAIN for node in self._nodes):
            opsets.append(self._helper.make_opsetid(ML_DOMAIN, ML_OPSET))
        model = self._helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="gliomap")
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _cube_graph(network: Classifier, record: GraphRecord) -> bytes:
    build = _Builder()
    channels = build("Transpose", "cube", perm=[2, 0, 1])
    # Preprocessing sets a masked spectrum to 0 in every band.
    highest = build("ReduceMax", build("Abs", channels), build.integers(0), keepdims=1)
    valid = build("Greater", highest, build.real(0))
    cube = build("Unsqueeze", channels, build.integers(0))
    if beyond := _reach(network):
        cube = _surrounded(build, network, cube, build.integers(*[0, 0, beyond, beyond] * 2))
    _classify(build, network, cube, valid)
    return build.serialise("cube", record)


def _frame_graph(network: Classifier, chain: MosaicSensor, config: PreprocessingConfig, record: GraphRecord) -> bytes:
    build = _Builder()
    if not chain.correction_after_division:
        tiles = _corrected_tiles(build, chain, chain.n_bands)
        build.stage = "normalise"
        tiles = build("Mul", tiles, build("Unsqueeze", "scale", build.integers(0)))
        cube, valid = _normalise(build, tiles, config, chain.n_bands, chain.n_bands, None)
    else:
        network = _widened(network, config)
        tiles = _corrected_tiles(build, chain, network.n_bands)
        build.stage = "normalise"
        # Here the scale is 1 in every band of a valid tile and 0 in every band of a masked one. So one band is
        # enough, and it can go into the normalisation factor instead of a pass over the cube.
        scale = build("Slice", "scale", build.integers(0), build.integers(1), build.integers(0))
        scale = build("Unsqueeze", scale, build.integers(0))
        cube, valid = _normalise(build, tiles, config, chain.n_bands, network.n_bands, scale)
    valid = build("Squeeze", valid, build.integers(0))
    if _reach(network):
        build.stage = "edges"
        whole = build("Equal", build("Shape", "raw", start=0, end=1), build.integers(chain.frame_shape[0]))
        cube, valid = _edges(build, network, cube, valid, whole)
    _classify(build, network, cube, valid)
    return build.serialise("frame", record)


def _reach(network: Classifier) -> int:
    """How many pixels on each side a pixel's class depends on; beyond the frame they are 0."""
    return network.padding if isinstance(network, DenseNetwork) else 0


def _edges(build: _Builder, network: Classifier, cube: str, valid: str, whole: str) -> tuple[str, str]:
    """Surround a whole frame with zeros; for a part of its rows, leave out the pixels that depend on missing rows.

    The number of rows is known before the first frame comes, so a backend computes all of this beforehand and turns
    the zeros into padding of the convolution that reads them.
    """
    none, beyond = build.integers(0), build.integers(_reach(network))
    sides = [build.integers(0, 0), build("Where", whole, beyond, none), beyond]
    cube = _surrounded(build, network, cube, build("Concat", *sides, *sides, axis=0))
    first = build("Where", whole, none, beyond)
    last = build("Where", whole, build.integers(_TO_THE_END), build.integers(-_reach(network)))
    return cube, build("Slice", valid, first, last, build.integers(1))


def _surrounded(build: _Builder, network: Classifier, cube: str, sides: str) -> str:
    """Put zeros around a cube; `sides` holds the numbers before all four axes, then those after them."""
    if not isinstance(network, DenseNetwork) or not isinstance(_operators(network.layers)[0], MaxPool):
        return build("Pad", cube, sides)
    # ONNX Runtime 1.20 to 1.31 treats zeros directly before a pool as padding of the pool, which is −∞.
    first = build.integers(0)
    plane = build("Pad", build("Squeeze", cube, first), build("Gather", sides, build.integers(1, 2, 3, 5, 6, 7)))
    return build("Unsqueeze", plane, first)


def _widened(network: Classifier, config: PreprocessingConfig) -> Classifier:
    """The same network on a cube whose bands are padded with zeros to a multiple of 8 channels, where that is allowed.

    ONNX Runtime keeps full blocks of 8 channels in its own layout, and changing layouts costs more than the zeros.
    """
    if not isinstance(network, DenseNetwork) or config.normalisation not in ("brightness", "area", "none"):
        return network
    first, *others = network.layers
    if not isinstance(first, Conv):
        return network
    channels = -(-network.n_bands // _BLOCK) * _BLOCK
    wider = Conv(_filled(first.weight, 1, channels), first.bias, first.dilation)
    return DenseNetwork((wider, *others), network.padding, channels, network.n_classes)


def _filled(array: npt.NDArray[_Scalar], axis: int, size: int) -> npt.NDArray[_Scalar]:
    """Append zeros along one axis."""
    more = [(0, size - array.shape[axis] if one == axis else 0) for one in range(array.ndim)]
    return np.pad(array, more)


def _corrected_tiles(build: _Builder, chain: MosaicSensor, channels: int) -> str:
    """(raw − dark) · gain, cropped, one pixel per tile, times the correction matrix: [1, channels, h, w]."""
    build.stage = "calibrate"
    signal = build("Sub", build("Cast", "raw", to=1), "dark")
    mosaic = build("Mul", signal, "gain")
    area, (rows, columns) = chain.active_area, chain.pattern
    frame_rows, frame_columns = chain.frame_shape
    # If tiles start at the frame's corner, the convolution needs no crop; it skips incomplete tiles at the
    # far edges.
    from_corner = (area.top, area.left) == (0, 0)
    if not from_corner or (frame_rows // rows, frame_columns // columns) != chain.cube_shape:
        first, last = (area.top, area.left), (area.top + area.height, area.left + area.width)
        mosaic = build("Slice", mosaic, build.integers(*first), build.integers(*last), build.integers(0, 1))
    build.stage = "tiles"
    mosaic = build("Unsqueeze", mosaic, build.integers(0, 1))
    kernel = chain.band_matrix().reshape(chain.n_bands, 1, rows, columns)
    kernel = _filled(kernel, 0, channels)
    return build("Conv", mosaic, build.real(kernel), kernel_shape=[rows, columns], strides=[rows, columns])


def _normalise(
    build: _Builder, tiles: str, config: PreprocessingConfig, n_bands: int, channels: int, unmasked: str | None
) -> tuple[str, str]:
    """Normalised cube [1, channels, h, w] and its validity [1, 1, h, w], computed as in `preprocessing.normalise`.

    `unmasked` [1, 1, h, w] is 0 where a tile is masked; it is None if the tiles themselves are 0 there. Channels beyond
    the bands are 0 and stay 0.
    """
    bands = build.integers(1)

    def over_bands(values: str, weight: float) -> str:
        # A sum over channels is faster as a convolution than as a reduction.
        kernel = np.full((1, channels, 1, 1), weight)
        return build("Conv", values, build.real(kernel), kernel_shape=[1, 1])

    def root_mean_square(values: str) -> str:
        return build("Sqrt", over_bands(build("Mul", values, values), 1 / n_bands))

    level = root_mean_square(tiles)
    shifted, divisor = tiles, level
    if config.normalisation == "snv":
        shifted = build("Sub", tiles, over_bands(tiles, 1 / n_bands))
        divisor = root_mean_square(shifted)
    elif config.normalisation == "minmax":
        low = build("ReduceMin", tiles, bands, keepdims=1)
        shifted, divisor = build("Sub", tiles, low), build("Sub", build("ReduceMax", tiles, bands, keepdims=1), low)
    elif config.normalisation == "area":
        divisor = over_bands(build("Abs", tiles), 1.0)
    floor = build.real(max(config.min_brightness, _TINY))
    valid = build("Greater", level if unmasked is None else build("Mul", level, unmasked), floor)
    if divisor != level:
        valid = build("And", valid, build("Greater", divisor, floor))
    # Max, because values that are not selected must not be infinite either.
    none = config.normalisation == "none"
    factor = build.real(1) if none else build("Reciprocal", build("Max", divisor, floor))
    factor = build("Where", valid, factor, build.real(0))
    if channels != n_bands:
        # A convolution spreads the factor over the channels, which keeps it in the layout of the tiles. The engine
        # removes nodes of this name where the backend is faster without them.
        ones = build.real(np.ones((channels, 1, 1, 1)))
        factor = build("Conv", factor, ones, kernel_shape=[1, 1], named="spread")
    return build("Mul", shifted, factor), valid


def _classify(build: _Builder, network: Classifier, cube: str, valid: str) -> None:
    """Add the classifier and the three outputs; `cube` [1, B, h + 2 · reach, w + 2 · reach], `valid` [1, h, w]."""
    first = build.integers(0)
    build.stage = "network"
    if isinstance(network, DenseNetwork):
        logits = build("Squeeze", _network(build, network, cube), first)
    else:
        plane = build("Transpose", build("Squeeze", cube, first), perm=[1, 2, 0])
        logits = build("Transpose", network.logits(build, plane), perm=[2, 0, 1])
    build.stage = "outputs"
    # Plane by plane: a reduction over the first axis takes twice as long.
    best = build("Max", *build.planes(logits, network.n_classes))
    powers = build("Exp", build("Sub", logits, best))
    total = build("Sum", *build.planes(powers, network.n_classes))
    # The best class has power 1; all probabilities of an invalid pixel are 0.
    highest = build("Where", valid, build("Reciprocal", total), build.real(0))
    index = build("ArgMax", logits, axis=0, keepdims=0)
    build("Cast", build("Add", index, build.constant(1, np.int64)), to=2, output="labels")
    build("Squeeze", highest, first, output="confidence")
    build("Mul", powers, highest, output="probabilities")


def _network(build: _Builder, network: DenseNetwork, data: str) -> str:
    for layer in _operators(network.layers):
        data = _layer(build, layer, data)
    return data


def _operators(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers with ReLU moved before a pool; the result is the same, and ReLU can fuse with the convolution."""
    ordered = list(layers)
    for position in range(len(ordered) - 1):
        if isinstance(ordered[position], MaxPool) and isinstance(ordered[position + 1], Relu):
            ordered[position], ordered[position + 1] = ordered[position + 1], ordered[position]
    return ordered


def _layer(build: _Builder, layer: Layer, data: str) -> str:
    match layer:
        case Conv(weight, bias, dilation):
            return build(
                "Conv",
                data,
                build.real(weight),
                build.real(bias),
                kernel_shape=list(weight.shape[2:]),
                dilations=[dilation] * 2,
                # Explicit for ONNX Runtime 1.19, which otherwise applies only part of the surrounding zeros.
                pads=[0] * 4,
            )
        case MaxPool(size):
            return build("MaxPool", data, kernel_shape=[size] * 2, strides=[1, 1])
        case Relu():
            return build("Relu", data)
