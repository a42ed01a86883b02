"""The test of one fold: its model, as the graph that bundles ship, on the captures or pixels that it held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track
from gliomap.engine import Engine, TissueMap
from gliomap.evaluation import Judged, judge
from gliomap.learning import LabelledCube
from gliomap.sensors import MosaicSensor
from gliomap.studies import Split, Study
from gliomap.tracking import Run
from gliomap.workflows._pixels import role_pixels
from gliomap.workflows._stopwatch import Stopwatch

__all__ = ["FoldTest", "TestedCapture", "graph_engine"]


@dataclass(frozen=True, eq=False)
class TestedCapture:
    """A capture as classified by the model of one fold.

    Attributes
    ----------
    judged
        The labelled pixels that this fold tests.
    tissue
        The map.
    truth
        (H, W) classes of all labelled pixels, whichever fold tests them.
    trained_pixels
        (H, W) bool, pixels of this capture that the fold was trained on; all False if patients are kept apart.
    reference_pixels
        (H, W) bool, pixels that its labels grew from; all False if the study does not record them.
    """

    judged: Judged
    tissue: TissueMap
    truth: npt.NDArray[np.uint8]
    trained_pixels: npt.NDArray[np.bool_]
    reference_pixels: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FoldTest:
    """A fold ready to be tested.

    Attributes
    ----------
    name
        Name of the fold; empty for a run with a single fold.
    run, split, study, sensor, engine
        What is tested, and on what.
    cubes
        All captures if the split divides pixels; otherwise empty.
    watch
        Times of 'preparing', 'predicting' and 'drawing'.
    """

    name: str
    run: Run
    split: Split
    study: Study
    sensor: MosaicSensor | None
    engine: Engine
    cubes: Mapping[str, LabelledCube]
    watch: Stopwatch

    @property
    def graph(self) -> str:
        """SHA-256 of the tested cube.onnx."""
        return hashlib.sha256(self.engine.bundle.cube_graph).hexdigest()

    def test(self, capture: str) -> TestedCapture:
        """Classify one capture and compare it with its labels."""
        with self.watch("preparing"):
            cube = self.study.cube(capture, self.sensor, self.run.record.preprocessing)
            truth = self.study.class_map(capture, self.run.record.classes).labels
        with self.watch("predicting"):
            tissue = self.engine.classify_cube(cube)
        patient = self.split.patients[capture]
        trained, tested = np.zeros(truth.shape, np.bool_), None
        if self.split.pixels is not None:
            trained = role_pixels(self.split, self.cubes, "train")[capture]
            tested = role_pixels(self.split, self.cubes, "test")[capture]
        judged = judge(capture, patient, truth, tissue, tested)
        return TestedCapture(judged, tissue, truth, trained, self.study.reference_pixels(capture))


def graph_engine(run: Run, threads: int | None, track: Track) -> Engine:
    """The run's model as the graph that its bundles ship, checked against the model itself.

    The test uses cubes, so the frame graph is left out; only that graph needs the sensor.
    """
    from gliomap.learning.export import BundleInfo, checked_bundle

    record = run.record
    info = BundleInfo(record.name, record.classes, record.preprocessing, wavelengths_nm=record.wavelengths_nm)
    return Engine(checked_bundle(run.model(), info, threads=threads, track=track), threads=threads)
