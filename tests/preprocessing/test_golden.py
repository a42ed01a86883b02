"""The chain gives what the thesis's original code computes on frames made by a formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gliomap.captures import read_capture, write_frame
from gliomap.preprocessing import (
    calibrate,
    correct_spectra,
    mosaic_to_cube,
    prepare_references,
    preprocess,
    preprocess_capture,
)
from gliomap.preprocessing import normalise as normalise_spectra
from gliomap.sensors import get_sensor
from golden import formula_frames

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def frames() -> tuple[npt.NDArray[np.uint16], ...]:
    return formula_frames()


def test_the_formula_frames_have_the_published_checksums(
    golden: dict[str, np.ndarray], frames: tuple[np.ndarray, ...]
) -> None:
    assert [int(frame.sum()) for frame in frames] == golden["checksum"].tolist()


def test_the_chain_gives_the_spectra_of_the_thesis(
    golden: dict[str, np.ndarray], frames: tuple[np.ndarray, ...]
) -> None:
    raw, white, dark = frames
    cube = preprocess(raw, prepare_references(white, dark, get_sensor("nemesis")))
    assert cube.mask.all()
    assert np.abs(cube.data[golden["rows"], golden["cols"]] - golden["spectra"]).max() < 1e-4


def test_the_single_steps_give_the_spectra_of_the_thesis(
    golden: dict[str, np.ndarray], frames: tuple[np.ndarray, ...]
) -> None:
    raw, white, dark = (frame[:1085, :2045] for frame in frames)
    sensor = get_sensor("nemesis")
    spectra = correct_spectra(mosaic_to_cube(calibrate(raw, white, dark), sensor.pattern), sensor.band_matrix())
    data = normalise_spectra(spectra, "brightness")
    assert np.abs(data[golden["rows"], golden["cols"]] - golden["spectra"]).max() < 1e-4


def test_frames_read_from_files_give_the_spectra_of_the_thesis(
    golden: dict[str, np.ndarray], frames: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    paths = {name: tmp_path / f"{name}.tif" for name in ("raw", "white", "dark")}
    for path, frame in zip(paths.values(), frames, strict=True):
        write_frame(path, frame << 6)
    cube = preprocess_capture(read_capture(**paths, sensor=get_sensor("nemesis")))
    assert np.abs(cube.data[golden["rows"], golden["cols"]] - golden["spectra"]).max() < 1e-4
