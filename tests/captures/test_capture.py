"""A capture: raw frame and references, checked against each other."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from captures.frames import SENSOR, SHAPE, Frames
from gliomap.captures import (
    LONGEST_MS,
    SHORTEST_MS,
    Capture,
    Exposures,
    Finding,
    check_raw,
    check_references,
    inspect_capture,
    inspect_raw,
    inspect_references,
    read_capture,
    reference_age,
    shadow_floor,
    write_frame,
)
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.sensors import SpectralCorrection


def stored(folder: Path, frames: Frames, times: dict[str, datetime] | None = None) -> dict[str, Path]:
    for name, data in frames.items():
        write_frame(folder / f"{name}.tif", data, (times or {}).get(name))
    return {name: folder / f"{name}.tif" for name in frames}


def test_a_good_capture_has_no_findings(tmp_path: Path, frames: Frames, caplog: pytest.LogCaptureFixture) -> None:
    capture = read_capture(**stored(tmp_path, frames), sensor=SENSOR)
    assert capture.findings == ()
    assert np.array_equal(capture.raw, frames["raw"])
    assert np.array_equal(capture.white, frames["white"])
    assert np.array_equal(capture.dark, frames["dark"])
    assert not caplog.records


@pytest.mark.parametrize("oldest", ["white", "dark", "white_dark"])
def test_reference_age_counts_from_the_oldest_reference(tmp_path: Path, frames: Frames, oldest: str) -> None:
    frames["white_dark"] = frames["dark"]
    start = datetime(2021, 5, 4, 9, 0, 0)
    times = {**dict.fromkeys(frames, start + timedelta(minutes=5)), oldest: start, "raw": start + timedelta(hours=2)}
    capture = read_capture(**stored(tmp_path, frames, times), sensor=SENSOR)
    assert capture.taken_at == times["raw"]
    assert capture.references_taken_at == start
    assert reference_age(capture) == timedelta(hours=2)


@pytest.mark.parametrize("unknown", ["raw", "white", "dark", "white_dark"])
def test_an_unknown_time_gives_an_unknown_age(tmp_path: Path, frames: Frames, unknown: str) -> None:
    frames["white_dark"] = frames["dark"]
    times = {name: datetime(2021, 5, 4) for name in frames if name != unknown}
    assert reference_age(read_capture(**stored(tmp_path, frames, times), sensor=SENSOR)) is None


class TestReferences:
    def test_swapped_white_and_dark_are_refused(self, tmp_path: Path, frames: Frames) -> None:
        paths = stored(tmp_path, frames)
        paths["white"], paths["dark"] = paths["dark"], paths["white"]
        with pytest.raises(ReferenceFrameError, match=r"look swapped: the white's mean is 2\d, the dark's [67]\d\d"):
            read_capture(**paths, sensor=SENSOR)

    def test_a_white_equal_to_the_dark_everywhere_is_refused(self, frames: Frames) -> None:
        with pytest.raises(ReferenceFrameError, match=r"2% of full scale above the dark at 100\.0%"):
            check_references(frames["dark"], frames["dark"], SENSOR)

    @pytest.mark.parametrize(("light", "refused"), [(1, True), (20, True), (21, False)])
    def test_a_white_must_exceed_its_dark_by_two_percent_of_full_scale(
        self, frames: Frames, light: int, refused: bool
    ) -> None:
        white = frames["dark"] + np.uint16(light)  # 2 % of 1023 is 20.46
        with pytest.raises(ReferenceFrameError, match="above the dark at 100") if refused else nullcontext():
            assert check_references(white, frames["dark"], SENSOR) == ()

    def test_a_white_is_compared_with_its_own_dark(self, frames: Frames) -> None:
        with pytest.raises(ReferenceFrameError, match="above the dark at 100"):
            check_references(frames["white"], frames["dark"], SENSOR, white_dark=frames["white"] - np.uint16(5))

    def test_a_white_partly_equal_to_the_dark_warns(self, frames: Frames) -> None:
        frames["white"][:4] = frames["dark"][:4]
        (finding,) = check_references(frames["white"], frames["dark"], SENSOR)
        assert finding.severity == "warning"
        assert "at 10.0% of its pixels" in finding.message

    def test_a_white_with_some_saturated_pixels_warns(self, frames: Frames) -> None:
        frames["white"][:2] = 1023
        (finding,) = check_references(frames["white"], frames["dark"], SENSOR)
        assert finding.severity == "warning"
        assert "5.0% of its pixels are saturated" in finding.message

    def test_a_saturated_white_is_refused(self, frames: Frames) -> None:
        frames["white"][:10] = 1023
        with pytest.raises(ReferenceFrameError, match=r"25\.0% of its pixels are saturated \(at 1023"):
            check_references(frames["white"], frames["dark"], SENSOR)

    def test_clipping_below_the_saturation_value_is_reported(self, frames: Frames) -> None:
        (finding,) = check_references(np.minimum(frames["white"], 511), frames["dark"], SENSOR)
        assert "share its highest value 511, below the saturation value 1023" in finding.message

    def test_light_in_the_dark_is_reported(self, frames: Frames) -> None:
        (finding,) = check_references(frames["white"], frames["dark"] + np.uint16(300), SENSOR)
        assert "light may have entered" in finding.message

    def test_bands_that_nearly_cancel_in_the_correction_warn(self, frames: Frames) -> None:
        matrix = np.eye(25)
        matrix[3, [3, 8]] = 40, -39  # what is left of band 3 is the difference of two pixels
        before = replace(SENSOR, correction=SpectralCorrection(matrix, after_division=False))
        frames["white"][:] = 700
        (finding,) = check_references(frames["white"], frames["dark"], before)
        wavelength = before.wavelengths_nm[3]
        assert (finding.severity, finding.thing) == ("warning", "white reference")
        assert f"{wavelength:.0f} nm (" in finding.message
        assert finding.message.count(" nm (") == 1
        # In a dim white all bands are dim, however bright the dark, so still only the cancelling band is named.
        faint = check_references(np.full(SHAPE, 322, np.uint16), np.full(SHAPE, 300, np.uint16), before)
        assert any(finding.message.count(" nm (") == 1 for finding in faint)
        after = replace(before, correction=SpectralCorrection(matrix, after_division=True))
        assert check_references(frames["white"], frames["dark"], after) == ()

    def test_a_reference_of_another_shape_is_refused(self, frames: Frames) -> None:
        with pytest.raises(CaptureError, match=r"dark reference: is uint16 of shape 42×53, .* delivers uint16 43×53"):
            check_references(frames["white"], frames["dark"][1:], SENSOR)
        with pytest.raises(CaptureError, match=r"dark reference of the white: is uint16 of shape 42×53"):
            check_references(frames["white"], frames["dark"], SENSOR, white_dark=frames["dark"][1:])

    def test_pixels_outside_the_active_area_are_ignored(self, frames: Frames) -> None:
        frames["white"][40:] = 0
        frames["white"][:, 50:] = 1023
        assert check_references(frames["white"], frames["dark"], SENSOR) == ()


class TestExposures:
    def test_a_white_without_a_matching_dark_is_still_compared_with_its_own(self, frames: Frames) -> None:
        own = frames["white"] - np.uint16(5)
        times = Exposures(10, 5, 10, white_dark_ms=7)
        found = inspect_references(frames["white"], frames["dark"], SENSOR, white_dark=own, exposures=times)
        assert [one.severity for one in found[:2]] == ["error", "error"]
        assert "Record a dark of 5 ms" in str(found[0])
        assert "above the dark at 100.0% of its pixels" in found[1].message

    def test_exposures_that_differ_by_more_than_a_thousandth_are_reported(self, frames: Frames) -> None:
        for white_ms, told in ((10.009, False), (10.012, True)):
            times = Exposures(10, white_ms, 10, white_ms)
            found = check_references(
                frames["white"], frames["dark"], SENSOR, white_dark=frames["dark"], exposures=times
            )
            assert bool(found) == told

    def test_scaling_only_the_dark_of_the_raw_frame_is_reported(self, frames: Frames) -> None:
        unbiased = replace(SENSOR, has_bias_offset=False)
        found = check_references(frames["white"], frames["dark"], unbiased, exposures=Exposures(10, 40, 40))
        assert [one.message for one in found] == [
            "white 40 ms and raw 10 ms differ; scaled by time",
            "the dark of 40 ms is scaled by time",
        ]

    def test_exposures_without_a_matching_dark_are_refused(self, tmp_path: Path, frames: Frames) -> None:
        with pytest.raises(ReferenceFrameError, match="Record a dark of 5 ms"):
            read_capture(**stored(tmp_path, frames), sensor=SENSOR, exposures=Exposures(10, 5, 10))

    def test_a_white_may_have_its_own_exposure_and_dark(self, tmp_path: Path, frames: Frames) -> None:
        frames["white_dark"] = frames["dark"] + np.uint16(1)
        capture = read_capture(**stored(tmp_path, frames), sensor=SENSOR, exposures=Exposures(10, 5, 10, 5))
        assert capture.white_dark is not None
        assert np.array_equal(capture.white_dark, frames["white_dark"])
        assert [finding.thing for finding in capture.findings] == ["exposure"]
        assert "white 5 ms and raw 10 ms differ" in capture.findings[0].message

    def test_scaling_the_dark_by_time_is_reported(self, frames: Frames) -> None:
        unbiased = replace(SENSOR, has_bias_offset=False)
        found = check_references(frames["white"], frames["dark"], unbiased, exposures=Exposures(10, 10, 40))
        assert [str(one) for one in found] == ["exposure: the dark of 40 ms is scaled by time."]

    def test_equal_exposures_give_no_finding(self, frames: Frames) -> None:
        assert check_references(frames["white"], frames["dark"], SENSOR, exposures=Exposures(10, 10, 10)) == ()


class TestRaw:
    def test_a_raw_frame_with_some_saturated_pixels_warns(
        self, tmp_path: Path, frames: Frames, caplog: pytest.LogCaptureFixture
    ) -> None:
        frames["raw"][:2] = 1023
        with caplog.at_level(logging.WARNING):
            capture = read_capture(**stored(tmp_path, frames), sensor=SENSOR)
        (finding,) = capture.findings
        assert finding.thing == str(tmp_path / "raw.tif")
        assert "5.0% of its pixels are saturated" in finding.message
        assert "5.0% of its pixels are saturated" in caplog.text

    def test_an_overexposed_frame_is_refused(self, tmp_path: Path, frames: Frames) -> None:
        frames["raw"][:30] = 1023
        fault = r"75\.0% of its pixels are saturated"
        with pytest.raises(CaptureError, match=rf"raw\.tif: {fault}") as caught:
            read_capture(**stored(tmp_path, frames), sensor=SENSOR)
        assert caught.type is CaptureError  # not the references' fault
        with pytest.raises(CaptureError, match=f"raw frame: {fault}"):
            check_raw(frames["raw"], frames["white"], frames["dark"], SENSOR)

    def test_a_frame_partly_outside_its_references_warns(self, frames: Frames) -> None:
        frames["raw"][:8] = 1000
        (finding,) = check_raw(frames["raw"], frames["white"], frames["dark"], SENSOR)
        assert finding.severity == "warning"
        assert "0.0% of its pixels are darker than the dark reference and 20.0% brighter" in finding.message

    def test_a_frame_of_another_shape_is_refused(self, frames: Frames) -> None:
        with pytest.raises(CaptureError, match="raw frame: is uint16 of shape 42×53"):
            check_raw(frames["raw"][1:], frames["white"], frames["dark"], SENSOR)

    def test_a_frame_outside_its_references_is_refused(self, tmp_path: Path, frames: Frames) -> None:
        frames["raw"] = np.maximum(frames["white"], 950) + np.uint16(20)
        with pytest.raises(CaptureError, match=r"100\.0% brighter than the white"):
            read_capture(**stored(tmp_path, frames), sensor=SENSOR)

    @pytest.mark.parametrize("exposures", [None, Exposures(20, 10, 20)])
    def test_shadows_are_reported(self, frames: Frames, exposures: Exposures | None) -> None:
        light = frames["white"].astype(int) - frames["dark"]
        # A share of the white's light, scaled to the exposure of the frame.
        lit = np.rint(frames["dark"] + light * 0.3 * (1 if exposures is None else 2)).astype(np.uint16)
        for share, told in ((0.005, False), (0.025, True)):
            raw = lit.copy()
            raw.reshape(-1)[: int(share * raw.size)] = frames["dark"].reshape(-1)[: int(share * raw.size)] + 1
            capture = Capture(raw, frames["white"], frames["dark"], SENSOR, exposures=exposures)
            found = [one.message for one in inspect_capture(capture) if one.thing == "raw frame"]
            assert all(
                "have hardly any light, under 2% of the white's: a map says nothing there" in one for one in found
            )
            assert len(found) == told

    @pytest.mark.parametrize(("raw_ms", "white_ms"), [(SHORTEST_MS, LONGEST_MS), (LONGEST_MS, SHORTEST_MS)])
    def test_the_shadow_floor_lies_between_dark_and_white(self, frames: Frames, raw_ms: float, white_ms: float) -> None:
        white, dark = frames["white"], frames["dark"]
        floor = shadow_floor(white, dark, SENSOR, Exposures(raw_ms, white_ms, raw_ms))
        assert floor.dtype == np.uint16
        assert (floor >= dark).all()
        assert (floor <= np.maximum(white, dark)).all()

    def test_a_dark_of_another_exposure_is_scaled_before_it_is_compared(self, frames: Frames) -> None:
        """Exposed ten times as long, it is brighter than half of the frame and a dim white, and still valid."""
        unbiased = replace(SENSOR, has_bias_offset=False)
        longer = (frames["dark"] * 10).astype(np.uint16)
        dim = (frames["dark"] + (frames["white"] - frames["dark"]) // 3).astype(np.uint16)
        frames["raw"] = (frames["dark"] + (dim - frames["dark"]) * 0.6).astype(np.uint16)
        capture = Capture(frames["raw"], dim, longer, unbiased, exposures=Exposures(10, 10, 100))
        assert [str(one) for one in inspect_capture(capture)] == ["exposure: the dark of 100 ms is scaled by time."]
        alike = replace(capture, exposures=None)
        assert {one.severity for one in inspect_capture(alike)} == {"warning", "error"}

    def test_a_frame_with_the_white_exposure_is_compared_with_the_white_dark(self, frames: Frames) -> None:
        """That is the one the chain subtracts; the other has a longer exposure and is brighter than a dark scene."""
        times = Exposures(raw_ms=12, white_ms=12, dark_ms=40, white_dark_ms=12)
        own, longer = frames["dark"], frames["dark"] + np.uint16(50)
        raw = (own + (frames["white"] - own) * 0.04).astype(np.uint16)
        capture = Capture(raw, frames["white"], longer, SENSOR, white_dark=own, exposures=times)
        assert inspect_capture(capture) == ()
        assert check_raw(raw, frames["white"], longer, SENSOR, times, white_dark=own) == ()
        floor = shadow_floor(frames["white"], longer, SENSOR, times, white_dark=own)
        assert np.array_equal(floor, shadow_floor(frames["white"], own, SENSOR))
        # Compared with the other dark, it would be refused.
        with pytest.raises(CaptureError, match="darker than the dark reference"):
            check_raw(raw, frames["white"], longer, SENSOR)

    @pytest.mark.parametrize("unbiased", [False, True])
    def test_the_shadow_floor_is_a_share_of_the_light_above_the_white_dark(
        self, frames: Frames, unbiased: bool
    ) -> None:
        sensor = replace(SENSOR, has_bias_offset=not unbiased)
        longer = frames["dark"] + np.uint16(400)
        times = Exposures(raw_ms=40, white_ms=20, dark_ms=40, white_dark_ms=20)
        floor = shadow_floor(frames["white"], longer, sensor, times, white_dark=frames["dark"])
        light = (frames["white"] - frames["dark"]) * 2.0
        assert np.abs(floor - longer - 0.02 * light).max() <= 1

    def test_the_shadow_floor_stays_within_sixteen_bits(self) -> None:
        deep = replace(SENSOR, bit_depth=16, saturation=65_535)
        bright, black = np.full(SHAPE, 65_000, np.uint16), np.full(SHAPE, 1_000, np.uint16)
        times = Exposures(raw_ms=LONGEST_MS, white_ms=1, dark_ms=LONGEST_MS, white_dark_ms=1)
        assert (shadow_floor(bright, black * np.uint16(2), deep, times, white_dark=black) == 65_535).all()

    def test_a_white_without_a_matching_dark_does_not_affect_the_raw_frame(self, frames: Frames) -> None:
        """The raw frame has a dark of its own exposure, so nothing is reported for it."""
        times = Exposures(raw_ms=5, white_ms=10, dark_ms=20, white_dark_ms=5)
        longer = frames["dark"] + np.uint16(50)
        raw = (frames["dark"] + (frames["white"] - frames["dark"]) * 0.04).astype(np.uint16)
        assert inspect_raw(raw, frames["white"], longer, SENSOR, times, white_dark=frames["dark"]) == ()
        # Without a dark of its exposure, the frame is compared with the one that was recorded.
        alone = inspect_raw(raw, frames["white"], longer, SENSOR, times)
        assert any("darker than the dark reference" in one.message for one in alone)

    def test_a_longer_exposure_may_exceed_the_white(self, frames: Frames) -> None:
        raw = np.minimum(frames["raw"].astype(int) * 3, 1022).astype(np.uint16)
        frames["white"] = (frames["white"] // 2).astype(np.uint16)
        capture = Capture(raw, frames["white"], frames["dark"], SENSOR, exposures=Exposures(40, 10, 40))
        assert not [f for f in inspect_capture(capture) if f.thing == "raw frame"]
        assert [
            f for f in inspect_capture(Capture(raw, frames["white"], frames["dark"], SENSOR)) if "white" in f.message
        ]

    def test_a_reference_given_as_raw_is_refused(self, tmp_path: Path, frames: Frames) -> None:
        paths = stored(tmp_path, frames) | {"raw": tmp_path / "white.tif"}
        with pytest.raises(CaptureError, match="is identical to a reference"):
            read_capture(**paths, sensor=SENSOR)
        second = {"white_dark": frames["dark"].copy()}
        second["white_dark"][::2] += 1
        with pytest.raises(CaptureError, match="is identical to a reference"):
            check_raw(second["white_dark"], frames["white"], frames["dark"], SENSOR, **second)


def test_errors_become_findings_when_not_strict(tmp_path: Path, frames: Frames) -> None:
    frames["white"] = frames["dark"].copy()
    capture = read_capture(**stored(tmp_path, frames), sensor=SENSOR, strict=False)
    assert {finding.severity for finding in capture.findings} == {"error"}


def test_a_finding_names_its_file(tmp_path: Path, frames: Frames) -> None:
    frames["raw"][:2], frames["white"][:2] = 1023, 1023
    frames["dark"] += np.uint16(300)
    frames["raw"] = np.maximum(frames["raw"], frames["dark"] + np.uint16(50))
    paths = stored(tmp_path, frames)
    found = {str(paths[name]) for name in ("raw", "white", "dark")}
    assert {finding.thing for finding in read_capture(**paths, sensor=SENSOR).findings} == found
    frames["white"] = frames["dark"].copy()
    dim = read_capture(**stored(tmp_path, frames), sensor=SENSOR, strict=False).findings[0]
    assert dim.thing == str(paths["white"])
    assert str(Finding("note", "white.tif", "is old")) == "white.tif: is old."


def test_eight_bit_captures_are_usable_with_a_warning(tmp_path: Path, frames: Frames) -> None:
    for name, data in frames.items():
        write_frame(tmp_path / f"{name}.tif", (data >> 2).astype(np.uint8))
    capture = read_capture(**{name: tmp_path / f"{name}.tif" for name in frames}, sensor=SENSOR)
    (finding,) = capture.findings
    assert finding.thing == str(tmp_path / "raw.tif")
    assert finding.message == "has 8 bits for a sensor of 10: spectra are coarser"


def test_msb_aligned_captures_are_shifted_together(tmp_path: Path, frames: Frames) -> None:
    frames["dark"] = (frames["dark"] // 3).astype(np.uint16)
    capture = read_capture(**stored(tmp_path, {n: f << 6 for n, f in frames.items()}), sensor=SENSOR)
    assert np.array_equal(capture.raw, frames["raw"])
    assert np.array_equal(capture.dark, frames["dark"])
    with pytest.raises(CaptureError, match="10 bits end at 1023"):
        read_capture(**{name: tmp_path / f"{name}.tif" for name in frames}, sensor=SENSOR, msb_aligned=False)


@pytest.mark.parametrize(
    ("role", "named"),
    [
        ("raw", "raw frame"),
        ("white", "white reference"),
        ("dark", "dark reference"),
        ("white_dark", "dark reference of the white"),
    ],
)
def test_frames_in_memory_must_have_the_right_type_and_shape(frames: Frames, role: str, named: str) -> None:
    frames["white_dark"] = frames["dark"]
    for wrong, fault in ((frames[role] * 1.0, "float64"), (frames[role][1:], "uint16 of shape 42×53")):
        with pytest.raises(CaptureError, match=f"^{named}: is {fault}"):
            Capture(**cast("Any", frames | {role: wrong}), sensor=SENSOR)
