"""`.mat` files of version 5: our reader and writer against SciPy's, and what they refuse."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from gliomap.errors import StudyError
from gliomap.studies import list_mat, read_mat, write_mat
from support import little_memory

NUMBERS = np.arange(24).reshape(2, 3, 4)
DTYPES = ["float64", "float32", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compress", [False, True])
def test_scipy_reads_what_we_write_and_we_read_what_scipy_writes(tmp_path: Path, dtype: str, compress: bool) -> None:
    values = NUMBERS.astype(dtype)
    write_mat(tmp_path / "ours.mat", {"values": values}, compress=compress)
    theirs = scipy.io.loadmat(tmp_path / "ours.mat")["values"]
    assert theirs.dtype == dtype
    np.testing.assert_array_equal(theirs, values)

    scipy.io.savemat(tmp_path / "theirs.mat", {"values": values}, do_compression=compress)
    for name in ("ours.mat", "theirs.mat"):
        ours = read_mat(tmp_path / name, ["values"])["values"]
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, values)


def test_short_and_long_forms_of_an_element_are_read_and_written(tmp_path: Path) -> None:
    arrays = {"a": np.array([[7]], np.uint8), "a_name_of_more_than_four_letters": np.array([[True, False, True]])}
    scipy.io.savemat(tmp_path / "short.mat", arrays)
    found = read_mat(tmp_path / "short.mat", arrays)
    assert found["a"].item() == 7
    np.testing.assert_array_equal(found["a_name_of_more_than_four_letters"], [[1, 0, 1]])
    write_mat(tmp_path / "ours.mat", arrays)
    assert [variable.kind for variable in list_mat(tmp_path / "ours.mat")] == ["uint8", "logical"]


@pytest.mark.parametrize("values", [[[True]], [[True, False], [False, True]]])
def test_a_sparse_logical_matrix_is_listed_as_sparse_and_refused(tmp_path: Path, values: list[list[bool]]) -> None:
    scipy.io.savemat(tmp_path / "sparse.mat", {"map": scipy.sparse.csc_matrix(np.array(values))})
    assert [variable.kind for variable in list_mat(tmp_path / "sparse.mat")] == ["sparse"]
    with pytest.raises(StudyError, match="'map' is a sparse"):
        read_mat(tmp_path / "sparse.mat", ["map"])


def test_doubles_stored_as_small_integers_are_read_as_doubles(tmp_path: Path) -> None:
    # MATLAB stores a double array of small whole numbers as bytes; the class stays 'double'.
    body = b"".join(
        [
            struct.pack("<4I", 6, 8, 6, 0),
            struct.pack("<2I2i", 5, 8, 2, 2),
            struct.pack("<HH4s", 1, 3, b"map\0"),
            struct.pack("<HH4B", 2, 4, 0, 101, 200, 7),
        ]
    )
    content = header() + struct.pack("<2I", 14, len(body)) + body
    (tmp_path / "small.mat").write_bytes(content)
    found = read_mat(tmp_path / "small.mat", ["map"])["map"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0, 200], [101, 7]])


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    body = b"".join(
        [
            struct.pack(">4I", 6, 8, 11, 0),
            struct.pack(">2I2i", 5, 8, 1, 3),
            struct.pack(">HH4s", 3, 1, b"map\0"),
            struct.pack(">2I3H2x", 4, 6, 101, 200, 320),
        ]
    )
    # A short element carries its length in the high half of the first word, whatever the byte order.
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + struct.pack(">2I", 14, len(body)) + body
    (tmp_path / "big.mat").write_bytes(content)
    np.testing.assert_array_equal(read_mat(tmp_path / "big.mat", ["map"])["map"], [[101, 200, 320]])


def test_equal_arrays_are_written_as_equal_bytes_without_a_timestamp(tmp_path: Path) -> None:
    for name in ("one.mat", "two.mat"):
        write_mat(tmp_path / name, {"values": NUMBERS.astype("f4")})
    first = (tmp_path / "one.mat").read_bytes()
    assert first == (tmp_path / "two.mat").read_bytes()
    assert first[:116].rstrip() == b"MATLAB 5.0 MAT-file, written by GlioMap"


def test_a_missing_variable_is_named_with_those_present(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "map.mat", {"gtMap": NUMBERS, "info": {"who": "me"}})
    with pytest.raises(
        StudyError, match=r"lacks the variable 'groundTruthMap'; it has gtMap \(int64\), info \(struct\)"
    ):
        read_mat(tmp_path / "map.mat", ["groundTruthMap"])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"field": 1.0}, "struct"),
        (np.array([1, "text"], object), "cell"),
        ("some text", "char"),
        (np.array([[1 + 2j]]), "complex double"),
        (scipy.sparse.csc_array(np.eye(3)), "sparse"),
    ],
)
def test_anything_but_plain_numbers_is_refused(tmp_path: Path, value: Any, kind: str) -> None:
    scipy.io.savemat(tmp_path / "odd.mat", {"values": value, "plain": NUMBERS})
    with pytest.raises(StudyError, match=f"'values' is a {kind}"):
        read_mat(tmp_path / "odd.mat", ["values"])
    assert set(read_mat(tmp_path / "odd.mat", ["plain"], optional=["values"])) == {"plain"}


@pytest.mark.parametrize("compress", [False, True])
def test_a_variable_that_was_not_asked_for_or_is_no_array_is_not_read_into_memory(
    tmp_path: Path, compress: bool
) -> None:
    large = np.zeros((2000, 1000))
    arrays = {"large": large, "cell": np.array([large, "text"], object), "plain": NUMBERS}
    scipy.io.savemat(tmp_path / "large.mat", arrays, do_compression=compress)
    with little_memory(1_000_000):
        assert set(read_mat(tmp_path / "large.mat", ["plain"], optional=["cell"])) == {"plain"}
        with pytest.raises(StudyError, match="'cell' is a cell"):
            read_mat(tmp_path / "large.mat", ["cell"])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"II*\x00" + bytes(200), "not a MATLAB file"),
        (b"MATLAB 5.0 MAT-file", "ends within its header"),
        (b"MATLAB 7.3 MAT-file".ljust(600), "HDF5 signature"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 but not written by MATLAB"),
    ],
)
def test_files_that_are_not_mat_files_are_refused_with_the_reason(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "odd.mat").write_bytes(content)
    with pytest.raises(StudyError, match=fault):
        read_mat(tmp_path / "odd.mat", ["values"])


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        read_mat(tmp_path / "none.mat", ["values"])
    with pytest.raises(StudyError, match="is a folder"):
        list_mat(tmp_path)


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_truncated_anywhere_is_refused(tmp_path: Path, compress: bool) -> None:
    write_mat(tmp_path / "whole.mat", {"values": NUMBERS.astype("f8"), "more": np.ones((2, 2))}, compress=compress)
    content = (tmp_path / "whole.mat").read_bytes()
    for length in range(130, len(content), 7):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(StudyError, match=r"damaged|lacks the variable"):
            read_mat(tmp_path / "cut.mat", ["values", "more"])


def test_a_flipped_byte_in_a_compressed_variable_is_detected(tmp_path: Path) -> None:
    write_mat(tmp_path / "whole.mat", {"values": np.arange(1000.0).reshape(10, 100)}, compress=True)
    content = bytearray((tmp_path / "whole.mat").read_bytes())
    content[-3] ^= 1
    (tmp_path / "whole.mat").write_bytes(content)
    with pytest.raises(StudyError, match="cannot be inflated"):
        read_mat(tmp_path / "whole.mat", ["values"])


def test_a_variable_over_the_size_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_mat(tmp_path / "large.mat", {"values": np.zeros((2000, 1000))}, compress=True)
    fault = r"shape \(2000, 1000\) would take 16,000,000 bytes, and at most 15,999,999"
    with little_memory(1_000_000), pytest.raises(StudyError, match=fault):
        read_mat(tmp_path / "large.mat", ["values"], max_bytes=15_999_999)
    assert read_mat(tmp_path / "large.mat", ["values"], max_bytes=16_000_000)


def test_a_header_that_declares_a_huge_array_is_refused_without_taking_the_memory(tmp_path: Path) -> None:
    body = struct.pack("<4I", 6, 8, 6, 0) + struct.pack("<2I2i", 5, 8, 2**31 - 1, 2**31 - 1)
    body += struct.pack("<HH4s", 1, 3, b"map\0") + struct.pack("<2I", 9, 2**32 - 8)
    packed = zlib.compress(struct.pack("<2I", 14, 2**32 - 64) + body)
    (tmp_path / "huge.mat").write_bytes(header() + struct.pack("<2I", 15, len(packed)) + packed)
    with little_memory(1_000_000), pytest.raises(StudyError, match="would take 36,893,488,113,059,364,872 bytes"):
        read_mat(tmp_path / "huge.mat", ["map"])


def test_a_variable_that_inflates_beyond_its_stated_length_is_refused_without_taking_the_memory(tmp_path: Path) -> None:
    body = struct.pack("<4I", 6, 8, 6, 0) + struct.pack("<2I2i", 5, 8, 1, 1)
    body += struct.pack("<HH4s", 1, 3, b"map\0") + struct.pack("<2Id", 9, 8, 1.0)
    packed = zlib.compress(struct.pack("<2I", 14, len(body)) + body + bytes(50_000_000))
    (tmp_path / "bomb.mat").write_bytes(header() + struct.pack("<2I", 15, len(packed)) + packed)
    with little_memory(1_000_000), pytest.raises(StudyError, match="longer than it states"):
        read_mat(tmp_path / "bomb.mat", ["map"])


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("0values", np.ones((2, 2)), "is not a valid MATLAB name"),
        ("v" * 64, np.ones((2, 2)), "is not a valid MATLAB name"),
        ("values", np.ones(2), "two dimensions"),
        ("values", np.array([["text"]]), "numeric"),
        ("values", np.ones((2, 2), np.complex128), "numeric"),
    ],
)
def test_names_and_arrays_that_matlab_cannot_hold_are_refused(
    tmp_path: Path, name: str, array: Any, fault: str
) -> None:
    with pytest.raises(StudyError, match=fault):
        write_mat(tmp_path / "out.mat", {name: array})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mat"
    write_mat(path, {"values": np.ones((2, 2))})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_mat(path, {"values": np.ones((200, 200))})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def header() -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
