"""Whatever bytes a file holds, readers return a result or raise one of GlioMap's errors."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gliomap.errors import GlioMapError, LeakageError, StudyError, UsageError
from gliomap.preprocessing import HyperCube
from gliomap.studies import (
    Study,
    StudySettings,
    labelled_spectra,
    list_mat,
    make_holdout,
    open_study,
    read_mat,
    read_study_toml,
    write_capture_files,
    write_mat,
)
from studies.makers import make_codes, make_cube

ARRAYS = {"preProcessedImage": np.arange(7 * 5 * 4.0).reshape(7, 5, 4), "groundTruthMap": make_codes(7, 5)}
FEW = settings(max_examples=50)


def version_5(*, compress: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.mat")
        write_mat(path, ARRAYS, compress=compress)
        return path.read_bytes()


def version_73(**storage: object) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        for name, array in ARRAYS.items():
            file.create_dataset(name, data=array.T, **storage).attrs["MATLAB_class"] = np.bytes_("double")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    return header + buffer.getvalue()[len(header) :]


GOOD = {
    "v5": version_5(compress=False),
    "v5 compressed": version_5(compress=True),
    "v7.3": version_73(),
    "v7.3 compressed": version_73(compression="gzip"),
}


def read_all(content: bytes) -> None:
    """Read the bytes as a study would; only GlioMap's errors may be raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.mat")
        path.write_bytes(content)
        for read in (lambda: list_mat(path), lambda: read_mat(path, ARRAYS, max_bytes=1 << 20)):
            message = str(path)
            try:
                read()
            except GlioMapError as error:
                message = str(error)
            assert str(path) in message


@pytest.mark.parametrize("kind", GOOD)
@FEW
@given(data=st.data())
def test_damaged_mat_files_are_read_or_raise_a_gliomap_error(kind: str, data: st.DataObject) -> None:
    content = bytearray(GOOD[kind])
    changes = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(changes, max_size=12)):
        content[place] = value
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    read_all(bytes(content[:length]))


@FEW
@given(st.binary(max_size=400), st.sampled_from([b"", GOOD["v5"][:128], GOOD["v7.3"][:520]]))
def test_random_bytes_are_read_or_raise_a_gliomap_error(content: bytes, header: bytes) -> None:
    read_all(header + content)


@FEW
@given(
    array=hnp.arrays(
        st.sampled_from(["f8", "f4", "u2", "u1", "i4", "i8"]), hnp.array_shapes(min_dims=2, max_dims=4, max_side=6)
    ),
    compress=st.booleans(),
)
def test_arrays_survive_writing_and_reading(array: np.ndarray, compress: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.mat")
        write_mat(path, {"values": array}, compress=compress)
        found = read_mat(path, ["values"])["values"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@FEW
@given(
    codes=hnp.arrays(
        "u2", st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 101, 200, 221, 320, 410])
    ),
    bands=st.integers(1, 5),
    seed=st.integers(0, 100),
)
def test_a_capture_survives_writing_and_reading(codes: np.ndarray, bands: int, seed: int) -> None:
    cube = make_cube(*codes.shape, bands, seed)
    with tempfile.TemporaryDirectory() as folder:
        write_capture_files(Path(folder), "ID0001C01", cube=cube, codes=codes)
        study = open_study(folder)
        read: HyperCube = study.cube("ID0001C01")
        np.testing.assert_array_equal(read.data, cube.data)
        np.testing.assert_array_equal(study.codes("ID0001C01"), codes)
        expected, found = labelled_spectra(cube.data, codes), study.dataset("ID0001C01")
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.classes, expected.classes)


@FEW
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(st.sampled_from(["[captures]", "sensor", "=", "'x'", "\n", "[[", "{", "1e999", "aliases", "."])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_any_study_toml_yields_settings_or_a_gliomap_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "study.toml").write_bytes(content)
        settings_or_message: StudySettings | str
        try:
            settings_or_message = read_study_toml(Path(folder))
        except GlioMapError as error:
            settings_or_message = str(error)
    assert isinstance(settings_or_message, StudySettings) or "study.toml" in settings_or_message


capture_ids = st.builds(lambda patient, capture: f"ID{patient:04d}C{capture:02d}", st.integers(1, 6), st.integers(1, 4))


@FEW
@given(
    captures=st.sets(capture_ids, min_size=2, max_size=10),
    alias=st.booleans(),
    data=st.data(),
)
def test_no_split_puts_a_patient_on_two_sides(captures: set[str], alias: bool, data: st.DataObject) -> None:
    chosen = StudySettings(aliases={"ID0002": "ID0001"} if alias else {})
    test = data.draw(st.lists(st.sampled_from(sorted(captures)), min_size=1, unique=True))
    with tempfile.TemporaryDirectory() as folder:
        for capture_id in captures:
            write_capture_files(Path(folder), capture_id, cube=make_cube(2, 2, 1), codes=make_codes(3, 4)[:2, :2])
        study = Study(Path(folder), chosen, tuple(sorted(captures)))
        training = {study.patient_of(name) for name in captures - set(test)}
        named = data.draw(st.lists(st.sampled_from(sorted(study.patients)), max_size=2, unique=True))
        try:
            split = make_holdout(study, test_captures=test, validation_patients=named)
        except (LeakageError, UsageError):
            assert not training or training & {study.patient_of(name) for name in test}
            return
        except StudyError:
            assert not set(named) < training
            return
    sides = [set(split.patients_of(role)) for role in ("train", "validation", "test")]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert set(split.train) | set(split.validation) | set(split.test) == captures
    assert sides[1] == set(named)
