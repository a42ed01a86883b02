"""`.mat` files of version 7.3, written by h5py the way MATLAB writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from gliomap.errors import MissingExtraError, StudyError
from gliomap.studies import list_mat, read_mat

CUBE = np.arange(2 * 3 * 4, dtype=np.float64).reshape(2, 3, 4)


def write_mat73(path: Path, arrays: dict[str, npt.NDArray[Any]], **storage: Any) -> None:
    """Axes reversed, class as an attribute, 512 bytes of MATLAB header before the HDF5 signature."""
    classes = {"float64": "double", "float32": "single"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            item = file.create_dataset(name, data=np.asarray(array).T, **storage)
            item.attrs["MATLAB_class"] = np.bytes_(classes.get(str(array.dtype), str(array.dtype)))
    stamp_header(path)


def stamp_header(path: Path) -> None:
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Mar 25 17:22:19 2021 HDF5 schema 1.00 ."
    with path.open("r+b") as stream:
        stream.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")


@pytest.mark.parametrize("storage", [{}, {"chunks": True, "compression": "gzip"}])
def test_arrays_are_read_in_matlabs_axis_order_and_class(tmp_path: Path, storage: dict[str, Any]) -> None:
    arrays = {
        "preProcessedImage": CUBE,
        "groundTruthMap": np.array([[0, 101, 200], [301, 302, 320]], np.uint16),
        "single": CUBE.astype(np.float32),
    }
    write_mat73(tmp_path / "new.mat", arrays, **storage)
    found = read_mat(tmp_path / "new.mat", arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert [(variable.name, variable.shape, variable.kind) for variable in list_mat(tmp_path / "new.mat")] == [
        ("groundTruthMap", (2, 3), "uint16"),
        ("preProcessedImage", (2, 3, 4), "double"),
        ("single", (2, 3, 4), "single"),
    ]


def test_a_sparse_matrix_is_refused_as_sparse_not_as_damaged(tmp_path: Path) -> None:
    """MATLAB gives it the class of its values, like a plain array, but writes it as a group."""
    path = tmp_path / "sparse.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("groundTruthMap")
        group.attrs["MATLAB_class"], group.attrs["MATLAB_sparse"] = np.bytes_("double"), np.uint64(5)
        for part, values in (("data", [101.0, 200.0]), ("ir", [0, 3]), ("jc", [0, 1, 2])):
            group[part] = values
    stamp_header(path)
    assert [variable.kind for variable in list_mat(path)] == ["sparse"]
    with pytest.raises(StudyError, match="'groundTruthMap' is a sparse"):
        read_mat(path, ["groundTruthMap"])


def test_structures_cells_and_text_are_listed_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("dataResults")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        cells = file.create_dataset("cells", (1,), h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        text = file.create_dataset("text", data=np.array([[104, 105]], np.uint16).T)
        text.attrs["MATLAB_class"] = np.bytes_("char")
        compound = file.create_dataset("complex", data=np.array([[1 + 2j]]))
        compound.attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("#refs#")
    stamp_header(path)
    kinds = {variable.name: variable.kind for variable in list_mat(path)}
    assert set(kinds) == {"dataResults", "cells", "text", "complex"}
    for name, kind in kinds.items():
        with pytest.raises(StudyError, match=f"{name!r} is a {kind}"):
            read_mat(path, [name])


def test_data_outside_the_file_is_never_followed(tmp_path: Path) -> None:
    write_mat73(tmp_path / "other.mat", {"secret": CUBE})
    (tmp_path / "raw.bin").write_bytes(bytes(80))
    path = tmp_path / "outside.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["link"] = h5py.ExternalLink("other.mat", "secret")
        file["soft"] = h5py.SoftLink("/nowhere")
        file.create_dataset("raw", (10,), "f8", external=[("raw.bin", 0, 80)])
        layout = h5py.VirtualLayout((4, 3, 2), "f8")
        layout[:] = h5py.VirtualSource("other.mat", "secret", (4, 3, 2))
        file.create_virtual_dataset("virtual", layout)
    stamp_header(path)
    for name in ("link", "soft", "raw", "virtual"):
        with pytest.raises(StudyError, match=r"elsewhere|in another file"):
            read_mat(path, [name])


def test_an_empty_array_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "empty.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        item = file.create_dataset("nothing", data=np.array([0, 25], np.uint64))
        item.attrs["MATLAB_class"] = np.bytes_("double")
        item.attrs["MATLAB_empty"] = np.uint8(1)
    stamp_header(path)
    assert read_mat(path, ["nothing"])["nothing"].shape == (0, 25)


def test_a_variable_over_the_size_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        # Never written, so the file is small; reading it would take 8 TB.
        item = file.create_dataset("values", (1_000_000, 1_000_000), "f8", chunks=(100, 100))
        item.attrs["MATLAB_class"] = np.bytes_("double")
    stamp_header(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(StudyError, match="would take 8,000,000,000,000 bytes"):
        read_mat(path, ["values"])


def test_a_chunk_larger_than_its_array_counts_towards_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "chunk.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("values", (2, 2), "f8", chunks=(1000, 1000), maxshape=(None, None))
    stamp_header(path)
    with pytest.raises(StudyError, match="would take 8,000,000 bytes"):
        read_mat(path, ["values"], max_bytes=1_000_000)


def test_a_truncated_file_is_refused_as_damaged(tmp_path: Path) -> None:
    write_mat73(tmp_path / "whole.mat", {"values": CUBE})
    content = (tmp_path / "whole.mat").read_bytes()
    for length in (530, 700, len(content) - 50):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(StudyError, match="is damaged: HDF5 says"):
            read_mat(tmp_path / "cut.mat", ["values"])


def test_without_h5py_the_extra_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mat73(tmp_path / "new.mat", {"values": CUBE})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"gliomap\[train\]"):
        read_mat(tmp_path / "new.mat", ["values"])
