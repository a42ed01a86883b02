"""What the check of a study finds, and that it continues after each fault."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from gliomap.errors import MissingExtraError
from gliomap.studies import (
    Finding,
    LabelledSpectra,
    Study,
    check_study,
    labelled_spectra,
    open_study,
    write_cube,
    write_dataset,
    write_map,
    write_mat,
)
from studies.makers import StudyMaker, make_codes, make_cube

CAPTURE = "ID0001C01"


def found(study: Study, severity: str) -> list[str]:
    return [f"{finding.thing}: {finding.message}" for finding in check_study(study).of(severity)]


def only(lines: list[str], part: str) -> str:
    """The only line that contains `part`."""
    matching = [line for line in lines if part in line]
    assert len(matching) == 1, lines
    return matching[0]


def test_a_sound_study_of_prepared_cubes_has_notes_only(prepared_study: StudyMaker) -> None:
    check = check_study(prepared_study())
    assert check.ok
    assert {finding.severity for finding in check.findings} == {"note"}
    messages = " ".join(finding.message for finding in check.findings)
    assert "preprocessed only" in messages
    assert "no sensor is named" in messages
    assert "has 2 captures, which every split keeps together: ID0001C01, ID0001C02" in messages


def test_the_table_counts_labelled_pixels_by_class(prepared_study: StudyMaker) -> None:
    check = check_study(prepared_study())
    row, codes = check.rows[0], make_codes()
    assert (row.capture, row.patient, row.image) == (CAPTURE, "ID0001", "cube")
    assert (row.cube_shape, row.map_shape) == ((9, 8, 25), (9, 8))
    assert row.labelled["tumour"] == int((codes == 200).sum())
    assert row.total == row.dataset_rows == int((codes != 0).sum())
    assert check.classes == ("healthy", "tumour", "venous", "arterial", "dura mater")
    plain = json.loads(json.dumps(check.as_dict(), allow_nan=False))
    assert plain["ok"]
    assert plain["captures"][0]["labelled"]["tumour"] == row.labelled["tumour"]


def test_progress_is_tracked_capture_by_capture(prepared_study: StudyMaker) -> None:
    seen: list[str] = []

    def track(items, *_):
        for item in items:
            seen.append(item)
            yield item

    study = prepared_study()
    check_study(study, track=track)
    assert seen == list(study.capture_ids)


def test_missing_files_of_a_capture_are_named(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    study.files("ID0001C01").cube.unlink()
    study.files("ID0001C02").map.unlink()
    study.files("ID0002C01").dataset.unlink()
    tif = study.root / "tif"
    tif.mkdir()
    (tif / "ID0003CW011.tif").touch()
    (tif / "ID0002C01.tif").touch()
    (tif / "ID0002CW01.tif").touch()
    study = open_study(study.root)
    errors = found(study, "error")
    assert "neither a prepared cube nor all three frames" in only(errors, "capture ID0001C01")
    assert "lacks its raw (ID0003C011.tif), dark (ID0003CD011.tif) in tif/" in only(errors, "capture ID0003C011")
    assert "lacks its dark (ID0002CD01.tif) in tif/" in only(errors, "capture ID0002C01")
    warnings = found(study, "warning")
    assert only(warnings, "ID0001C02: has no ground-truth map")
    assert only(warnings, "ID0001C01: has labelled spectra without")
    assert only(found(study, "note"), "ID0002C01: has no labelled spectra")


def test_unreadable_files_are_findings_and_the_check_continues(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    files = study.files(CAPTURE)
    files.cube.write_bytes(files.cube.read_bytes()[:1000])
    files.map.write_bytes(b"no map")
    write_mat(files.dataset, {"other": np.ones((2, 2))})
    data = make_cube().data
    data[0, 0, 0] = np.nan
    write_mat(study.files("ID0001C02").cube, {"preProcessedImage": data})
    check = check_study(study)
    assert {finding.thing for finding in check.of("error")} == {
        str(files.cube),
        str(files.map),
        str(files.dataset),
        str(study.files("ID0001C02").cube),
    }
    assert [row.map_shape for row in check.rows] == [None, (9, 8), (9, 8), (9, 8)]


def test_a_file_without_read_permission_is_a_finding(
    prepared_study: StudyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = prepared_study()
    refused = study.files(CAPTURE).map

    def read(path: Path) -> np.ndarray:
        if path == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return make_codes()

    monkeypatch.setattr("gliomap.studies._study.read_codes", read)
    assert only(found(study, "error"), f"{refused}: no permission")


def test_a_missing_library_is_raised_and_is_not_a_finding(
    prepared_study: StudyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = prepared_study()
    with h5py.File(study.files(CAPTURE).map, "w", userblock_size=512) as file:
        file["groundTruthMap"] = make_codes().T
    with study.files(CAPTURE).map.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    assert check_study(study).ok
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError):
        check_study(study)


def test_differing_sizes_and_band_counts_are_errors(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    write_map(study.root, CAPTURE, make_codes(4, 5))
    write_cube(study.root, "ID0002C01", make_cube(bands=24))
    errors = found(study, "error")
    assert "its cube has 9×8 pixels and its map 4×5, and no crop is known" in only(errors, "capture ID0001C01")
    assert "most cubes have 25 bands, but not ID0002C01 (24)" in only(errors, "bands:")
    assert "has 25 bands, and the cube 24" in only(errors, "ID0002C01_dataset.mat")


def test_unknown_codes_are_errors_and_codes_of_no_class_are_notes(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    codes = make_codes()
    codes[codes == 320] = 410
    codes[2, 3] = codes[5, 6] = 999
    write_map(study.root, CAPTURE, codes)
    write_dataset(study.root, CAPTURE, spectra_of(codes))
    check = check_study(study)
    assert "holds the unknown code 999 in 2 pixels, the first at row 2, column 3" in only(
        found(study, "error"), "gtID0001C01"
    )
    gauze = int((codes == 410).sum())
    assert f"has {gauze} pixels of code 410 (gauze) that training ignores" in only(found(study, "note"), "code 410")
    assert (check.rows[0].unknown, check.rows[0].ignored) == (2, gauze)


def spectra_of(codes: np.ndarray) -> LabelledSpectra:
    """Labelled spectra of the first cube, even for unknown codes."""
    columns, rows = np.nonzero(codes.T)
    label = codes[rows, columns]
    return LabelledSpectra(make_cube().data[rows, columns], label, np.ones(label.size, np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fewer", "rows, and the map"),
        ("row by row", "they follow the map row by row"),
        ("one label", "1 of 39 rows differ in code from the map read column by column; the first is row 7"),
        ("one value", "1 of 39 rows of data differ from the cube's spectra, by up to 0.5; the first is row 3"),
        ("bands", "has 24 bands, and the cube 25"),
    ],
)
def test_rows_that_disagree_with_the_map_or_the_cube_are_errors(
    prepared_study: StudyMaker, change: str, message: str
) -> None:
    study = prepared_study()
    spectra = labelled_spectra(make_cube().data, make_codes())
    data, codes, classes = spectra.data.copy(), spectra.codes.copy(), spectra.classes.copy()
    if change == "fewer":
        data, codes, classes = data[1:], codes[1:], classes[1:]
    elif change == "row by row":
        rows, columns = np.nonzero(make_codes())
        codes = make_codes()[rows, columns]
    elif change == "one label":
        codes[7] = 221
    elif change == "one value":
        data[3, 5] += 0.5
    else:
        data = data[:, 1:]
    write_dataset(study.root, CAPTURE, LabelledSpectra(data, codes, classes))
    assert message in only(found(study, "error"), "ID0001C01_dataset.mat")


def test_rounding_errors_are_tolerated(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    spectra = labelled_spectra(make_cube().data, make_codes())
    write_dataset(study.root, CAPTURE, LabelledSpectra(spectra.data + np.float32(3e-5), spectra.codes, spectra.classes))
    assert check_study(study).ok


def test_classes_that_contradict_their_codes_are_a_warning(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    spectra = labelled_spectra(make_cube().data, make_codes())
    classes = spectra.classes.copy()
    classes[:3] = 4
    write_dataset(study.root, CAPTURE, LabelledSpectra(spectra.data, spectra.codes, classes))
    changed = int((classes != spectra.classes).sum())
    assert f"label4Classes differs in {changed} of 39 rows" in only(found(study, "warning"), "dataset.mat")


def only_codes(study: Study, capture_id: str, codes: np.ndarray) -> None:
    write_map(study.root, capture_id, codes)
    study.files(capture_id).dataset.unlink(missing_ok=True)


def test_patients_and_classes_with_too_few_labels_cause_warnings(prepared_study: StudyMaker) -> None:
    study = prepared_study(["ID0001C01", "ID0002C01", "ID0003C01"])
    codes = make_codes()
    codes[(codes == 301) | (codes == 302)] = 101
    codes[8, 7] = 301
    only_codes(study, "ID0001C01", codes)
    only_codes(study, "ID0002C01", np.where(make_codes() == 200, 200, 0).astype(np.uint16))
    only_codes(study, "ID0003C01", np.zeros((9, 8), np.uint16))
    warnings = found(study, "warning")
    assert only(warnings, "ID0002: has labels of one class only, tumour")
    assert only(warnings, "ID0003: has no labelled pixel of any class")
    assert only(warnings, "class 'venous': has a single labelled pixel, in ID0001C01")
    assert only(warnings, "class 'arterial': has no labelled pixel in any patient")
    assert only(warnings, "class 'dura mater': only patient ID0001 has it")
    assert check_study(study).ok


def test_a_class_with_few_pixels_in_total_causes_a_warning(prepared_study: StudyMaker) -> None:
    study = prepared_study(["ID0001C01", "ID0002C01"])
    for capture in study.capture_ids:
        codes = np.where(make_codes() == 301, 101, make_codes())
        codes[8, 6:] = 301
        only_codes(study, capture, codes)
    assert only(found(study, "warning"), "class 'venous': has only 4 labelled pixels, in ID0001C01, ID0002C01")


def test_duplicate_images_cause_a_warning_even_if_saved_differently(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    first, second = study.labelled[:2]
    write_mat(study.files(second).cube, {"preProcessedImage": study.cube(first).data}, compress=True)
    assert study.files(first).cube.read_bytes() != study.files(second).cube.read_bytes()
    assert f"duplicate: {first} and {second} (one patient) are the same image" in found(study, "warning")


def test_masked_labelled_pixels_are_counted(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    data = make_cube().data
    data[0, :3] = 0
    write_mat(study.files(CAPTURE).cube, {"preProcessedImage": data})
    write_dataset(study.root, CAPTURE, labelled_spectra(data, make_codes()))
    check = check_study(study)
    assert check.ok
    assert check.rows[0].masked == 3
    assert only(found(study, "note"), "3 of 39 labelled pixels are masked")


def test_stray_files_and_unused_settings_cause_warnings(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    (study.root / "datasets" / "notes.txt").touch()
    (study.root / "datasets" / ".DS_Store").touch()
    (study.root / "study.toml").write_text(
        "[captures.ID0009C01]\n[aliases]\nID0008 = 'ID0001'\nID0002 = 'ID0001'\n", encoding="utf-8"
    )
    warnings = found(open_study(study.root), "warning")
    assert "holds files that are ignored, because their names do not follow the layout: notes.txt" in only(
        warnings, "notes.txt"
    )
    assert only(warnings, "describes ID0009C01, which has no files here")
    assert only(warnings, "ID0008 = ID0001: no capture belongs to ID0008")
    assert not any("ID0002 =" in line for line in warnings)


def test_an_unknown_sensor_is_a_single_error(prepared_study: StudyMaker) -> None:
    study = prepared_study(sensor='"no-such-camera"')
    assert "names the sensor 'no-such-camera'" in only(found(study, "error"), "study.toml")


def test_cubes_not_normalised_as_study_toml_states_cause_a_warning(prepared_study: StudyMaker) -> None:
    """Otherwise a model would learn from reflectance, and its bundle would give it normalised spectra."""
    study = prepared_study()
    cube = make_cube()
    reflectance = dataclasses.replace(cube, data=cube.data * np.linspace(0.3, 0.9, 8, dtype=np.float32)[:, np.newaxis])
    write_cube(study.root, CAPTURE, reflectance)
    told = only(found(study, "warning"), "not normalised by 'brightness'")
    assert CAPTURE in told
    (study.root / "study.toml").write_text("[preprocessing]\nnormalisation = 'none'\n", encoding="utf-8")
    assert not any("normalised" in line for line in found(open_study(study.root), "warning"))


def test_errors_come_first(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    study.files("ID0003C011").cube.unlink()
    order = [finding.severity for finding in check_study(study).findings]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    assert isinstance(check_study(study).findings[0], Finding)
