"""What the training loop needs to know of a torch module."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gliomap.learning._model import check_sizes

__all__ = ["PatchModule"]


class PatchModule(nn.Module):
    """A module from patches (N, B, w, w) to logits (N, C).

    Raises
    ------
    ModelError
        Fewer than one band or two classes.
    """

    name: ClassVar[str]
    window: ClassVar[int]
    n_bands: int
    n_classes: int

    def __init__(self, n_bands: int, n_classes: int) -> None:
        super().__init__()
        check_sizes(self.name, n_bands, n_classes)
        self.n_bands = n_bands
        self.n_classes = n_classes
