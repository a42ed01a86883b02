"""Rewrite a frame graph into the form that OpenVINO runs fastest: the same numbers from other operations.

Bundles carry one frame graph, shaped for ONNX Runtime. Shapes that suit its layout of channels in blocks cost OpenVINO
time. Each function here undoes one such shape where it finds it, by the stage names with which
`gliomap.learning.export` prefixes node names. Other graphs stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as operators
from openvino.passes import ConstantFolding, Manager

from gliomap.engine._rows import FrameRows

__all__ = ["multiply_sums", "product_per_pixel", "read_whole", "reshape_for_openvino"]


def read_whole(core: Any, content: bytes, rows: FrameRows | None) -> Any:
    """Read a graph; if its rows are free, set them to those of a whole frame."""
    model = core.read_model(content)
    if rows is not None:
        shapes = {}
        for one in model.inputs:
            *bands, _, columns = one.get_partial_shape()
            shapes[one] = openvino.PartialShape([*bands, rows.cube if bands else rows.frame, columns])
        model.reshape(shapes)
        _settle_edges(model)
    return model


def reshape_for_openvino(model: Any) -> None:
    """Rewrite a model that has been read but not yet compiled."""
    _broadcast_spreads(model)
    _drop_empty_channels(model)
    _read_rows_of_tiles(model)
    model.validate_nodes_and_infer_types()


def multiply_sums(model: Any) -> None:
    """Turn the sums over bands into matrix products: faster for a strip on one thread, slower in reduced precision."""
    for node, kernel in _convolutions(model, "normalise/"):
        if kernel.shape[0] == 1 and kernel.shape[2:] == (1, 1):
            product = product_per_pixel(node.input_value(0), kernel[:, :, 0, 0])
            shape = _integers(list(node.get_output_shape(0)))
            node.output(0).replace(operators.reshape(product, shape, special_zero=False).output(0))


def product_per_pixel(values: Any, kernel: npt.NDArray[np.float32]) -> Any:
    """A 1×1 convolution to few channels, as a matrix product with the kernel on the left and the pixels on the right.

    A convolution packs its output channels side by side in a register, sixteen in AVX-512. With one or five of them,
    most of its work is wasted. Here pixels lie side by side.

    Parameters
    ----------
    values
        Node of shape (n, channels, h, w).
    kernel
        (out, channels)

    Returns
    -------
    node
        (out, n · h · w)
    """
    # OpenVINO's convolutions keep channels innermost, so this transpose costs nothing.
    turned = operators.transpose(values, _integers([0, 2, 3, 1]))
    pixels = operators.reshape(turned, _integers([-1, kernel.shape[1]]), special_zero=False)
    return operators.matmul(operators.constant(np.ascontiguousarray(kernel)), pixels, False, True)


def _settle_edges(model: Any) -> None:
    """Fold what depends on the number of rows; turn the zeros around the cube into padding of its convolution."""
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    for node, _ in _convolutions(model, "network/"):
        pad = node.input_value(0).get_node()
        if pad.get_type_name() == "Pad" and pad.get_friendly_name().startswith("edges/"):
            begin, end = (pad.input_value(position).get_node().get_data()[2:].tolist() for position in (1, 2))
            attributes = node.get_attributes()
            padded = operators.convolution(
                pad.input_value(0), node.input_value(1), attributes["strides"], begin, end, attributes["dilations"]
            )
            padded.set_friendly_name(node.get_friendly_name())
            node.output(0).replace(padded.output(0))


def _broadcast_spreads(model: Any) -> None:
    """Remove the convolutions with ones that spread a factor over channels: a product broadcasts by itself."""
    for node, kernel in _convolutions(model, "normalise/spread_"):
        if (kernel == 1).all():
            node.output(0).replace(node.input_value(0))


def _drop_empty_channels(model: Any) -> None:
    """Remove the channels of zeros that pad the bands to a full block, wherever they are read."""
    tiles = _convolutions(model, "tiles/")
    if len(tiles) != 1:
        return
    channels = tiles[0][1].shape[0]
    # A sensor's matrix has no row of zeros, so the padding begins after the last non-zero row.
    bands = int(np.flatnonzero(tiles[0][1].any(axis=(1, 2, 3))).max(initial=-1)) + 1
    readers = [*_convolutions(model, "normalise/"), *_convolutions(model, "network/")[:1]]
    _set_kernel(*tiles[0], (slice(bands),))
    for node, kernel in readers:
        if kernel.shape[1] == channels:
            _set_kernel(node, kernel, (slice(None), slice(bands)))


def _read_rows_of_tiles(model: Any) -> None:
    """Make the columns of a tile the channels of the convolution that cuts out tiles.

    Over one channel, the convolution would sum single products. A tile's columns lie side by side, which is how
    OpenVINO's own layout stores channels, so the transpose costs nothing.
    """
    for node, kernel in _convolutions(model, "tiles/"):
        rows, columns = kernel.shape[2:]
        _, _, height, width = node.get_output_shape(0)
        begin, end, step, axes = map(_integers, ([0, 0], [height * rows, width * columns], [1, 1], [2, 3]))
        whole = operators.slice(node.input_value(0), begin, end, step, axes)
        view = operators.reshape(whole, _integers([1, height * rows, width, columns]), special_zero=False)
        channels = operators.transpose(view, _integers([0, 3, 1, 2]))
        turned = np.ascontiguousarray(kernel.transpose(0, 3, 2, 1))
        by_row = operators.convolution(channels, operators.constant(turned), [rows, 1], [0, 0], [0, 0], [1, 1])
        by_row.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(by_row.output(0))


def _convolutions(model: Any, stage: str) -> list[tuple[Any, npt.NDArray[np.float32]]]:
    """The convolutions of a stage, in order, each with its constant kernel (out, in, rows, columns)."""
    found = []
    for node in model.get_ordered_ops():
        # OpenVINO may append to the names in the graph.
        if node.get_type_name() == "Convolution" and node.get_friendly_name().startswith(stage):
            kernel = node.input_value(1).get_node()
            if kernel.get_type_name() == "Constant":
                found.append((node, np.asarray(kernel.get_data())))
    return found


def _set_kernel(node: Any, kernel: npt.NDArray[np.float32], part: tuple[slice, ...]) -> None:
    node.input(1).replace_source_output(operators.constant(np.ascontiguousarray(kernel[part])).output(0))


def _integers(values: list[int]) -> Any:
    return operators.constant(np.array(values, np.int64))
