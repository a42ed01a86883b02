"""The engine, which applies a bundle to frames and cubes."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.bundles import Bundle, Manifest, open_bundle
from gliomap.captures import Exposures, check_references
from gliomap.engine._backend import BackendName, Outputs, Precision, Runner, load_graph
from gliomap.engine._map import TissueMap
from gliomap.engine._references import DatedReferences, require_references, why_blank
from gliomap.engine._rows import free_rows
from gliomap.errors import BundleError, CubeError, ReferenceFrameError, UsageError
from gliomap.preprocessing import HyperCube, Reason, References, prepare_references, raw_reasons
from gliomap.sensors import MosaicSensor
from gliomap.taxonomy import ClassSet

__all__ = ["Engine"]

_UInt8 = npt.NDArray[np.uint8]
_Float32 = npt.NDArray[np.float32]


class Engine:
    """Classify frames and cubes with one bundle. Several threads may use one engine at once.

    The engine loads each graph when it is first needed.

    Parameters
    ----------
    bundle
        From `open_bundle`; `Engine.open` takes a path.
    backend
        'onnxruntime', or 'openvino' where it is installed.
    threads
        Threads per classification; None uses every core.
    precision
        'f32', or 'reduced' with OpenVINO: faster where the processor supports it, but some labels differ.
    max_reference_age
        The map is blank if frame and references were taken further apart than this; None sets no limit.

    Raises
    ------
    UsageError
        The backend cannot run this bundle, such as OpenVINO with a forest.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: BackendName = "onnxruntime",
        threads: int | None = None,
        precision: Precision = "f32",
        max_reference_age: timedelta | None = None,
    ) -> None:
        if backend == "openvino" and bundle.has_trees:
            raise UsageError(
                "backend 'openvino'",
                f"cannot run this bundle: its model {bundle.manifest.model.title!r} is made of trees",
                "Use backend onnxruntime.",
            )
        self.bundle = bundle
        self.backend: BackendName = backend
        self.threads = threads
        self.precision: Precision = precision
        self.max_reference_age = max_reference_age
        self._sensor = bundle.sensor
        self._runners: dict[str, Runner] = {}
        self._lock = threading.Lock()
        self._fitting: weakref.WeakSet[References] = weakref.WeakSet()
        self._gains: weakref.WeakKeyDictionary[References, list[_Float32]] = weakref.WeakKeyDictionary()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backend: BackendName = "onnxruntime",
        threads: int | None = None,
        precision: Precision = "f32",
        max_reference_age: timedelta | None = None,
        sensor: MosaicSensor | None = None,
    ) -> Engine:
        """Open a bundle.

        Parameters
        ----------
        path
            A folder or a .zip.
        backend, threads, precision, max_reference_age
            As for `Engine`.
        sensor
            The camera in use, to check the bundle against; None skips the check.

        Raises
        ------
        BundleError
            The bundle is damaged, incomplete, too new, or made for another sensor.
        UsageError
            As for `Engine`.
        """
        bundle = open_bundle(path, sensor)
        return cls(bundle, backend=backend, threads=threads, precision=precision, max_reference_age=max_reference_age)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def classes(self) -> ClassSet:
        """The classes that the labels stand for."""
        return self.bundle.manifest.classes

    @property
    def sensor(self) -> MosaicSensor:
        """The camera whose frames the engine classifies.

        Raises
        ------
        BundleError
            The bundle takes preprocessed cubes only.
        """
        if self._sensor is None:
            raise BundleError(
                self.bundle.path,
                f"has no frame.onnx: {self.manifest.no_frame}",
                "Classify preprocessed cubes, or make a bundle with --sensor.",
            )
        return self._sensor

    def load(self) -> None:
        """Load the graphs now, so that the first frame does not wait for them."""
        self._runner("cube")
        if self._sensor is not None:
            self._runner("frame")

    def prepare(
        self,
        white: npt.NDArray[np.uint16],
        dark: npt.NDArray[np.uint16],
        *,
        exposures: Exposures | None = None,
        white_dark: npt.NDArray[np.uint16] | None = None,
        taken_at: datetime | None = None,
    ) -> DatedReferences:
        """Prepare a pair of references, once for all frames that follow.

        References that cannot be right (swapped, hardly any light, saturated) are prepared as well, with their
        `fault` set: every map made with them is blank and states it.

        Parameters
        ----------
        white, dark, white_dark
            uint16 frames; `white_dark` is a second dark, taken at the white's exposure.
        exposures
            Exposure times, where they differ.
        taken_at
            When the oldest of them was taken.

        Raises
        ------
        CaptureError
            A frame has the wrong shape or type.
        ReferenceFrameError
            No dark fits the exposures.
        BundleError
            The bundle takes preprocessed cubes only.
        """
        sensor, fault = self.sensor, None
        prepared = prepare_references(
            white, dark, sensor, self.manifest.preprocessing, exposures=exposures, white_dark=white_dark
        )
        try:
            check_references(white, dark, sensor, white_dark=white_dark, exposures=exposures)
        except ReferenceFrameError as error:
            fault = f"{error.thing}: {error.fault}"
        known = {field.name: getattr(prepared, field.name) for field in fields(References)}
        return DatedReferences(**known, taken_at=taken_at, fault=fault)

    def classify_frame(
        self, raw: npt.NDArray[np.uint16], references: References, *, taken_at: datetime | None = None
    ) -> TissueMap:
        """Classify a raw mosaic frame.

        Parameters
        ----------
        raw
            uint16 frame, digital numbers in the low bits.
        references
            From `prepare` of an engine with the same sensor and preprocessing.
        taken_at
            When the frame was taken. If `max_reference_age` is set and this is None, the map is blank.

        Returns
        -------
        TissueMap
            Blank, with the reason, if `fault` is set on the references, they leave no valid pixel, or their age breaks
            the limit or is unknown.

        Raises
        ------
        CaptureError
            The frame has the wrong shape or type.
        ReferenceFrameError
            The references belong to another sensor or preprocessing.
        BundleError
            The bundle takes preprocessed cubes only.
        """
        start = time.perf_counter()
        self._require(references)
        reasons = raw_reasons(raw, references)
        blanked = why_blank(references, taken_at, self.max_reference_age)
        if blanked is not None:
            return self._blank(reasons, blanked, start)
        runner = self._runner("frame")
        with self._masked_gain(references, reasons) as gain:
            checked = time.perf_counter()
            inputs: dict[str, npt.NDArray[np.generic]] = {
                "raw": np.ascontiguousarray(raw),
                "dark": references.dark,
                "gain": gain,
                "scale": references.scale,
            }
            outputs = runner(inputs)
        return self._finish(outputs, reasons, start, checked)

    def classify_cube(self, cube: HyperCube) -> TissueMap:
        """Classify a preprocessed cube of any height and width.

        Raises
        ------
        CubeError
            The cube has no pixels, or not as many bands as the model takes.
        """
        start = time.perf_counter()
        wanted = self.manifest.model.n_bands
        if cube.n_bands != wanted or not cube.mask.size:
            raise CubeError(
                "cube",
                f"is {cube.height}×{cube.width}×{cube.n_bands}, but the bundle takes {wanted} bands",
                "Use a cube from the camera and preprocessing that the bundle was trained for.",
            )
        data = np.ascontiguousarray(cube.data)
        if not cube.mask.all():
            # A masked spectrum must be 0 for its valid neighbours too.
            data = np.where(cube.mask[..., np.newaxis], data, np.float32(0))
        runner = self._runner("cube")
        checked = time.perf_counter()
        # Pixels masked without a reason were cut away by someone.
        why = np.where(cube.reasons != 0, cube.reasons, np.uint8(Reason.OUTSIDE))
        reasons = np.where(cube.mask, np.uint8(0), why)
        return self._finish(runner({"cube": data}), reasons, start, checked)

    def _runner(self, kind: str) -> Runner:
        with self._lock:
            if kind not in self._runners:
                content, rows = self.bundle.cube_graph, None
                if kind == "frame":
                    content, rows = self.bundle.frame_graph or b"", free_rows(self.manifest, self.sensor)
                origin = self.bundle.path / f"{kind}.onnx"
                self._runners[kind] = load_graph(content, origin, self.backend, self.threads, self.precision, rows)
            return self._runners[kind]

    def _require(self, references: References) -> None:
        """Check once that references fit; fingerprinting a sensor takes too long to repeat for each frame."""
        sensor = self.sensor
        if references not in self._fitting:
            require_references(references, sensor, self.manifest.preprocessing)
            self._fitting.add(references)

    @contextmanager
    def _masked_gain(self, references: References, reasons: _UInt8) -> Iterator[_Float32]:
        """The references' gain, set to 0 in the tiles that only this frame masks as well.

        Valid tiles must see 0 in such neighbours too. A gain is 9 MB, so copies are kept and restored after use rather
        than made for each frame. Concurrent calls never share a copy.
        """
        if reasons is references.reasons:
            yield references.gain
            return
        rows, columns = np.divmod(np.flatnonzero(reasons != references.reasons), reasons.shape[1])
        with self._lock:
            spare = self._gains.setdefault(references, [])
            gain = spare.pop() if spare else references.gain.copy()
        tiles = _by_tiles(gain, references)
        before = tiles[rows, :, columns]
        tiles[rows, :, columns] = 0
        try:
            yield gain
        finally:
            tiles[rows, :, columns] = before
            with self._lock:
                spare.append(gain)

    def _finish(self, outputs: Outputs, reasons: _UInt8, start: float, checked: float) -> TissueMap:
        """Mask invalid pixels. Where the graph assigns no probability and no other reason holds, brightness is zero."""
        computed = time.perf_counter()
        labels, confidence, probabilities = outputs
        sure, unmasked = confidence > 0, reasons == 0
        mask = sure & unmasked
        if (valid := np.count_nonzero(mask)) < np.count_nonzero(unmasked):
            reasons = np.where(unmasked & ~sure, np.uint8(Reason.ZERO_BRIGHTNESS), reasons)
        labels *= mask
        if valid < np.count_nonzero(confidence):
            # Masked spectra are 0, and the graph assigns them no probability. This covers graphs that do, and NaN.
            confidence[~mask] = 0
            probabilities[:, ~mask] = 0
        end = time.perf_counter()
        timings = {
            "check": checked - start,
            "graph": computed - checked,
            "finish": end - computed,
            "total": end - start,
        }
        # A view: reordering 1.8 MB would cost more than it saves.
        turned = probabilities.transpose(1, 2, 0)
        return TissueMap(labels, turned, confidence, mask, reasons, self.classes, timings, None, self.bundle.identity)

    def _blank(self, reasons: _UInt8, why: str, start: float) -> TissueMap:
        shape = reasons.shape
        spent = time.perf_counter() - start
        return TissueMap(
            labels=np.zeros(shape, np.uint8),
            probabilities=np.zeros((*shape, len(self.classes)), np.float32),
            confidence=np.zeros(shape, np.float32),
            mask=np.zeros(shape, np.bool_),
            reasons=reasons.copy(),
            classes=self.classes,
            timings={"check": spent, "graph": 0.0, "finish": 0.0, "total": spent},
            blanked=why,
            bundle=self.bundle.identity,
        )


def _by_tiles(frame: _Float32, references: References) -> _Float32:
    """The active area of a frame as a view (h, tile rows, w, tile columns)."""
    (height, width), (rows, columns) = references.sensor.cube_shape, references.sensor.pattern
    return references.sensor.active(frame).reshape(height, rows, width, columns)
