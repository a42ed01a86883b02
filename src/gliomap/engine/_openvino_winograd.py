"""The network's dilated convolution by Winograd filtering: six products instead of twelve.

F(4, 3) along the rows computes four outputs of a three-tap filter from six products (A. Lavin, S. Gray, 'Fast algorithms
for convolutional neural networks', CVPR 2016: the transforms of their F(4×4, 3×3), on one axis). Columns stay an
ordinary convolution, so the intermediate arrays grow by half rather than to more than twice their size. Results differ
from direct convolution by rounding alone, about 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from openvino import opset13 as operators

__all__ = ["MARGIN", "ROWS", "dilated_convolution", "interleaved"]

ROWS = 8
"""Rows of output computed together: two (the dilation) times four."""

_TILE, _DILATION = 4, 2
MARGIN = 2 * _DILATION
"""Rows and columns of the features beyond those of the output: the reach of the kernel."""

_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""The matrix G of the paper, which multiplies the three taps."""

_Float32 = npt.NDArray[np.float32]


def dilated_convolution(features: Any, kernel: _Float32, bias: _Float32) -> Any:
    """ReLU of a 3×3 convolution with dilation 2.

    Parameters
    ----------
    features
        Node of shape (1, rows + MARGIN, columns + MARGIN, channels); `rows` a multiple of `ROWS`.
    kernel
        (out, channels, 3, 3)
    bias
        (out,)

    Returns
    -------
    node
        (4, out, rows / 4, columns): four planes of every fourth pair of rows; `interleaved` restores their order.
    """
    # OpenVINO would fuse a product that only one sum reads into that sum, which splits the sums below. So those
    # products are halved and read twice.
    factors = np.array([0.5, 1, 1, 1, 1, 0.5])
    weights = _KERNEL * factors[:, np.newaxis]
    products = [_product(rows, taps, kernel) for rows, taps in zip(_inputs(features), weights, strict=True)]
    # This product enters all four outputs with factor 1, and so does the bias.
    products[1] = operators.add(products[1], _constant(bias.reshape(1, -1, 1, 1)))
    first, one, two, three, four, last = products
    first, last = operators.add(first, first), operators.add(last, last)
    # For the interpolation points ±1 and ±2.
    near, far = operators.add(one, two), operators.add(three, four)
    near_odd, far_odd = operators.subtract(one, two), operators.subtract(three, four)
    outputs = [
        operators.add(operators.add(near, far), first),
        operators.add(near_odd, _times(far_odd, 2)),
        operators.add(near, _times(far, 4)),
        operators.add(operators.add(near_odd, _times(far_odd, 8)), last),
    ]
    return operators.concat([operators.relu(one) for one in outputs], 0)


def interleaved(planes: Any, rows: int, columns: int) -> Any:
    """Values (channels, 4 · rows / 4 · columns), plane by plane, as (channels, rows, columns) with rows in order."""
    channels, _ = planes.get_output_shape(0)
    pairs = operators.reshape(planes, _integers(channels, _TILE, rows // ROWS, _DILATION * columns), special_zero=False)
    ordered = operators.transpose(pairs, _integers(0, 2, 1, 3))
    return operators.reshape(ordered, _integers(channels, rows, columns), special_zero=False)


def _inputs(features: Any) -> list[Any]:
    """The six sums of rows that are multiplied, each (1, channels, rows / 4, columns + 4)."""
    _, rows, columns, channels = features.get_output_shape(0)
    groups = (rows - MARGIN) // ROWS
    pairs = operators.reshape(
        features, _integers(rows // _DILATION, _DILATION * columns * channels), special_zero=False
    )
    d0, d1, d2, d3, d4, d5 = (
        operators.slice(pairs, *map(_integers, (first, first + _TILE * (groups - 1) + 1, _TILE, 0)))
        for first in range(_TILE + 2)
    )
    even, odd = operators.subtract(d4, _times(d2, 4)), operators.subtract(d3, _times(d1, 4))
    far_even, far_odd = operators.subtract(d4, d2), _times(operators.subtract(d3, d1), 2)
    sums = [
        operators.add(even, odd),
        operators.subtract(even, odd),
        operators.add(far_even, far_odd),
        operators.subtract(far_even, far_odd),
        operators.add(operators.subtract(_times(d0, 4), _times(d2, 5)), d4),
        operators.add(operators.subtract(_times(d1, 4), _times(d3, 5)), d5),
    ]
    # Concatenated and split again, which moves no data: OpenVINO makes fewer passes if all sums come before the first
    # product.
    parts = operators.split(operators.concat(sums, 0), operators.constant(np.int64(0)), len(sums)).outputs()
    shape = _integers(1, _DILATION * groups, columns, channels)
    # OpenVINO's convolutions keep channels innermost, so this transpose costs nothing.
    near, near_less, far, far_less, first, last = (
        operators.transpose(operators.reshape(one, shape, special_zero=False), _integers(0, 3, 1, 2)) for one in parts
    )
    return [first, near, near_less, far, far_less, last]


def _product(rows: Any, weights: npt.NDArray[np.float64], kernel: _Float32) -> Any:
    """A convolution along the columns with the weighted sum of the three rows of taps."""
    combined = np.einsum("k,oikc->oic", weights, kernel.astype(np.float64))[:, :, np.newaxis]
    return operators.convolution(rows, _constant(combined), [1, 1], [0, 0], [0, 0], [1, _DILATION])


def _times(node: Any, factor: float) -> Any:
    return operators.multiply(node, operators.constant(np.float32(factor)))


def _constant(values: npt.NDArray[np.floating[Any]]) -> Any:
    return operators.constant(np.ascontiguousarray(values, np.float32))


def _integers(*values: int) -> Any:
    return operators.constant(np.array(values, np.int64))
