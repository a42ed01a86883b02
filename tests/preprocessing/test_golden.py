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
from support import shared

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def golden() -> dict[str, npt.NDArray[np.float64]]:
    with np.load(shared("data", "golden", "golden_dev.npz")) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def frames() -> tuple[npt.NDArray[np.uint16], ...]:
    """raw, white, dark by the formula of the golden data's README, k = 0."""
    y, x = np.mgrid[:1088, :2048]
    m = (y % 5) * 5 + x % 5
    dark = 12 + (x * 7 + y * 13) % 23
    white = 430 + (x * x + 3 * y * y) % 311 + m * 7
    share = ((x // 5) * 31 + (y // 5) * 17 + m * m * 7 + ((x // 40) * (y // 40)) * 11) % 1000
    raw = dark + ((white - dark) * (60 + share * 85 // 100)) // 1000
    return tuple(frame.astype(np.uint16) for frame in (raw, white, dark))


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
