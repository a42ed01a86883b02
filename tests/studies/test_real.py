"""The real study beside the project can be read, and its parts agree. Nothing here describes its patients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from gliomap.studies import Split, check_study, labelled_spectra, list_mat, make_holdout, open_study, read_mat
from support import shared

pytestmark = pytest.mark.shared


def test_the_check_passes_with_notes_only() -> None:
    check = check_study(open_study(shared("data", "real")))
    assert check.ok
    assert not check.of("warning")
    assert all(row.total == row.dataset_rows for row in check.rows)


def test_labelled_spectra_match_cube_and_map() -> None:
    study = open_study(shared("data", "real"))
    for capture_id in study.labelled:
        spectra, cube = study.dataset(capture_id), study.cube(capture_id)
        expected = labelled_spectra(cube.data, study.codes(capture_id))
        np.testing.assert_array_equal(spectra.codes, expected.codes)
        np.testing.assert_array_equal(spectra.classes, expected.classes)
        np.testing.assert_allclose(spectra.data, expected.data, atol=1e-6)
        assert cube.mask.all()
        np.testing.assert_allclose(np.sqrt((cube.data**2).mean(axis=2)), 1, atol=1e-4)


def test_our_reader_agrees_with_scipy() -> None:
    for path in sorted(shared("data", "real").glob("*/*.mat")):
        theirs = scipy.io.loadmat(path, mat_dtype=True)
        names = [variable.name for variable in list_mat(path) if variable.numeric]
        assert names
        for name, values in read_mat(path, names).items():
            assert values.dtype == theirs[name].dtype
            np.testing.assert_array_equal(values, theirs[name])


def test_one_patient_trains_and_the_other_tests(tmp_path) -> None:
    study = open_study(shared("data", "real"))
    first, second = study.patients
    split = make_holdout(study, test_patients=[second])
    assert (split.patients_of("train"), split.patients_of("test")) == ((first,), (second,))
    assert split.validation == ()
    split.save(tmp_path / "split.json")
    Split.load(tmp_path / "split.json").verify(study)
