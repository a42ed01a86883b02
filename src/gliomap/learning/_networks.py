"""The thesis's two networks as torch modules, with the thesis's tensor names and shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gliomap._progress import Track, silent
from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._history import History, Observer, no_observer
from gliomap.learning._layers import Conv, DenseNetwork, MaxPool, Relu
from gliomap.learning._loop import PatchModule, train_network
from gliomap.learning._model import Floats, Tensors, check_finite, check_patches
from gliomap.learning._patches import PatchSource

__all__ = ["Conv2DNet", "FourLayerNet", "Network"]


class Network(PatchModule):
    """Base of both networks: training, prediction and weights as NumPy arrays."""

    def fit(
        self,
        training: PatchSource,
        validation: PatchSource | None,
        config: TrainingConfig,
        *,
        checkpoint: Path | None = None,
        observer: Observer = no_observer,
        track: Track = silent,
    ) -> History:
        """Train with Adam and cross-entropy; see `TissueModel.fit` and `TrainingConfig`."""
        return train_network(self, training, validation, config, checkpoint=checkpoint, observer=observer, track=track)

    def predict_proba(self, patches: Floats) -> Floats:
        """Probabilities (N, C) of patches (N, B, w, w)."""
        check_patches(patches, self.n_bands, self.window)
        values = patches if patches.flags.writeable else patches.copy()
        self.eval()
        with torch.inference_mode():
            probabilities: Floats = torch.softmax(self(torch.from_numpy(values)), dim=1).numpy()
        return probabilities

    def tensors(self) -> dict[str, Floats]:
        """Copies of the weights by the thesis's names."""
        return {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}

    def load(self, tensors: Tensors) -> None:
        """Load weights, whose names and shapes must match exactly.

        Raises
        ------
        ModelError
            A tensor is missing, unexpected, of another shape, or not finite.
        """
        expected = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in tensors.items()}
        if given != expected:
            raise ModelError(
                f"weights of {self.name}",
                f"are {_described(given)}, but the model takes {_described(expected)}",
                "Check that the architecture named is the one that was trained.",
            )
        check_finite(self.name, tensors)
        # A copy: the network must not share memory with the caller, whose array may map a read-only file.
        state = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in tensors.items()}
        self.load_state_dict(state)

    def array(self, name: str) -> Floats:
        """A copy of one weight as an array."""
        value: Floats = self.get_parameter(name).detach().numpy().copy()
        return value


class Conv2DNet(Network):
    """The thesis's convolutional network on 7×7 patches.

    Conv(B→16, 2×2) → MaxPool 2 (6×6→3×3) → ReLU → flatten (channel, row, column) →
    Linear 144→64 → ReLU → Linear 64→C. Tensors: conv.0, fc.0, fc.2.
    """

    name = "conv2d"
    window = 7

    def __init__(self, n_bands: int = 25, n_classes: int = 5) -> None:
        super().__init__(n_bands, n_classes)
        self.conv = nn.Sequential(nn.Conv2d(n_bands, 16, 2), nn.MaxPool2d(2), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, n_classes))

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (N, C) of patches (N, B, 7, 7)."""
        logits: Tensor = self.fc(self.conv(patches).flatten(1))
        return logits

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Conv2DNet:
        """Build the network with these weights; their shapes determine bands and classes."""
        network = cls(
            n_bands=_side(cls.name, tensors, "conv.0.weight", 1, 4),
            n_classes=_side(cls.name, tensors, "fc.2.weight", 0, 2),
        )
        network.load(tensors)
        return network

    def dense(self) -> DenseNetwork:
        """The pool with stride 1, the first Linear as a 3×3 convolution with dilation 2, the second as 1×1."""
        return DenseNetwork(
            layers=(
                Conv(self.array("conv.0.weight"), self.array("conv.0.bias")),
                MaxPool(2),
                Relu(),
                Conv(self.array("fc.0.weight").reshape(64, 16, 3, 3), self.array("fc.0.bias"), dilation=2),
                Relu(),
                Conv(self.array("fc.2.weight")[:, :, np.newaxis, np.newaxis], self.array("fc.2.bias")),
            ),
            padding=self.window // 2,
            n_bands=self.n_bands,
            n_classes=self.n_classes,
        )


class FourLayerNet(Network):
    """The thesis's network on single spectra: Linear B→H→2H→3H→C with ReLU in between.

    Tensors: linear1 … linear4.
    """

    name = "fourlayer"
    window = 1

    def __init__(self, n_bands: int = 25, n_classes: int = 5, hidden: int = 16) -> None:
        super().__init__(n_bands, n_classes)
        if hidden < 1:
            raise ModelError(self.name, f"{hidden} hidden units are too few for a network", "Give at least 1.")
        self.linear1 = nn.Linear(n_bands, hidden)
        self.linear2 = nn.Linear(hidden, hidden * 2)
        self.linear3 = nn.Linear(hidden * 2, hidden * 3)
        self.linear4 = nn.Linear(hidden * 3, n_classes)

    def forward(self, spectra: Tensor) -> Tensor:
        """Logits (N, C) of spectra (N, B) or (N, B, 1, 1)."""
        values = torch.relu(self.linear1(spectra.flatten(1)))
        values = torch.relu(self.linear2(values))
        values = torch.relu(self.linear3(values))
        logits: Tensor = self.linear4(values)
        return logits

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> FourLayerNet:
        """Build the network with these weights; their shapes determine bands, classes and H."""
        network = cls(
            n_bands=_side(cls.name, tensors, "linear1.weight", 1, 2),
            n_classes=_side(cls.name, tensors, "linear4.weight", 0, 2),
            hidden=_side(cls.name, tensors, "linear1.weight", 0, 2),
        )
        network.load(tensors)
        return network

    def dense(self) -> DenseNetwork:
        """Each Linear as a 1×1 convolution."""
        layers: list[Conv | Relu] = []
        for number in (1, 2, 3, 4):
            weight = self.array(f"linear{number}.weight")[:, :, np.newaxis, np.newaxis]
            layers += [Conv(weight, self.array(f"linear{number}.bias")), Relu()]
        return DenseNetwork(tuple(layers[:-1]), padding=0, n_bands=self.n_bands, n_classes=self.n_classes)


def _side(model: str, tensors: Tensors, name: str, axis: int, dimensions: int) -> int:
    """The length of one axis of a required tensor."""
    if name not in tensors or tensors[name].ndim != dimensions:
        given = {key: tuple(value.shape) for key, value in tensors.items()}
        raise ModelError(
            f"weights of {model}",
            f"are {_described(given)}, without a {dimensions}-dimensional {name!r}",
            "Check that the architecture named is the one that was trained.",
        )
    return int(tensors[name].shape[axis])


def _described(shapes: dict[str, tuple[int, ...]]) -> str:
    listed = [f"{name} {'×'.join(map(str, shape)) or 'scalar'}" for name, shape in sorted(shapes.items())]
    return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "") if listed else "empty"
