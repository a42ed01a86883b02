"""Run a frame graph in strips of rows, each small enough for a core's own cache and computed by one core.

The values between a frame's input and its map are ten times what a processor caches. A graph run as a whole waits
for memory between its operations, and its threads wait for each other. Here strips go through two models, raw rows →
features and features → outputs. The features between them lie in one array, from which a strip of the second model
reads its own rows and a margin, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.engine._backend import Inputs, Outputs, Runner
from gliomap.engine._openvino_tensor import shared_tensor
from gliomap.engine._openvino_window import Window, features_model, find_window, outputs_model
from gliomap.engine._openvino_winograd import MARGIN, ROWS

__all__ = ["load_strips"]

_MOST_ROWS, _FEWEST_ROWS = 36, 8
"""Rows of features in a strip. More do not fit the cache; with fewer, neighbouring strips compute too much twice."""
_OUTPUT_ROWS = 2 * ROWS


@dataclass(frozen=True)
class _Plan:
    """A frame's strips, and the shapes of the arrays between the models and after them.

    Attributes
    ----------
    rows, firsts
        Each strip makes `rows` rows of features from rows inside the frame, starting at one of these rows of the cube.
        All strips have the same height and go through one model; the last may overlap the one before.
    """

    window: Window
    threads: int
    height: int
    width: int
    columns: int
    channels: int
    classes: int
    rows: int
    firsts: tuple[int, ...]

    @classmethod
    def of(cls, model: Any, window: Window, threads: int) -> _Plan:
        classes, height, width = model.output("probabilities").get_shape()
        _, channels, _, columns = window.pool.get_output_shape(0)
        inner = height - window.reach
        count = max(1, min(threads * -(-inner // (_MOST_ROWS * threads)), inner // _FEWEST_ROWS))
        rows = -(-inner // count)
        firsts = tuple(min(rows * strip, inner - rows) for strip in range(count))
        return cls(window, threads, height, width, columns, channels, classes, rows, firsts)

    @property
    def outputs(self) -> int:
        """Number of strips of the map."""
        return -(-self.height // _OUTPUT_ROWS)

    @property
    def early(self) -> int:
        """Number of strips of the map that need nothing from the last strip of features."""
        made = [self.window.padding + first + self.rows for first in self.firsts[:-1]]
        return max(0, max(made, default=0) - MARGIN) // _OUTPUT_ROWS

    def frame_rows(self, first: int, last: int) -> slice:
        """The rows of a frame that hold these rows of tiles."""
        top, tall = self.window.top, self.window.tile_rows
        return slice(top + first * tall, top + last * tall)


@dataclass(frozen=True)
class _Models:
    """Compiled models: features inside the frame, features that see zeros beyond its edges, and the map."""

    inner: Any
    edges: Any
    outputs: Any


def load_strips(core: Any, model: Any, threads: int) -> Runner | None:
    """Load a frame graph as a function that computes `threads` strips at once; None if it has no window network.

    The model stays as it is: the models for strips are built from copies.
    """
    window = find_window(model)
    if window is None or model.output("labels").get_shape()[0] <= window.reach:
        return None
    plan = _Plan.of(model, window, threads)

    def compiled(streams: int, build: Callable[..., Any], *arguments: int) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": streams, "NUM_STREAMS": streams}
        return core.compile_model(build(model.clone(), *arguments), "CPU", settings)

    models = _Models(
        compiled(threads, features_model, plan.rows + window.reach),
        compiled(1, features_model, 2 * window.reach, window.padding),
        compiled(threads, outputs_model, _OUTPUT_ROWS),
    )
    spare: list[_Pass] = []

    def run(inputs: Inputs) -> Outputs:
        try:
            one = spare.pop()
        except IndexError:
            one = _Pass(plan, models)
        try:
            outputs = one.run(inputs)
        except BaseException:
            # Even after an interrupt, requests in progress write into the arrays of this pass. It is not used again:
            # some of its strips may share this frame and some the one before.
            one.settle()
            raise
        spare.append(one)
        return outputs

    return run


class _Pass:
    """Arrays and requests for one frame at a time, reused for the next."""

    def __init__(self, plan: _Plan, models: _Models) -> None:
        self._plan = plan
        rows = plan.outputs * _OUTPUT_ROWS
        # Rows beyond the frame's last are never written: they stay 0 and invalid.
        self._features = np.zeros((1, rows + MARGIN, plan.columns, plan.channels), np.float32)
        self._valid = np.zeros((1, rows, plan.width), np.float32)
        self._labels = np.empty((rows, plan.width), np.uint8)
        self._confidence = np.empty((rows, plan.width), np.float32)
        self._probabilities = np.empty((plan.outputs, plan.classes, _OUTPUT_ROWS, plan.width), np.float32)
        self._edges = _Edges(plan, models.edges)
        self._inner = [self._to_features(models.inner, first) for first in plan.firsts]
        self._outer = [self._to_outputs(models.outputs, strip) for strip in range(plan.outputs)]
        # Tensors do not keep the memory that they share alive.
        self._shared: dict[str, npt.NDArray[np.generic]] = {}
        self._scales: list[npt.NDArray[np.generic]] = []

    def run(self, inputs: Inputs) -> Outputs:
        self._share(inputs)
        self._edges.start(inputs)
        _start(self._inner)
        self._edges.take(self._features)
        # When the strips run out, one core would wait for the other. It begins the map instead.
        early = self._plan.early
        _wait(self._inner[:-1])
        _start(self._outer[:early])
        _wait(self._inner[-1:])
        _start(self._outer[early:])
        return self._taken()

    def settle(self) -> None:
        """Wait for all requests, whether they succeed or fail."""
        for request in (self._edges.request, *self._inner, *self._outer):
            with suppress(RuntimeError):
                request.wait()

    def _to_features(self, model: Any, first: int) -> Any:
        """A request for one strip of features. Overlapping strips write the same values to the rows they share."""
        plan, request = self._plan, model.create_infer_request()
        start = first + plan.window.padding
        request.set_output_tensor(0, shared_tensor(self._features[:, start : start + plan.rows]))
        request.set_output_tensor(1, shared_tensor(self._valid[:, first : first + plan.rows + plan.window.reach]))
        return request

    def _to_outputs(self, model: Any, strip: int) -> Any:
        request = model.create_infer_request()
        rows = slice(strip * _OUTPUT_ROWS, (strip + 1) * _OUTPUT_ROWS)
        request.set_input_tensor(0, shared_tensor(self._features[:, rows.start : rows.stop + MARGIN]))
        request.set_input_tensor(1, shared_tensor(self._valid[:, rows]))
        for position, array in enumerate((self._labels[rows], self._confidence[rows], self._probabilities[strip])):
            request.set_output_tensor(position, shared_tensor(array))
        return request

    def _share(self, inputs: Inputs) -> None:
        """Let the strips read the inputs in place; skip an array that they read for the frame before."""
        plan, reach = self._plan, self._plan.window.reach
        for name, array in inputs.items():
            if array is self._shared.get(name):
                continue
            rows = [(first, first + plan.rows + reach) for first in plan.firsts]
            if name == "scale":
                # Rows of (bands, h, w) are not contiguous, so copy them, once for all frames with the same references.
                parts = self._scales = [np.ascontiguousarray(array[:, first:last]) for first, last in rows]
            else:
                parts = [array[plan.frame_rows(first, last)] for first, last in rows]
            for request, part in zip(self._inner, parts, strict=True):
                request.set_tensor(name, shared_tensor(part))
            self._shared[name] = array

    def _taken(self) -> Outputs:
        """Copies, since the next frame overwrites the arrays; most are made while the last strips are computed."""
        plan = self._plan
        shape = plan.height, plan.width
        outputs = Outputs(
            np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty((plan.classes, *shape), np.float32)
        )
        last = max(0, plan.outputs - plan.threads)
        for strips in (range(last), range(last, plan.outputs)):
            _wait(self._outer[strips.start : strips.stop])
            for strip in strips:
                rows = slice(strip * _OUTPUT_ROWS, min((strip + 1) * _OUTPUT_ROWS, plan.height))
                outputs.labels[rows] = self._labels[rows]
                outputs.confidence[rows] = self._confidence[rows]
                outputs.probabilities[:, rows] = self._probabilities[strip, :, : rows.stop - rows.start]
        return outputs


class _Edges:
    """Features at the upper and lower edges of the frame: one request for its first and last rows together."""

    def __init__(self, plan: _Plan, model: Any) -> None:
        self._plan = plan
        self.request = model.create_infer_request()
        self._inputs = {one.get_any_name(): self.request.get_tensor(one).data for one in model.inputs}

    def start(self, inputs: Inputs) -> None:
        plan, reach = self._plan, self._plan.window.reach
        first, last = (plan.frame_rows(*rows) for rows in ((0, reach), (plan.height - reach, plan.height)))
        for name in ("raw", "dark", "gain"):
            np.concatenate([inputs[name][first], inputs[name][last]], out=self._inputs[name])
        scale = inputs["scale"]
        np.concatenate([scale[:, :reach], scale[:, -reach:]], axis=1, out=self._inputs["scale"])
        self.request.start_async()

    def take(self, features: npt.NDArray[np.float32]) -> None:
        """Copy the rows at both edges. The rows between them join both ends of the frame and belong to neither."""
        self.request.wait()
        padding, rows = self._plan.window.padding, self._plan.height + MARGIN
        found = self.request.get_output_tensor(0).data
        features[:, :padding] = found[:, :padding]
        features[:, rows - padding : rows] = found[:, -padding:]


def _start(requests: Sequence[Any]) -> None:
    for request in requests:
        request.start_async()


def _wait(requests: Sequence[Any]) -> None:
    # The last one first: waking up for each would take time from the threads that compute.
    for request in reversed(requests):
        request.wait()
