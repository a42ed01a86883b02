"""Every limit of the checks of frames and references, hit exactly and exceeded by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from captures.frames import SENSOR, SHAPE, Frames
from gliomap.captures import (
    Exposures,
    Finding,
    inspect_raw,
    inspect_references,
)
from gliomap.sensors import SpectralCorrection


class TestLimits:
    """The active area has 2000 pixels, so 1 % are 20 of them."""

    ROUND = replace(SENSOR, saturation=1000)
    """2 % of its full scale are exactly 20."""

    @staticmethod
    def marked(
        frame: npt.NDArray[np.uint16], count: int, value: int | npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.uint16]:
        """A copy whose first `count` pixels of the active area have another value."""
        changed = frame.copy()
        active = changed[:40, :50]
        first = np.arange(active.size).reshape(active.shape) < count
        active[first] = value[:40, :50][first] if isinstance(value, np.ndarray) else value
        return changed

    @staticmethod
    def severity(findings: tuple[Finding, ...], words: str) -> str | None:
        """The severity of the only finding with these words; None if there is none."""
        found = [one.severity for one in findings if words in one.message]
        assert len(found) <= 1
        return found[0] if found else None

    @pytest.mark.parametrize(("count", "expected"), [(20, None), (21, "warning"), (1000, "warning"), (1001, "error")])
    def test_saturated_pixels_of_a_raw_frame(self, frames: Frames, count: int, expected: str | None) -> None:
        raw = self.marked(frames["raw"], count, 1023)
        assert self.severity(inspect_raw(raw, frames["white"], frames["dark"], SENSOR), "saturated") == expected

    @pytest.mark.parametrize(("count", "expected"), [(200, None), (201, "warning"), (1000, "warning"), (1001, "error")])
    def test_pixels_of_a_raw_frame_outside_its_references(
        self, frames: Frames, count: int, expected: str | None
    ) -> None:
        raw = self.marked(frames["raw"], count, frames["white"] + np.uint16(1))
        raw = self.marked(raw, 100, frames["dark"] - np.uint16(1))
        found = inspect_raw(raw, frames["white"], frames["dark"], SENSOR)
        assert self.severity(found, "darker than the dark reference and") == expected

    def test_pixels_equal_to_a_reference_are_not_outside(self, frames: Frames) -> None:
        raw = self.marked(frames["white"], 1000, frames["dark"])
        found = inspect_raw(raw, frames["white"], frames["dark"], SENSOR)
        assert self.severity(found, "darker than the dark reference and") is None

    @pytest.mark.parametrize(("below", "count", "expected"), [(0, 2000, None), (1, 20, None), (1, 21, "warning")])
    def test_pixels_of_a_raw_frame_in_shadow(
        self, frames: Frames, below: int, count: int, expected: str | None
    ) -> None:
        light = frames["white"] - frames["dark"]
        floor = frames["dark"] + light // np.uint16(50)
        raw = self.marked(frames["raw"], count, floor - np.uint16(below))
        found = inspect_raw(raw, frames["white"], frames["dark"], SENSOR)
        assert self.severity(found, "hardly any light") == expected

    @pytest.mark.parametrize(("raw", "expected"), [(800, None), (801, "error")])
    def test_a_raw_frame_of_twice_the_exposure_may_be_twice_as_bright_as_the_white(
        self, raw: int, expected: str | None
    ) -> None:
        white, dark = np.full(SHAPE, 400, np.uint16), np.full(SHAPE, 20, np.uint16)
        found = inspect_raw(np.full(SHAPE, raw, np.uint16), white, dark, SENSOR, Exposures(20, 10, 20))
        assert self.severity(found, "brighter than the white") == expected

    @pytest.mark.parametrize(("count", "expected"), [(2, None), (3, "warning"), (400, "warning"), (401, "error")])
    def test_saturated_pixels_of_a_white(self, frames: Frames, count: int, expected: str | None) -> None:
        found = inspect_references(self.marked(frames["white"], count, 1023), frames["dark"], SENSOR)
        assert self.severity(found, "saturated") == expected

    @pytest.mark.parametrize(("count", "expected"), [(20, None), (21, "warning"), (1000, "warning"), (1001, "error")])
    def test_dim_pixels_of_a_white(self, frames: Frames, count: int, expected: str | None) -> None:
        white = self.marked(frames["white"], count, frames["dark"] + np.uint16(19))
        found = inspect_references(white, frames["dark"], self.ROUND)
        assert self.severity(found, "above the dark") == expected
        enough = self.marked(frames["white"], count, frames["dark"] + np.uint16(20))
        assert inspect_references(enough, frames["dark"], self.ROUND) == ()

    @pytest.mark.parametrize(("count", "less", "swapped"), [(1000, 20, False), (1001, 19, False), (1001, 20, True)])
    def test_pixels_of_a_white_below_its_dark(self, frames: Frames, count: int, less: int, swapped: bool) -> None:
        dark = self.marked(frames["dark"], count, frames["white"] + np.uint16(less))
        found = inspect_references(frames["white"], dark, self.ROUND)
        assert (self.severity(found, "look swapped") == "error") == swapped

    @pytest.mark.parametrize(
        ("count", "top", "expected"), [(20, 950, None), (21, 950, "warning"), (21, 255, None), (21, 256, "warning")]
    )
    def test_pixels_of_a_white_with_its_highest_value(self, count: int, top: int, expected: str | None) -> None:
        white = self.marked(np.full(SHAPE, 200, np.uint16), count, top)
        found = inspect_references(white, np.full(SHAPE, 20, np.uint16), SENSOR)
        assert self.severity(found, "share its highest value") == expected

    @pytest.mark.parametrize(("level", "expected"), [(250, None), (251, "warning")])
    def test_the_median_of_a_dark(self, frames: Frames, level: int, expected: str | None) -> None:
        found = inspect_references(frames["white"], np.full(SHAPE, level, np.uint16), self.ROUND)
        assert self.severity(found, "light may have entered") == expected

    @pytest.mark.parametrize(("light", "told"), [(100, None), (99, "2.0%"), (50, "1.0%")])
    def test_a_band_is_weak_below_two_percent_of_full_scale_after_amplification(
        self, light: int, told: str | None
    ) -> None:
        """A row of 4 and −3 amplifies noise fivefold and leaves the light as it is."""
        matrix = np.eye(25)
        matrix[3, [3, 8]] = 4, -3
        before = replace(self.ROUND, correction=SpectralCorrection(matrix, after_division=False))
        dark = np.full(SHAPE, 200, np.uint16)
        found = [one.message for one in inspect_references(dark + np.uint16(light), dark, before)]
        assert len(found) == (told is not None)
        assert told is None or f"share of full scale): {before.wavelengths_nm[3]:.0f} nm ({told});" in found[0]

    def test_a_dim_position_of_the_mosaic_weakens_its_own_band(self) -> None:
        before = replace(self.ROUND, correction=SpectralCorrection(np.eye(25), after_division=False))
        dark = np.full(SHAPE, 200, np.uint16)
        white = dark + np.uint16(200)
        white[1::5, 2::5] = 215  # position 7
        (message,) = [one.message for one in inspect_references(white, dark, before) if " nm (" in one.message]
        assert message.count(" nm (") == 1
        assert f"{before.wavelengths_nm[7]:.0f} nm (1.5%);" in message
