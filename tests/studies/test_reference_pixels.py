"""Reference pixels, from which labels were grown: a structure beside the map, in either kind of `.mat` file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.errors import GlioMapError, StudyError
from gliomap.studies import check_study, open_study, read_codes, write_capture_files
from gliomap.studies._arrays import read_reference_pixels
from gliomap.studies._mat import read_field
from studies.makers import make_codes, make_cube
from studies.test_mat73 import stamp_header
from support import shared

CODES = make_codes(9, 8)
COORDINATES = np.array([[2, 3], [9, 8], [2, 3], [0, 0]], np.uint8)
"""MATLAB's rows and columns from 1; one twice, one that was not used."""


def results(coordinates: Any) -> dict[str, Any]:
    """The structure as the thesis's labelling tool writes it: fields of all kinds around the one that is read."""
    return {
        "numberOfReferencePixels": np.uint8(4),
        "referenceClass": np.array(["200", "Tumour"], object),
        "rgbImage": np.zeros((9, 8, 3), np.uint8),
        "referencePixelCoord": coordinates,
        "comment": "clicked twice",
    }


def write_map(path: Path, coordinates: Any, *, compress: bool = True, **others: Any) -> Path:
    content = {"groundTruthMap": CODES, "dataResults": results(coordinates), **others}
    scipy.io.savemat(path, content, do_compression=compress)
    return path


def write_map73(path: Path, coordinates: npt.NDArray[Any]) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("groundTruthMap", data=CODES.T).attrs["MATLAB_class"] = np.bytes_("uint16")
        group = file.create_group("dataResults")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        field = group.create_dataset("referencePixelCoord", data=coordinates.T)
        field.attrs["MATLAB_class"] = np.bytes_(str(coordinates.dtype))
    stamp_header(path)
    return path


@pytest.mark.parametrize("compress", [False, True])
def test_coordinates_are_zero_based_and_unique(tmp_path: Path, compress: bool) -> None:
    path = write_map(tmp_path / "map.mat", COORDINATES, compress=compress)
    assert read_reference_pixels(path).tolist() == [[1, 2], [8, 7]]
    np.testing.assert_array_equal(read_codes(path), CODES)


def test_pixels_at_the_edges_are_kept_and_coordinates_of_zero_dropped(tmp_path: Path) -> None:
    corners = np.array([[1, 8], [9, 1], [1, 1], [0, 5], [5, 0]], np.uint8)
    assert read_reference_pixels(write_map(tmp_path / "map.mat", corners)).tolist() == [[0, 0], [0, 7], [8, 0]]


def test_a_file_of_version_7_3_is_read(tmp_path: Path) -> None:
    path = write_map73(tmp_path / "map.mat", COORDINATES)
    assert read_reference_pixels(path).tolist() == [[1, 2], [8, 7]]
    assert read_field(path, "dataResults", "rgbImage", max_bytes=100) is None
    assert read_field(path, "groundTruthMap", "referencePixelCoord", max_bytes=100) is None
    assert read_field(path, "nothing", "referencePixelCoord", max_bytes=100) is None


@pytest.mark.parametrize(
    "coordinates", ["text", np.zeros((0, 2)), np.zeros((3, 3)), np.array([[1.0, np.nan]]), np.array([1, 2j])]
)
def test_a_malformed_coordinate_list_yields_no_pixels(tmp_path: Path, coordinates: Any) -> None:
    assert read_reference_pixels(write_map(tmp_path / "map.mat", coordinates)).shape == (0, 2)


def test_a_map_without_reference_pixels_yields_none(tmp_path: Path) -> None:
    path = tmp_path / "map.mat"
    scipy.io.savemat(path, {"groundTruthMap": CODES, "dataResults": np.ones((2, 2))})
    assert read_reference_pixels(path).shape == (0, 2)
    scipy.io.savemat(path, {"groundTruthMap": CODES, "dataResults": {"comment": "none"}})
    assert read_reference_pixels(path).shape == (0, 2)


def test_a_field_over_the_size_limit_is_not_read(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.mat", COORDINATES)
    assert read_field(path, "dataResults", "rgbImage", max_bytes=100) is None
    assert read_field(path, "dataResults", "rgbImage", max_bytes=1000) is not None


def test_pixels_outside_the_map_are_dropped_with_a_warning(tmp_path: Path) -> None:
    write_capture_files(tmp_path, "ID0001C01", cube=make_cube(9, 8), codes=CODES)
    study = open_study(tmp_path)
    assert not study.reference_pixels("ID0001C01").any()
    write_map(study.files("ID0001C01").map, np.array([[2, 3], [40, 50]]))
    assert np.argwhere(study.reference_pixels("ID0001C01")).tolist() == [[1, 2]]
    (finding,) = (found for found in check_study(study).of("warning") if "ID0001C01" in found.thing)
    assert "1 of its 2 reference pixels lie outside the map" in finding.message


@settings(max_examples=60)
@given(st.integers(128, 3000), st.integers(1, 255), st.booleans())
def test_a_damaged_structure_yields_pixels_or_a_gliomap_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int, compress: bool
) -> None:
    path = write_map(tmp_path_factory.mktemp("garbled") / "map.mat", COORDINATES, compress=compress)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= flip
    path.write_bytes(content)
    with contextlib.suppress(GlioMapError):  # a GlioMapError is allowed as well
        assert read_reference_pixels(path).shape[1] == 2


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_file_truncated_within_the_structure_is_refused(tmp_path: Path, share: float) -> None:
    path = write_map(tmp_path / "map.mat", COORDINATES, compress=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StudyError, match="is damaged"):
        read_reference_pixels(path)


@pytest.mark.shared
def test_stored_reference_spectra_are_those_of_the_cube() -> None:
    study = open_study(shared("data", "real"))
    for capture_id in study.labelled:
        stored = scipy.io.loadmat(study.files(capture_id).map)["dataResults"][0, 0]
        # Some were clicked and then abandoned: they have no class, and the spectra stored are of other pixels.
        row, column = np.argwhere(study.reference_pixels(capture_id) & (study.codes(capture_id) > 0)).T
        found = study.cube(capture_id).data[row, column]
        unit = stored["referenceSpectrum"] / np.linalg.norm(stored["referenceSpectrum"], axis=1, keepdims=True)
        cosine = (found / np.linalg.norm(found, axis=1, keepdims=True)) @ unit.T
        np.testing.assert_allclose(cosine.max(axis=1), 1, atol=1e-5)
