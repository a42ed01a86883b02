"""Windows are gathered by index, and only from valid pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.errors import CubeError, ModelError, TaxonomyError
from gliomap.learning import LabelledCube, PatchSource, check_bands
from gliomap.preprocessing import HyperCube, Reason
from gliomap.taxonomy import THESIS_CLASSES


def naive(cube: LabelledCube, row: int, column: int, window: int) -> np.ndarray:
    """The (B, w, w) window, cut out in the simplest way."""
    margin = window // 2
    padded = np.pad(cube.data, ((margin, margin), (margin, margin), (0, 0)))
    return padded[row : row + window, column : column + window].transpose(2, 0, 1)


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    window=st.sampled_from([1, 3, 5, 7]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=50)
def test_windows_are_those_of_each_padded_cube(shapes, window, seed):
    generator = np.random.default_rng(seed)
    cubes = [
        LabelledCube(
            f"ID000{n}C01",
            f"ID000{n}",
            generator.normal(size=(*shape, 4)).astype(np.float32),
            generator.integers(0, 3, shape).astype(np.uint8),
        )
        for n, shape in enumerate(shapes)
    ]
    source = PatchSource(cubes, window)
    assert len(source) == sum(np.count_nonzero(cube.classes) for cube in cubes)
    which = generator.permutation(len(source))
    windows = source.windows(which)
    assert windows.dtype == np.float32
    assert windows.shape == (len(source), 4, window, window)
    for found, position in zip(windows, which, strict=True):
        number, row, column = source.index[position]
        np.testing.assert_array_equal(found, naive(cubes[number], row, column, window))
        assert source.labels[position] == cubes[number].classes[row, column]


def test_bands_of_a_window_are_contiguous_in_memory(make_cubes):
    # Convolutions on two cores take twice as long with the other layout.
    windows = PatchSource(make_cubes(), 7).windows(np.arange(5))
    assert windows.strides[1] == windows.itemsize


def test_invalid_pixels_lose_spectrum_and_label():
    data = np.ones((2, 3, 4), np.float32)
    mask = np.array([[True, False, True], [True, True, True]])
    reasons = np.where(mask, 0, Reason.SATURATED).astype(np.uint8)
    cube = HyperCube(data, None, "reflectance", mask, reasons)
    codes = np.array([[101, 200, 0], [221, 310, 320]], np.uint16)
    labelled = LabelledCube.from_cube("ID0001C01", "ID0001", cube, codes, THESIS_CLASSES)
    # Code 310, a clot, is known but belongs to none of the five classes.
    assert labelled.classes.tolist() == [[1, 0, 0], [2, 0, 5]]
    assert not labelled.data[0, 1].any()
    assert labelled.data[mask].all()


def test_unknown_codes_and_maps_of_another_size_are_refused():
    cube = HyperCube(
        np.ones((2, 2, 4), np.float32), None, "reflectance", np.ones((2, 2), bool), np.zeros((2, 2), np.uint8)
    )
    with pytest.raises(TaxonomyError, match="999"):
        LabelledCube.from_cube("ID0001C01", "ID0001", cube, np.full((2, 2), 999, np.uint16), THESIS_CLASSES)
    with pytest.raises(CubeError, match=r"ID0001C01.*3×2.*2×2.*crop"):
        LabelledCube.from_cube("ID0001C01", "ID0001", cube, np.zeros((3, 2), np.uint16), THESIS_CLASSES)


def test_cubes_of_different_cameras_are_refused_by_name(make_cubes):
    cubes = make_cubes(1) + make_cubes(1, bands=20, first=7)
    with pytest.raises(CubeError, match=r"ID0007C01.*20 bands.*ID0001C01.*25"):
        PatchSource(cubes, 7)
    with pytest.raises(CubeError, match="ID0007C01"):
        check_bands(cubes)


@pytest.mark.parametrize("window", [0, 2, -1])
def test_the_window_must_be_odd_and_positive(make_cubes, window):
    with pytest.raises(ModelError, match="odd"):
        PatchSource(make_cubes(1), window)


def test_a_source_without_cubes_is_refused():
    with pytest.raises(ModelError, match="no cube"):
        PatchSource([], 7)


def test_wrong_dtypes_are_refused():
    with pytest.raises(CubeError, match="float64"):
        LabelledCube("ID0001C01", "ID0001", np.zeros((2, 2, 4)), np.zeros((2, 2), np.uint8))
    with pytest.raises(CubeError, match=r"classes are int64"):
        LabelledCube("ID0001C01", "ID0001", np.zeros((2, 2, 4), np.float32), np.zeros((2, 2), np.int64))


def test_counts_and_batches_cover_every_labelled_pixel(make_cubes):
    source = PatchSource(make_cubes(3, classes=(1, 3)), 1)
    counts = source.class_counts(5)
    assert counts.sum() == len(source)
    assert counts[[1, 3, 4]].tolist() == [0, 0, 0]
    batches = list(source.batches(100))
    assert [batch.size for batch in batches[:-1]] == [100] * (len(batches) - 1)
    assert np.concatenate(batches).tolist() == list(range(len(source)))


def test_every_pixel_leaves_out_masked_ones():
    mask = np.array([[True, False], [True, True]])
    data = np.arange(8, dtype=np.float32).reshape(2, 2, 2) * mask[..., np.newaxis]
    cube = HyperCube(data, None, "reflectance", mask, np.where(mask, 0, 1).astype(np.uint8))
    source = PatchSource.every_pixel(cube, 1)
    assert source.index[:, 1:].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert source.labels.tolist() == [0, 0, 0]


def test_the_fingerprint_changes_with_labels_and_spectra(make_cubes):
    cubes = make_cubes(1)
    first = PatchSource(cubes, 1).fingerprint()
    assert PatchSource(make_cubes(1), 1).fingerprint() == first
    row, column = np.argwhere(cubes[0].classes)[0]
    cubes[0].data[row, column, 3] += 1e-3
    second = PatchSource(cubes, 1).fingerprint()
    cubes[0].classes[row, column] = cubes[0].classes[row, column] % 5 + 1
    assert len({first, second, PatchSource(cubes, 1).fingerprint()}) == 3
