"""study.toml: what it may contain, and how anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomap.errors import StudyError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.studies import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    StudySettings,
    read_study_toml,
    write_study_toml,
)

FULL = StudySettings(
    name="Two theatres",
    sensor="nemesis",
    preprocessing=PreprocessingConfig(normalisation="snv"),
    exposures=ExposureTimes(raw_ms=40, white_ms=20, dark_ms=40, white_dark_ms=20),
    msb_aligned=True,
    captures={"ID0018C09": CaptureSettings(crop=Crop(row=3, column=7, height=180, width=300))},
    aliases={"ID0048": "ID0047"},
)


def test_settings_survive_writing_and_reading(tmp_path: Path) -> None:
    for settings in (FULL, StudySettings()):
        write_study_toml(tmp_path, settings)
        assert read_study_toml(tmp_path) == settings


def test_no_file_means_no_settings(tmp_path: Path) -> None:
    assert read_study_toml(tmp_path) == StudySettings()


def test_a_hand_written_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'sensor = "nemesis"\n'
        "[exposures]\nraw_ms = 40\nwhite_ms = 20.5\ndark_ms = 40\n"
        "[captures]\nID0018C09.crop = { row = 0, column = 7, height = 180, width = 300 }\n",
        encoding="utf-8",
    )
    settings = read_study_toml(tmp_path)
    assert settings.capture("ID0018C09").crop == Crop(row=0, column=7, height=180, width=300)
    assert settings.capture("ID0018C10") == CaptureSettings()
    assert settings.exposures == ExposureTimes(raw_ms=40, white_ms=20.5, dark_ms=40)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sensor = ", "is not TOML"),
        ("sensor = 5", "sensor: Input should be a valid string"),
        ("camera = 'nemesis'", r"camera: unknown key\. "),
        ("sensr = 'nemesis'", r"sensr: unknown key \(did you mean sensor\?\)\. "),
        ("[captures.ID0018C09]\ncorp = {row = 1}", r"captures.ID0018C09.corp: unknown key \(did you mean crop\?\)"),
        ("[exposures]\nraw = 5\nwhite_ms = 1\ndark_ms = 1\nraw_ms = 1", r"raw: unknown key \(did you mean raw_ms\?\)"),
        ("version = 2", "version: Input should be less than or equal to 1"),
        ("[captures.ID18C09]", "is not a valid capture name"),
        (
            "[captures.ID0018C09]\ncrop = {row = -1, column = 0, height = 5, width = 5}",
            r"captures.ID0018C09.crop.row: Input should be greater than or equal to 0",
        ),
        ("[captures.ID0018C09]\ncrop = {row = 0, column = 0}", "height: Field required; .*width: Field required"),
        ("[exposures]\nraw_ms = inf\nwhite_ms = 1\ndark_ms = 1", "raw_ms: Input should be a finite number"),
        (
            "[exposures]\nraw_ms = 0\nwhite_ms = 1\ndark_ms = 1",
            "raw_ms: Input should be greater than or equal to 0.001",
        ),
        (
            "[exposures]\nraw_ms = 4e6\nwhite_ms = 1\ndark_ms = 1",
            "raw_ms: Input should be less than or equal to 3600000",
        ),
        ("[preprocessing]\nnormalisation = 'loud'", "normalisation 'loud' is not known"),
        ("[preprocessing]\nsmoothing = 3", "smoothing is not known"),
        ("[aliases]\nID0048 = 'ID0047'\nID0047 = 'ID0046'", "aliases of ID0048 point to another alias"),
        ("[aliases]\nsomebody = 'ID0047'", "String should match pattern"),
        ("[" * 5000, "is not TOML"),
        ("sensor = '" + "x" * (5 << 20) + "'", "is larger than"),
    ],
)
def test_invalid_settings_are_refused_and_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=fault) as raised:
        read_study_toml(tmp_path)
    assert raised.value.thing == str(tmp_path / "study.toml")
