"""A model of single spectra that is no convolution, as operators that a bundle's graphs take in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["GraphBuilder", "SpectralGraph"]


class GraphBuilder(Protocol):
    """What writes operators of a graph; every method returns the name of a tensor."""

    def __call__(self, operator: str, *inputs: str, domain: str | None = None, **attributes: Any) -> str:
        """One operator with one output."""
        ...

    def second(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One operator with two outputs, of which the second is wanted."""
        ...

    def real(self, value: npt.ArrayLike) -> str:
        """A float32 constant."""
        ...

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant."""
        ...

    def row_by_row(self, plane: str, channels: int, body: Callable[[str], str]) -> str:
        """Apply `body` to each row (w, B) of a plane (h, w, B); it gives (w, `channels`), and all together (h, w, `channels`).

        What is large inside is then as large as a row needs, not a frame.
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
        Writes what makes logits (h, w, C) of a plane of spectra (h, w, B).
    parameters
        Numbers that were learned.
    steps
        Its probabilities jump: spectra that differ by rounding may get others, as in a tree.
    uses_ml
        It has operators of the domain ai.onnx.ml, which OpenVINO does not know.
    """

    n_bands: int
    n_classes: int
    logits: Callable[[GraphBuilder, str], str]
    parameters: int
    steps: bool = False
    uses_ml: bool = False

    @property
    def window(self) -> int:
        """Side of the window that it looks at."""
        return 1
