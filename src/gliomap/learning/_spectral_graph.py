"""A model of single spectra that is not a convolution, as operators for a bundle's graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["GraphBuilder", "SpectralGraph"]


class GraphBuilder(Protocol):
    """Writes operators of a graph; every method returns the name of a tensor."""

    def __call__(self, operator: str, *inputs: str, domain: str | None = None, **attributes: Any) -> str:
        """Add an operator with one output."""
        ...

    def second(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with two outputs; return the second."""
        ...

    def real(self, value: npt.ArrayLike) -> str:
        """Add a float32 constant."""
        ...

    def integers(self, *values: int) -> str:
        """Add a one-dimensional int64 constant."""
        ...

    def row_by_row(self, plane: str, channels: int, body: Callable[[str], str]) -> str:
        """Apply `body` to each row (w, B) of a plane (h, w, B); a row yields (w, `channels`), the plane (h, w, `channels`).

        Large intermediate arrays then have the size for a row, not for a frame.
        """
        ...


@dataclass(frozen=True)
class SpectralGraph:
    """A classifier of single spectra.

    Attributes
    ----------
    n_bands, n_classes
        B and C.
    logits
        Writes the operators that compute logits (h, w, C) from a plane of spectra (h, w, B).
    parameters
        Number of learned parameters.
    steps
        Whether its probabilities jump, as in a tree: rounding a spectrum may change them.
    uses_ml
        Whether it has operators from the domain ai.onnx.ml, which OpenVINO does not support.
    """

    n_bands: int
    n_classes: int
    logits: Callable[[GraphBuilder, str], str]
    parameters: int
    steps: bool = False
    uses_ml: bool = False

    @property
    def window(self) -> int:
        """Side of the window that the model sees."""
        return 1
