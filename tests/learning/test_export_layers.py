"""Layers that do not fit together are refused before a graph is built from them."""

from __future__ import annotations

import numpy as np
import pytest

from bundles.makers import window_network
from gliomap.errors import ModelError
from gliomap.learning import Conv, DenseNetwork, Layer, MaxPool, Relu


def conv(outputs: int = 2, inputs: int = 3, size: int = 1) -> Conv:
    return Conv(np.ones((outputs, inputs, size, size), np.float32), np.zeros(outputs, np.float32))


@pytest.mark.parametrize(
    ("weight", "bias", "dilation", "fault"),
    [
        (np.ones((2, 3), np.float32), np.zeros(2, np.float32), 1, "do not fit"),
        (np.ones((2, 3, 1, 1), np.float32), np.zeros(3, np.float32), 1, "do not fit"),
        (np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32), 0, "dilation 0"),
        (np.ones((2, 3, 1, 1)), np.zeros(2), 1, "float64"),
        (np.full((2, 3, 1, 1), np.nan, np.float32), np.zeros(2, np.float32), 1, "NaN"),
    ],
)
def test_an_invalid_convolution_is_refused(weight: np.ndarray, bias: np.ndarray, dilation: int, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        Conv(weight, bias, dilation)


@pytest.mark.parametrize(
    ("layers", "padding", "fault"),
    [
        ((), 0, "last layer"),
        ((conv(), Relu()), 0, "last layer"),
        ((conv(5, 4),), 0, "takes 4 channels but receives 3"),
        ((conv(4, 3),), 0, "the layers end in 4"),
        ((MaxPool(2), conv()), 0, "remove 1×1"),
        ((conv(2, 3, 3),), 2, "padding adds 4"),
        ((conv(),), -1, "negative"),
    ],
)
def test_layers_that_do_not_form_a_network_are_refused(layers: tuple[Layer, ...], padding: int, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        DenseNetwork(layers, padding, n_bands=3, n_classes=2)


@pytest.mark.parametrize("shape", [(7, 7, 4), (1, 6, 7, 4), (1, 7, 7, 5)])
def test_patches_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="do not fit"):
        window_network().valid_logits(np.zeros(shape, np.float32))


def test_dense_logits_equal_those_of_single_patches() -> None:
    network = window_network()
    cube = np.random.default_rng(0).normal(0, 1, (9, 8, 4)).astype(np.float32)
    padded = np.pad(cube, ((3, 3), (3, 3), (0, 0)))
    patches = np.stack([padded[row : row + 7, column : column + 7] for row in range(9) for column in range(8)])
    np.testing.assert_allclose(
        network.logits(cube).reshape(72, 5), network.valid_logits(patches)[:, 0, 0], rtol=1e-5, atol=1e-6
    )
