"""Cubes as .npz archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gliomap.errors import CubeError, GlioMapError
from gliomap.preprocessing import HyperCube, load_npz, save_npz
from support import little_memory


@pytest.fixture
def cube() -> HyperCube:
    rng = np.random.default_rng(0)
    reasons = (rng.random((4, 5)) < 0.2).astype(np.uint8)
    data = rng.random((4, 5, 3)).astype(np.float32) * (reasons == 0)[..., None]
    return HyperCube(data.astype(np.float32), np.array([660.0, 670.0, 680.0]), "reflectance", reasons == 0, reasons)


def stored(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_cube_survives_writing_and_reading(tmp_path: Path, cube: HyperCube) -> None:
    save_npz(cube, tmp_path / "cube.npz")
    again = load_npz(tmp_path / "cube.npz")
    assert np.array_equal(again.data, cube.data)
    assert again.wavelengths_nm is not None
    assert np.array_equal(again.wavelengths_nm, [660, 670, 680])
    assert np.array_equal(again.mask, cube.mask)
    assert np.array_equal(again.reasons, cube.reasons)
    assert again.units == "reflectance"


def test_an_archive_has_the_documented_arrays(tmp_path: Path, cube: HyperCube) -> None:
    save_npz(cube, tmp_path / "cube.npz")
    with np.load(tmp_path / "cube.npz") as archive:
        kinds = {name: (archive[name].dtype.name, archive[name].shape) for name in archive.files}
    assert kinds["cube"] == ("float32", (4, 5, 3))
    assert kinds["wavelengths"] == ("float64", (3,))
    assert kinds["mask"] == ("bool", (4, 5))
    assert kinds["reasons"] == ("uint8", (4, 5))


def test_the_same_cube_gives_the_same_bytes(tmp_path: Path, cube: HyperCube) -> None:
    save_npz(cube, tmp_path / "a.npz")
    save_npz(cube, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_unknown_wavelengths_stay_unknown(tmp_path: Path, cube: HyperCube) -> None:
    save_npz(HyperCube(cube.data, None, "x", cube.mask, cube.reasons), tmp_path / "cube.npz")
    assert load_npz(tmp_path / "cube.npz").wavelengths_nm is None


def test_a_path_that_is_not_a_cube_archive_is_refused(tmp_path: Path, cube: HyperCube) -> None:
    with pytest.raises(CubeError, match="does not exist"):
        load_npz(tmp_path / "absent.npz")
    with pytest.raises(CubeError, match="is a folder"):
        load_npz(tmp_path)
    (tmp_path / "text.npz").write_text("no", encoding="utf-8")
    with pytest.raises(CubeError, match="not a readable cube archive"):
        load_npz(tmp_path / "text.npz")
    with pytest.raises(CubeError, match="lacks mask, reasons"):
        load_npz(stored(tmp_path / "some.npz", cube=cube.data))


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, cube: HyperCube) -> None:
    good = {"cube": cube.data, "mask": cube.mask, "reasons": cube.reasons}
    for changes, fault in (
        ({"cube": cube.data.astype(np.float64)}, "float64"),
        ({"cube": np.full_like(cube.data, np.nan)}, "NaN"),
        ({"mask": cube.mask[1:]}, "mask of bool"),
        ({"mask": cube.mask.astype(np.uint8)}, "mask of uint8"),
        ({"wavelengths": np.arange(2.0)}, "2 wavelengths"),
        ({"wavelengths": np.full(3, np.inf)}, "not all finite numbers"),
        ({"wavelengths": np.array(["a", "b", "c"])}, "wavelengths of type <U1"),
    ):
        with pytest.raises(CubeError, match=fault):
            load_npz(stored(tmp_path / "cube.npz", **(good | changes)))


def test_nothing_is_unpickled(tmp_path: Path, cube: HyperCube) -> None:
    odd = np.array([{"a": 1}], dtype=object)
    with pytest.raises(CubeError, match=r"declares \|O"):
        load_npz(stored(tmp_path / "cube.npz", cube=odd, mask=cube.mask, reasons=cube.reasons))


def test_arrays_written_by_other_programs_are_read(tmp_path: Path, cube: HyperCube) -> None:
    plain = {"cube": cube.data, "mask": cube.mask, "reasons": cube.reasons}
    for changes in (
        {"cube": np.asfortranarray(cube.data), "mask": np.asfortranarray(cube.mask)},
        {"cube": cube.data.astype(">f4")},
    ):
        again = load_npz(stored(tmp_path / "cube.npz", **(plain | changes)))
        assert np.array_equal(again.data, cube.data)
        assert again.data.dtype.isnative
        assert np.array_equal(again.mask, cube.mask)
    for units in (np.array(3), np.array(["a", "b"])):
        assert load_npz(stored(tmp_path / "cube.npz", **plain, units=units)).units == "unknown"


def test_another_version_of_the_npy_format_is_refused(tmp_path: Path, cube: HyperCube) -> None:
    save_npz(cube, tmp_path / "cube.npz")
    content = (tmp_path / "cube.npz").read_bytes()
    (tmp_path / "later.npz").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "cube.npz") as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    for header in (b"\x93NUMPY\x02\x00", b"\x93NUMPX\x01\x00"):
        with zipfile.ZipFile(tmp_path / "later.npz", "w") as archive:
            for name, array in arrays.items():
                archive.writestr(name, header + array[len(header) :])
        with pytest.raises(CubeError, match="not an array of format 1"):
            load_npz(tmp_path / "later.npz")


def test_archives_and_arrays_beyond_the_size_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "large.npz").open("wb") as stream:
        stream.truncate(2**30 + 1)
    with pytest.raises(CubeError, match="is larger than 1024 MiB"):
        load_npz(tmp_path / "large.npz")
    monkeypatch.setattr("gliomap.preprocessing._npz._MAX_BYTES", 3000)
    np.savez_compressed(tmp_path / "bomb.npz", cube=np.zeros((40, 50, 3), np.float32))
    with pytest.raises(CubeError, match=r"cube\.npy declares 24,128 bytes"):
        load_npz(tmp_path / "bomb.npz")


def test_a_huge_header_costs_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6, 25)})
    with zipfile.ZipFile(tmp_path / "cube.npz", "w") as archive:
        archive.writestr("cube.npy", header.getvalue())
    with little_memory(), pytest.raises(CubeError, match=r"declares <f4 of shape \(1000000, 1000000, 25\)"):
        load_npz(tmp_path / "cube.npz")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_garbled_archives_raise_only_our_errors(tmp_path: Path, cube: HyperCube, data: st.DataObject) -> None:
    path = tmp_path / "garbled.npz"
    save_npz(cube, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content)))) :]
    path.write_bytes(bytes(content))
    try:
        read = load_npz(path)
    except GlioMapError:
        return
    assert np.isfinite(read.data).all()
