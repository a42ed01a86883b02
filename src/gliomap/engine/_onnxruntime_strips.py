"""Run a frame under ONNX Runtime in strips of rows, concurrently, each carried through by one thread.

A thread that takes a strip from the raw frame to the map waits for no other, and reads from its own core's caches.
Threads that share each operation wait for the slowest some thirty times a frame, and read what other cores have
written.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.bundles import FRAME_ROWS, MAP_ROWS
from gliomap.engine._backend import Inputs, Outputs
from gliomap.engine._rows import FrameRows, Strip
from gliomap.errors import BundleError

__all__ = ["InStrips"]

_NAMES = list(Outputs._fields)
_FRAMES = ("raw", "dark", "gain")
_KEPT = 4
"""Number of reference pairs whose scale is kept cut into strips."""

_Array = npt.NDArray[np.generic]


class InStrips:
    """Runs a frame graph on strips of equal height, on the calling thread and helpers. Several threads may call it."""

    def __init__(self, session: Any, rows: FrameRows, strips: tuple[Strip, ...], threads: int, origin: object) -> None:
        self._session, self._rows, self._strips, self._origin = session, rows, strips, origin
        self._map_rows = rows.sizes(strips[0])[MAP_ROWS]
        self._classes = session.get_outputs()[-1].shape[0]
        self._helpers = _Helpers(threads - 1)
        self._scales: list[tuple[weakref.ref[_Array], list[_Array]]] = []
        self._copies: list[dict[str, _Array]] = []

    def __call__(self, inputs: Inputs) -> Outputs:
        shape = self._rows.cube, inputs["scale"].shape[-1]
        outputs = Outputs(
            np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty((self._classes, *shape), np.float32)
        )
        # Each thread takes the next strip that no thread has begun, so slower threads take fewer.
        waiting = iter(list(zip(self._strips, self._strips_of(inputs["scale"]), strict=True)))
        started: list[Future[None]] = []
        try:
            for _ in range(self._helpers.count):
                started.append(self._helpers.start(self._classify_all, inputs, waiting, outputs))
            self._classify_all(inputs, waiting, outputs)
        finally:
            # Do not wait for helpers that are still busy for another caller. Do wait for those that began, even after
            # an interrupt: they read the caller's arrays.
            began = [one for one in started if not one.cancel()]
            wait(began)
        for done in began:
            done.result()
        return outputs

    def _classify_all(self, inputs: Inputs, waiting: Iterator[tuple[Strip, _Array]], outputs: Outputs) -> None:
        for strip, scale in waiting:
            self._classify(inputs, strip, scale, outputs)

    def _classify(self, inputs: Inputs, strip: Strip, scale: _Array, outputs: Outputs) -> None:
        if strip.is_part:
            rows = self._rows.with_top(strip.given[0].of_frame)
            found = self._run({name: inputs[name][rows] for name in _FRAMES}, scale)
        else:
            copies = self._copied(inputs, strip)
            found = self._run(copies, scale)
            self._copies.append(copies)
        for one in strip.taken:
            outputs.labels[one.of_frame] = found.labels[one.of_strip]
            outputs.confidence[one.of_frame] = found.confidence[one.of_strip]
            outputs.probabilities[:, one.of_frame] = found.probabilities[:, one.of_strip]

    def _run(self, frames: Mapping[str, _Array], scale: _Array) -> Outputs:
        found = Outputs(*self._session.run(_NAMES, {**frames, "scale": scale}))
        if len(found.labels) != self._map_rows:
            raise BundleError(
                self._origin,
                f"returns {len(found.labels)} rows of a map, but the model's window implies {self._map_rows}",
                "Export the bundle again.",
            )
        return found

    def _copied(self, inputs: Inputs, strip: Strip) -> dict[str, _Array]:
        """The rows of a strip that is not one slice of the frame, in reused arrays; rows outside the frame are 0."""
        try:
            copies = self._copies.pop()
        except IndexError:
            height = self._rows.sizes(strip)[FRAME_ROWS]
            copies = {name: np.zeros((height, inputs[name].shape[1]), inputs[name].dtype) for name in _FRAMES}
        for name, copy in copies.items():
            for one in strip.given:
                copy[self._rows.without_top(one.of_strip)] = inputs[name][self._rows.without_top(one.of_frame)]
        return copies

    def _strips_of(self, scale: _Array) -> list[_Array]:
        """The scale cut into strips. Rows of (bands, h, w) are not contiguous, so copy them, once per references."""
        known = [one for one in self._scales if one[0]() is not None]
        for kept, parts in known:
            if kept() is scale:
                return parts
        bands, _, width = scale.shape
        parts = [np.zeros((bands, strip.height, width), scale.dtype) for strip in self._strips]
        for part, strip in zip(parts, self._strips, strict=True):
            for one in strip.given:
                part[:, one.of_strip] = scale[:, one.of_frame]
        self._scales = [(weakref.ref(scale), parts), *known[: _KEPT - 1]]
        return parts


class _Helpers:
    """Threads that take over calls, even in a process forked from the one in which they began."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._renew()

    def start(self, function: Callable[..., None], *arguments: Any) -> Future[None]:
        if self._process != os.getpid():
            self._renew()
        try:
            return self._pool.submit(function, *arguments)
        except RuntimeError:
            # The interpreter is shutting down and starts no more threads; the calling thread still has to finish.
            done: Future[None] = Future()
            function(*arguments)
            done.set_result(None)
            return done

    def _renew(self) -> None:
        self._process, self._pool = os.getpid(), ThreadPoolExecutor(max(1, self.count), "gliomap-strip")
