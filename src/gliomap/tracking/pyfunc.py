"""How MLflow loads a registered bundle (`mlflow.pyfunc.load_model`): with our engine, unpickling nothing.

`predict` takes a cube (float32 H×W×B, preprocessed as for training), or frames as a dictionary with `raw`, `white` and
`dark` (uint16, the whole sensor). It returns `labels` (uint8 H×W, 0 = not classified), `confidence` (float32 H×W) and
`probabilities` (float32 H×W×C).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.captures import check_raw, check_references
from gliomap.engine import Engine, TissueMap
from gliomap.errors import CubeError
from gliomap.preprocessing import HyperCube, Reason

__all__ = ["BundleModel"]

FRAMES = ("raw", "white", "dark")


class BundleModel:
    """A bundle behind MLflow's interface."""

    def __init__(self, path: str) -> None:
        self._engine = Engine.open(path)

    def predict(
        self, model_input: npt.ArrayLike | Mapping[str, npt.ArrayLike], params: Mapping[str, Any] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Classify a cube or frames; `params` is ignored.

        Raises
        ------
        CubeError
            The input has another shape, or values that are not finite.
        CaptureError, ReferenceFrameError
            The frames cannot be used, or do not belong together.
        """
        del params
        tissue = self._classify(model_input)
        return {"labels": tissue.labels, "confidence": tissue.confidence, "probabilities": tissue.probabilities}

    def _classify(self, given: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> TissueMap:
        if isinstance(given, Mapping):
            missing = [name for name in FRAMES if name not in given]
            if missing:
                raise CubeError("input", f"lacks {', '.join(missing)}", "Give raw, white and dark frames, or a cube.")
            raw, white, dark = (np.asarray(given[name]) for name in FRAMES)
            # Checked here because an answer without labels could not say why.
            check_references(white, dark, self._engine.sensor)
            check_raw(raw, white, dark, self._engine.sensor)
            return self._engine.classify_frame(raw, self._engine.prepare(white, dark))
        return self._engine.classify_cube(self._cube(np.asarray(given, np.float32)))

    def _cube(self, data: npt.NDArray[np.float32]) -> HyperCube:
        bands = self._engine.manifest.model.n_bands
        if data.ndim != 3 or data.shape[2] != bands:
            raise CubeError("cube", f"has shape {data.shape}", f"Give height × width × {bands} bands.")
        # A cube marks an invalid pixel with an all-zero spectrum.
        mask = np.any(data != 0, axis=2)
        units = self._engine.manifest.preprocessing.units
        return HyperCube(data, None, units, mask, np.where(mask, 0, Reason.ZERO_BRIGHTNESS).astype(np.uint8))


def _load_pyfunc(path: str) -> BundleModel:
    """The function that MLflow calls."""
    return BundleModel(path)
