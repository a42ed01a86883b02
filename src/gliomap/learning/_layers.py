"""A patch or pixel model as a convolution over the frame, without torch.

A network that classifies the centre of a w×w patch is a convolution: every `Linear` after a
`flatten` becomes a convolution that covers the flattened map, every pool gets stride 1, and what
follows a pool of size s is dilated by s. Evaluated over the frame with (w − 1)/2 zeros around it,
it yields for each pixel what that pixel's own patch would yield.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.errors import ModelError

__all__ = ["Conv", "DenseNetwork", "Layer", "MaxPool", "Relu"]

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution without padding, stride 1 (cross-correlation, as in torch and ONNX).

    Attributes
    ----------
    weight
        (outputs, inputs, rows, columns) float32, finite.
    bias
        (outputs,) float32, finite.
    dilation
        Distance between the taps of the kernel, in both directions.
    """

    weight: Array
    bias: Array
    dilation: int = 1

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or self.bias.shape != self.weight.shape[:1] or self.dilation < 1:
            raise _fault(f"weight {self.weight.shape}, bias {self.bias.shape}, dilation {self.dilation} do not fit")
        if self.weight.dtype != np.float32 or self.bias.dtype != np.float32:
            raise _fault(f"weight is {self.weight.dtype} and bias {self.bias.dtype}, but both must be float32")
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise _fault("a weight or bias is NaN or infinite")

    @property
    def margin(self) -> tuple[int, int]:
        """Rows and columns by which the output is smaller than the input."""
        return (self.weight.shape[2] - 1) * self.dilation, (self.weight.shape[3] - 1) * self.dilation


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Maximum over size × size pixels, stride 1, without padding."""

    size: int

    @property
    def margin(self) -> tuple[int, int]:
        """Rows and columns by which the output is smaller than the input."""
        return self.size - 1, self.size - 1


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""

    @property
    def margin(self) -> tuple[int, int]:
        """The output is as large as the input."""
        return 0, 0


Layer = Conv | MaxPool | Relu


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """What a bundle's graph computes after preprocessing: [B, H, W] → logits [C, H, W].

    Attributes
    ----------
    layers
        The layers in order; the last one is a `Conv` with `n_classes` outputs.
    padding
        Zeros added on each of the four sides of the (normalised) cube before the first layer:
        (window − 1)/2 of the patch model. The layers must remove exactly as much.
    n_bands
        Number of bands of the cube.
    n_classes
        Number of classes; logit k belongs to class k + 1.

    Raises
    ------
    ModelError
        The channels of consecutive layers do not match, or the output does not have the size of the input.
    """

    layers: tuple[Layer, ...]
    padding: int
    n_bands: int
    n_classes: int

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise _fault(f"padding {self.padding} is negative")
        channels, rows, columns = self.n_bands, 0, 0
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                if layer.weight.shape[1] != channels:
                    raise _fault(f"layer {number} takes {layer.weight.shape[1]} channels but receives {channels}")
                channels = layer.weight.shape[0]
            rows, columns = rows + layer.margin[0], columns + layer.margin[1]
        if channels != self.n_classes or not self.layers or not isinstance(self.layers[-1], Conv):
            raise _fault(f"its last layer must be a Conv with {self.n_classes} outputs; the layers end in {channels}")
        if (rows, columns) != (2 * self.padding, 2 * self.padding):
            raise _fault(f"its layers remove {rows}×{columns} pixels, but the padding adds {2 * self.padding}")

    @property
    def window(self) -> int:
        """Side of the patch that one output pixel sees."""
        return 2 * self.padding + 1

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return sum(layer.weight.size + layer.bias.size for layer in self.layers if isinstance(layer, Conv))

    def logits(self, cube: npt.ArrayLike) -> Array:
        """Compute logits with NumPy: the plain reference for graphs, not the fast path.

        Parameters
        ----------
        cube
            (H, W, B), normalised.

        Returns
        -------
        ndarray
            (H, W, C) float32.
        """
        data = np.asarray(cube, np.float32)
        around = ((self.padding, self.padding), (self.padding, self.padding), (0, 0))
        logits: Array = self.valid_logits(np.pad(data, around)[np.newaxis])[0]
        return logits

    def valid_logits(self, patches: npt.ArrayLike) -> Array:
        """Compute logits of patches without any padding: (N, h, w, B) → (N, h − 2p, w − 2p, C), float32.

        A patch of `window` × `window` yields one pixel.

        Raises
        ------
        ModelError
            The number of bands differs, or patches are smaller than the window.
        """
        data = np.asarray(patches, np.float32)
        if data.ndim != 4 or data.shape[3] != self.n_bands or min(data.shape[1:3]) < self.window:
            raise _fault(
                f"patches of shape {data.shape} do not fit (N, ≥{self.window}, ≥{self.window}, {self.n_bands})"
            )
        for layer in self.layers:
            data = _apply(layer, data)
        return data


def _apply(layer: Layer, data: Array) -> Array:
    """Apply one layer to (N, H, W, channels)."""
    if isinstance(layer, Relu):
        return np.maximum(data, np.float32(0))
    rows, columns = data.shape[1] - layer.margin[0], data.shape[2] - layer.margin[1]
    if isinstance(layer, MaxPool):
        result = data[:, :rows, :columns]
        for row in range(layer.size):
            for column in range(layer.size):
                result = np.maximum(result, data[:, row : row + rows, column : column + columns])
        return result
    total = np.broadcast_to(layer.bias, (data.shape[0], rows, columns, layer.bias.size)).copy()
    for row in range(layer.weight.shape[2]):
        for column in range(layer.weight.shape[3]):
            top, left = row * layer.dilation, column * layer.dilation
            total += data[:, top : top + rows, left : left + columns] @ layer.weight[:, :, row, column].T
    return total


def _fault(fault: str) -> ModelError:
    return ModelError("dense network", fault, "Correct the layers; see gliomap.learning.DenseNetwork.")
