"""Nearest neighbours by spectral angle."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

import numpy as np

from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._model import Floats
from gliomap.learning._spectral import ABSENT_LOGIT, Pixels, SpectralModel, in_blocks
from gliomap.learning._spectral_graph import GraphBuilder, SpectralGraph

__all__ = ["SpectralAngleNeighbours"]

MOST_REFERENCES = 1000
"""Maximum number of reference spectra, balanced over classes and patients: each is compared with every frame pixel."""
NEIGHBOURS = 15

_PSEUDO = 0.5
"""Votes that each class starts with: a class that no neighbour votes for is unlikely, not impossible."""
_TINY = 1e-12


class SpectralAngleNeighbours(SpectralModel):
    """The 15 reference spectra at the smallest angle vote (spectral angle: Kruse et al. 1993).

    Surgeons' labels in this field are grown by spectral angle from pixels that they click. One temperature on the
    logarithms of the vote shares, learned from the validation patients, turns them into probabilities.
    """

    name: ClassVar[str] = "sam-knn"
    shapes = MappingProxyType({"mean": "B", "references": "RB", "votes": "RC", "absent": "C", "factor": "1"})

    def _learn(self, pixels: Pixels, config: TrainingConfig) -> dict[str, Floats]:
        chosen = pixels.subsample(MOST_REFERENCES, config.seed)
        directions = _directions(chosen.spectra)
        absent = np.full(self.n_classes, ABSENT_LOGIT, np.float32)
        absent[np.unique(chosen.labels) - 1] = 0
        # Angles to the references rank as distances between directions do, and subtracting a mean does not change
        # those. Cosines near 1 would lose half of the digits of float32.
        mean = directions.mean(axis=0)
        return {
            "mean": mean,
            "references": directions - mean,
            "votes": np.eye(self.n_classes, dtype=np.float32)[chosen.labels - 1],
            "absent": absent,
            "factor": np.ones(1, np.float32),
        }

    def _check(self) -> None:
        tensors = self._known()
        votes = tensors["votes"]
        if not len(votes) or not np.isin(votes, (0, 1)).all() or (votes.sum(axis=1) != 1).any():
            raise ModelError(
                f"weights of {self.name}", "hold references that do not vote for one class", "Train again."
            )
        if tensors["factor"][0] <= 0:
            raise ModelError(f"weights of {self.name}", "hold a factor that is not positive", "Train again.")

    @property
    def _neighbours(self) -> int:
        return min(NEIGHBOURS, len(self._known()["references"]))

    def _offset(self) -> Floats:
        # ‖a − b‖² ranks in the reverse order of a·b − ‖b‖²/2.
        result: Floats = -(self._known()["references"] ** 2).sum(axis=1) / 2
        return result

    def _logits(self, spectra: Floats) -> Floats:
        tensors, offset, count = self._known(), self._offset(), self._neighbours
        pseudo = np.float32(_PSEUDO / count)

        def logits(some: Floats) -> Floats:
            nearness = (_directions(some) - tensors["mean"]) @ tensors["references"].T + offset
            which = np.argpartition(nearness, -count, axis=1)[:, -count:]
            shares = tensors["votes"][which].mean(axis=1)
            result: Floats = np.log(shares + pseudo) * tensors["factor"] + tensors["absent"]
            return result

        return in_blocks(logits, spectra, self.n_classes)

    def dense(self) -> SpectralGraph:
        """The same model as a matrix product and a selection of the largest values, row by row of a frame."""
        tensors, offset, count = self._known(), self._offset(), self._neighbours

        def logits(build: GraphBuilder, plane: str) -> str:
            length = build("ReduceL2", plane, build.integers(2), keepdims=1)
            directions = build("Div", plane, build("Max", length, build.real(_TINY)))
            centred = build("Sub", directions, build.real(tensors["mean"]))

            def row(values: str) -> str:
                nearness = build("Gemm", values, build.real(tensors["references"].T), build.real(offset))
                which = build.second("TopK", nearness, build.integers(count), axis=1, sorted=0)
                votes = build("Gather", build.real(tensors["votes"]), which, axis=0)
                return build("ReduceMean", votes, build.integers(1), keepdims=0)

            shares = build.row_by_row(centred, self.n_classes, row)
            logarithms = build("Log", build("Add", shares, build.real(_PSEUDO / count)))
            return build("Add", build("Mul", logarithms, build.real(tensors["factor"])), build.real(tensors["absent"]))

        size = sum(tensor.size for tensor in tensors.values())
        return SpectralGraph(self.n_bands, self.n_classes, logits, size, steps=True)


def _directions(spectra: Floats) -> Floats:
    """Spectra scaled to length 1; 0 stays 0."""
    result: Floats = spectra / np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), np.float32(_TINY))
    return result
