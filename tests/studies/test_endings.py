"""Frames that a camera named .TIF or .tiff are read like .tif, and refused if two could be meant."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from gliomap.errors import StudyError
from gliomap.sensors import MosaicSensor
from gliomap.studies import Study, check_study, fill_preprocessed, make_holdout, open_study
from studies.makers import with_settings, write_raw_study

CAPTURES = ("ID0001C01", "ID0002C01", "ID0003C011")


@pytest.fixture
def study(tmp_path: Path, small_sensor: MosaicSensor) -> Study:
    """Three captures as frames with full-size maps, and their camera."""
    return with_settings(write_raw_study(tmp_path / "study", small_sensor, CAPTURES))


def with_other_extensions(study: Study) -> Study:
    for path, ending in zip(sorted((study.root / "tif").iterdir()), cycle((".TIF", ".tiff", ".Tiff")), strict=False):
        path.rename(path.with_suffix(ending))
    return open_study(study.root)


def test_frames_are_read_under_any_spelling_of_their_extension(study: Study) -> None:
    expected = [study.cube(capture_id).data for capture_id in CAPTURES]
    other = with_other_extensions(study)
    assert other.capture_ids == CAPTURES
    assert not list((other.root / "tif").glob("*.tif"))
    for capture_id, cube in zip(CAPTURES, expected, strict=True):
        np.testing.assert_array_equal(other.cube(capture_id).data, cube)


def test_the_check_accepts_these_extensions_and_reports_stray_files(study: Study) -> None:
    before = check_study(study).findings
    assert check_study(with_other_extensions(study)).findings == before
    (study.root / "tif" / "ID0001C01.png").touch()
    strays = set(check_study(open_study(study.root)).findings) - set(before)
    assert [finding.message for finding in strays] == [
        "holds files that are ignored, because their names do not follow the layout: ID0001C01.png"
    ]


def test_cubes_made_from_such_frames_have_the_usual_names(study: Study) -> None:
    assert fill_preprocessed(with_other_extensions(study)).written == CAPTURES
    names = {path.name for path in (study.root / "preProcessedImages").iterdir()}
    assert names == {f"SNAPimages{capture_id}_cropped_Pre-processed.mat" for capture_id in CAPTURES}


def test_a_split_does_not_depend_on_the_extensions_of_frames(study: Study) -> None:
    split = make_holdout(study, test_patients=["ID0003"])
    other = with_other_extensions(study)
    split.verify(other)
    assert make_holdout(other, test_patients=["ID0003"]).fingerprint == split.fingerprint
    other.files("ID0001C01").raw.write_bytes(b"another")
    with pytest.raises(StudyError, match=r"1 changed: tif/ID0001C01\.tif"):
        split.verify(other)


def test_a_duplicate_frame_is_found_under_another_extension(study: Study) -> None:
    tif = study.root / "tif"
    (tif / "ID0002C01.tif").unlink()
    (tif / "ID0002C01.TIF").write_bytes((tif / "ID0001C01.tif").read_bytes())
    duplicates = make_holdout(open_study(study.root), test_patients=["ID0003"]).duplicates
    assert [one.captures for one in duplicates] == [("ID0001C01", "ID0002C01")]


@pytest.mark.parametrize("ending", [".TIF", ".tiff", ".TIFF"])
def test_frames_that_differ_only_in_their_extension_are_refused(study: Study, ending: str) -> None:
    frame = study.root / "tif" / "ID0001CW01.tif"
    frame.with_suffix(ending).write_bytes(frame.read_bytes())
    with pytest.raises(StudyError, match="differ only in their extension") as caught:
        open_study(study.root)
    assert "ID0001CW01.tif" in caught.value.fault
    assert f"ID0001CW01{ending}" in caught.value.fault
    other = study.root / "tif" / "ID0002C01.tif"
    other.with_suffix(ending).touch()
    with pytest.raises(StudyError, match="and 1 more such pairs"):
        open_study(study.root)
