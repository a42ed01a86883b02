"""Labelled pixels of several cubes and the windows around them, gathered by index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.errors import CubeError, ModelError
from gliomap.preprocessing import HyperCube
from gliomap.taxonomy import ClassSet

__all__ = ["LabelledCube", "PatchSource", "check_bands"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class LabelledCube:
    """One capture as training sees it.

    Attributes
    ----------
    capture
        Identifier, for example 'ID0018C09'.
    patient
        Identifier, for example 'ID0018'.
    data
        (H, W, B) float32, finite, preprocessed; 0 where a pixel is invalid.
    classes
        (H, W) uint8; 1…C, 0 where a pixel is unlabelled, in no class, or invalid.

    Raises
    ------
    CubeError
        Shapes or types do not match.
    """

    capture: str
    patient: str
    data: Floats
    classes: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or self.data.dtype != np.float32:
            raise CubeError(
                self.capture, f"its cube is {self.data.dtype} {self.data.shape}", "Give float32 of shape (H, W, B)."
            )
        if self.classes.shape != self.data.shape[:2] or self.classes.dtype != np.uint8:
            raise CubeError(
                self.capture,
                f"its classes are {self.classes.dtype} {self.classes.shape} for a cube of {self.data.shape}",
                "Give uint8 of shape (H, W).",
            )

    @classmethod
    def from_cube(
        cls, capture: str, patient: str, cube: HyperCube, codes: npt.NDArray[np.uint16], classes: ClassSet
    ) -> LabelledCube:
        """Combine a cube with its (H, W) map of tissue codes; invalid pixels lose their label.

        Parameters
        ----------
        capture, patient
            Identifiers of cube and map.
        cube
            The cube; its masked spectra become 0.
        codes
            (H, W) uint16; 0 where nothing was labelled.
        classes
            Which codes make up which class; other codes become 0.

        Raises
        ------
        CubeError
            Cube and map differ in size.
        """
        if codes.shape != cube.mask.shape:
            raise CubeError(
                capture,
                f"its map is {codes.shape[0]}×{codes.shape[1]}, but its cube is {cube.height}×{cube.width}",
                "Give the capture's crop in study.toml.",
            )
        return cls(
            capture=capture,
            patient=patient,
            data=np.where(cube.mask[..., np.newaxis], cube.data, np.float32(0)),
            classes=np.where(cube.mask, classes.from_codes(codes), 0).astype(np.uint8),
        )


class PatchSource:
    """Pixels of several cubes with the w×w windows around them.

    The cubes lie one after another in one padded float32 table of spectra; a window is w² rows of
    it. Only the windows of one batch exist at a time.

    Parameters
    ----------
    cubes
        One or more cubes with the same number of bands.
    window
        Side of the window, odd; 1 for a single pixel. Values beyond a cube's edge are 0.
    pixels
        For each cube, a bool array (H, W) of the pixels to take; by default those with a label.
    class_names
        Names of classes 1…C for messages; without them, messages show numbers.

    Attributes
    ----------
    index
        (N, 3) int32: number of the cube, row, column.
    labels
        (N,) uint8, class 1…C (0 only where `pixels` selects an unlabelled pixel).

    Raises
    ------
    ModelError
        The window is not an odd number, or there are no cubes.
    CubeError
        Cubes have different numbers of bands.
    """

    def __init__(
        self,
        cubes: Sequence[LabelledCube],
        window: int,
        *,
        pixels: Sequence[npt.NDArray[np.bool_]] | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        if window < 1 or window % 2 == 0:
            raise ModelError(f"window {window}", "is not an odd number", "Use 1, 3, 5, 7, …")
        if not cubes:
            raise ModelError("patches", "there is no cube to take them from", "Name at least one capture.")
        check_bands(cubes)
        self.window = window
        self.class_names = tuple(class_names)
        self.n_bands = int(cubes[0].data.shape[2])
        self.captures = tuple(cube.capture for cube in cubes)
        self.patients = tuple(cube.patient for cube in cubes)
        wanted = [cube.classes > 0 for cube in cubes] if pixels is None else list(pixels)

        margin = window // 2
        heights = [(cube.data.shape[0] + 2 * margin) for cube in cubes]
        widths = [(cube.data.shape[1] + 2 * margin) for cube in cubes]
        firsts = np.cumsum([0, *(height * width for height, width in zip(heights, widths, strict=True))])
        self._spectra = np.zeros((int(firsts[-1]), self.n_bands), np.float32)
        rows_of: list[npt.NDArray[np.int32]] = []
        starts: list[Indices] = []
        labels: list[npt.NDArray[np.uint8]] = []
        for number, (cube, chosen, height, width) in enumerate(zip(cubes, wanted, heights, widths, strict=True)):
            padded = self._spectra[firsts[number] : firsts[number + 1]].reshape(height, width, self.n_bands)
            padded[margin : height - margin, margin : width - margin] = cube.data
            rows, columns = np.nonzero(chosen)
            rows_of.append(np.stack([np.full_like(rows, number), rows, columns], axis=1).astype(np.int32))
            starts.append((firsts[number] + rows * width + columns).astype(np.intp))
            labels.append(cube.classes[rows, columns])
        self.index = np.concatenate(rows_of)
        self.labels = np.concatenate(labels)
        self._starts = np.concatenate(starts)
        self._widths = np.array(widths, np.intp)

    @classmethod
    def every_pixel(cls, cube: HyperCube, window: int) -> PatchSource:
        """All valid pixels of one cube, without labels, in row-major order."""
        nothing = np.zeros(cube.mask.shape, np.uint8)
        return cls([LabelledCube("cube", "", cube.data, nothing)], window, pixels=[cube.mask])

    def __len__(self) -> int:
        return int(self.labels.size)

    def windows(self, which: npt.NDArray[np.integer]) -> Floats:
        """The windows of some pixels.

        Parameters
        ----------
        which
            (n,) positions in `index`.

        Returns
        -------
        ndarray
            (n, B, w, w) float32, [pixel, band, row, column], with the bands next to each other in
            memory: the layout on which convolutions are fastest.
        """
        chosen = np.asarray(which, np.intp)
        widths = self._widths[self.index[chosen, 0]]
        steps = np.arange(self.window, dtype=np.intp)
        taps = (steps[:, np.newaxis] * widths[:, np.newaxis, np.newaxis] + steps).reshape(chosen.size, self.window**2)
        rows = self._starts[chosen][:, np.newaxis] + taps
        gathered: Floats = np.take(self._spectra, rows.ravel(), axis=0)
        return gathered.reshape(chosen.size, self.window, self.window, self.n_bands).transpose(0, 3, 1, 2)

    def batches(self, size: int) -> Iterator[Indices]:
        """All positions in order, `size` at a time; the last batch may be smaller."""
        for first in range(0, len(self), size):
            yield np.arange(first, min(first + size, len(self)), dtype=np.intp)

    def class_counts(self, n_classes: int) -> npt.NDArray[np.int64]:
        """(C,) number of pixels of classes 1…C."""
        return np.bincount(self.labels, minlength=n_classes + 1)[1 : n_classes + 1].astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over spectra, positions and labels."""
        digest = hashlib.sha256(f"{self.window} {self.captures}".encode())
        for part in (self._spectra, self.index, self.labels):
            digest.update(part.data)
        return digest.hexdigest()


def check_bands(cubes: Sequence[LabelledCube]) -> None:
    """Refuse cubes with different numbers of bands.

    Raises
    ------
    CubeError
        Cubes differ; the error names the first two captures that do.
    """
    first = cubes[0]
    for cube in cubes[1:]:
        if cube.data.shape[2] != first.data.shape[2]:
            raise CubeError(
                f"cube of {cube.capture}",
                f"has {cube.data.shape[2]} bands, but that of {first.capture} has {first.data.shape[2]}",
                "Train on captures with the same camera and preprocessing.",
            )
