"""Cut a frame graph with a window network into the two models that a strip of rows goes through.

Only the thesis's network is recognised here (a padded convolution, a pool, a 3×3 convolution with dilation 2, and a
1×1 convolution). For any other graph `find_window` returns None, and the graph runs as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as operators

from gliomap.engine._openvino_graph import multiply_sums, product_per_pixel, reshape_for_openvino
from gliomap.engine._openvino_winograd import MARGIN, dilated_convolution, interleaved

__all__ = ["Window", "features_model", "find_window", "outputs_model"]

_AFTER_DILATED = ("Add", "Relu", "Convolution", "Add", "Squeeze")


@dataclass(frozen=True)
class Window:
    """The parts of a window network in a frame graph.

    Attributes
    ----------
    entry, pool, dilated, logits
        Nodes: the padded convolution, the pool that ends the features, the convolution with dilation 2, and the logits
        that the outputs are computed from.
    valid
        Which tiles are valid: output of a node, bool (1, h, w).
    head_kernel, bias, head_bias
        Weights (classes, channels) of the 1×1 convolution; biases of the dilated and of the 1×1 convolution.
    crop
        The node that cuts out the active area; None if tiles begin at the frame's corner.
    tile_rows
        Rows of the frame in a tile.
    """

    entry: Any
    pool: Any
    dilated: Any
    logits: Any
    valid: Any
    head_kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    head_bias: npt.NDArray[np.float32]
    crop: Any | None
    tile_rows: int

    @property
    def top(self) -> int:
        """The first row of the frame that belongs to a tile."""
        return 0 if self.crop is None else int(_constant(self.crop.input_value(1))[0])

    @property
    def padding(self) -> int:
        """Rows of zeros above the cube, and as many below."""
        return int(self.entry.get_attributes()["pads_begin"][0])

    @property
    def reach(self) -> int:
        """How many rows of the cube, beyond the first, one row of features depends on."""
        return int(self.entry.get_input_shape(1)[2])


def find_window(model: Any) -> Window | None:
    """The window network of a frame graph; None for other networks and for cube graphs."""
    network = _nodes(model, "network", "Convolution")
    chosen, tiles = _nodes(model, "outputs", "Select"), _nodes(model, "tiles", "Convolution")
    if len(network) != 3 or len(chosen) != 1 or len(tiles) != 1:
        return None
    entry, dilated, head = network
    pool, after = dilated.input_value(0).get_node(), _following(dilated, _AFTER_DILATED)
    padding = entry.get_attributes()["pads_begin"]
    if (
        after is None
        or pool.get_type_name() != "MaxPool"
        or not _has(entry, strides=[1, 1], dilations=[1, 1], pads_end=padding)
        or not _has(pool, strides=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], kernel=[2, 2])
        or not _has(dilated, strides=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], dilations=[2, 2])
        or [list(node.get_input_shape(1)[2:]) for node in (dilated, head)] != [[3, 3], [1, 1]]
    ):
        return None
    add, _, _, head_add, logits = after
    return Window(
        entry,
        pool,
        dilated,
        logits,
        valid=chosen[0].input_value(0),
        head_kernel=_constant(head.input_value(1))[:, :, 0, 0],
        bias=_constant(add.input_value(1)).ravel(),
        head_bias=_constant(head_add.input_value(1)).ravel(),
        crop=next(iter(_nodes(model, "calibrate", "Slice")), None),
        tile_rows=int(tiles[0].get_attributes()["strides"][0]),
    )


def features_model(model: Any, rows: int, padding: int = 0) -> Any:
    """Some rows of a frame → features.

    Parameters
    ----------
    model
        A frame graph in which `find_window` finds a window network; it is modified.
    rows
        Rows of tiles. The inputs are those of the frame graph, with this many rows.
    padding
        Rows of zeros above and below, as beyond the edges of a frame.

    Returns
    -------
    Model
        Its outputs: features (1, rows + 2 · padding − reach, columns, channels), valid (1, rows, w).
    """
    window = _known_window(model)
    height = rows * window.tile_rows
    for parameter in model.get_parameters():
        *bands, _, wide = parameter.get_output_shape(0)
        parameter.set_partial_shape(openvino.PartialShape([*bands, rows if bands else height, wide]))
    if window.crop is not None:
        _set_rows(window.crop, 0, height)
    reshape_for_openvino(_inferred(model))
    multiply_sums(model)
    entry, side = window.entry, window.entry.get_attributes()["pads_begin"][1]
    padded = operators.convolution(*entry.input_values(), [1, 1], [padding, side], [padding, side], [1, 1])
    entry.output(0).replace(padded.output(0))
    features = operators.transpose(window.pool.output(0), operators.constant(np.array([0, 2, 3, 1])))
    # As numbers: OpenVINO converts boolean outputs of a model one at a time.
    valid = operators.convert(window.valid, np.float32)
    return _inferred(openvino.Model([features.output(0), valid.output(0)], model.get_parameters()))


def outputs_model(model: Any, rows: int) -> Any:
    """Features (1, rows + MARGIN, columns, channels) and valid (1, rows, w) → the outputs of some rows.

    Parameters
    ----------
    model
        A frame graph in which `find_window` finds a window network; it is modified.
    rows
        A multiple of `ROWS` of the Winograd filtering.

    Returns
    -------
    Model
        Its outputs: labels, confidence, probabilities.
    """
    window = _known_window(model)
    _, channels, _, columns = window.pool.get_output_shape(0)
    features = operators.parameter([1, rows + MARGIN, columns, channels], np.float32)
    valid = operators.parameter([1, rows, window.valid.get_shape()[2]], np.float32)
    planes = dilated_convolution(features, _constant(window.dilated.input_value(1)), window.bias)
    logits = operators.add(
        product_per_pixel(planes, window.head_kernel), operators.constant(window.head_bias.reshape(-1, 1))
    )
    window.logits.output(0).replace(interleaved(logits, rows, valid.get_output_shape(0)[2]).output(0))
    window.valid.replace(operators.greater(valid, operators.constant(np.float32(0))).output(0))
    outputs = [model.output(name).get_node().input_value(0) for name in ("labels", "confidence", "probabilities")]
    return _inferred(openvino.Model(outputs, [features, valid]))


def _inferred(model: Any) -> Any:
    model.validate_nodes_and_infer_types()
    return model


def _known_window(model: Any) -> Window:
    window = find_window(model)
    if window is None:
        raise ValueError("not a frame graph with a window network")
    return window


def _nodes(model: Any, stage: str, kind: str) -> list[Any]:
    """The nodes of a stage, in order; `gliomap.learning.export` prefixes node names with stages."""
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == kind and node.get_friendly_name().startswith(f"{stage}/")
    ]


def _following(node: Any, kinds: Sequence[str]) -> list[Any] | None:
    """The chain of nodes after this one, if they are of these kinds and no other node reads their outputs."""
    chain = []
    for kind in kinds:
        # Ignore nodes that read only the shape, which the biases' own shapes need.
        readers = [one.get_node() for one in node.output(0).get_target_inputs()]
        readers = [one for one in readers if one.get_type_name() != "ShapeOf"]
        if len(readers) != 1 or readers[0].get_type_name() != kind:
            return None
        node = readers[0]
        chain.append(node)
    return chain


def _has(node: Any, **attributes: list[int]) -> bool:
    found = node.get_attributes()
    return all(list(found[name]) == list(value) for name, value in attributes.items())


def _constant(output: Any) -> npt.NDArray[Any]:
    """The constant behind an input, even if it is reshaped first."""
    node = output.get_node()
    while node.get_type_name() == "Reshape":
        node = node.input_value(0).get_node()
    return np.array(node.get_data())


def _set_rows(crop: Any, first: int, last: int) -> None:
    for position, row in ((1, first), (2, last)):
        bounds = _constant(crop.input_value(position))
        bounds[0] = row
        crop.input(position).replace_source_output(operators.constant(bounds).output(0))
