"""People make decisions by these pictures, so a map must not be mistaken for more than it is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gliomap.errors import UsageError
from gliomap.rendering import (
    DISCLAIMER,
    Panel,
    arrange,
    blank_panel,
    fitting_scale,
    legend,
    legend_rows,
    map_picture,
    overlay,
    overlay_picture,
    save_png,
    synthetic_rgb,
)
from gliomap.rendering._layout import WARNING_PAPER, dimmed
from gliomap.rendering._legend import PAPER, SOFT_INK
from gliomap.rendering._paint import HATCH_DARK, HATCH_LIGHT
from gliomap.rendering._text import fit, line_height, plain, text_width, wrap
from gliomap.taxonomy import THESIS_CLASSES
from rendering.scene import Scene


class TestBlankedMap:
    """A map that must not be trusted shows nothing that could be taken for a finding."""

    REASON = "The white reference is 94 minutes old; at most 60 are allowed."

    def test_the_overlay_is_grey_and_gives_the_reason(self, scene: Scene, drawn: list[str]) -> None:
        blanked = dataclasses.replace(scene.map, blanked=self.REASON)
        over = overlay(synthetic_rgb(scene.cube), blanked, scale=6)
        assert (over.max(axis=2) == over.min(axis=2)).all()
        assert self.REASON in " ".join(drawn)

    def test_no_class_is_counted(self, scene: Scene) -> None:
        rows = legend_rows(dataclasses.replace(scene.map, blanked=self.REASON))
        assert all(row.cells == ("no map", "") for row in rows[:5])
        assert rows[5].name == "not classified"
        assert rows[5].cells[0] == f"{60 * 90:,}"
        assert len(rows) == 6, "the reason stands in a note"

    def test_the_legend_gives_the_reason(self, scene: Scene, drawn: list[str]) -> None:
        legend(dataclasses.replace(scene.map, blanked=self.REASON), width=900)
        assert f"No map: {self.REASON}" in drawn
        assert not any("Every classified pixel" in line for line in drawn)

    def test_the_picture_of_a_blanked_map_has_no_class_colour_in_its_panels(self, scene: Scene) -> None:
        blanked = dataclasses.replace(scene.map, blanked=self.REASON)
        plain_map = map_picture(scene.map, synthetic_rgb(scene.cube))
        picture = map_picture(blanked, synthetic_rgb(scene.cube))
        for colour in THESIS_CLASSES.colours("classic")[1:]:
            shown = (plain_map == colour).all(axis=2).sum()
            assert shown > 23 * 23 >= (picture == colour).all(axis=2).sum(), "no more than its swatch in the legend"

    def test_beside_ground_truth_neither_map_is_drawn(self, scene: Scene, drawn: list[str]) -> None:
        blanked = dataclasses.replace(scene.map, blanked=self.REASON)
        map_picture(blanked, synthetic_rgb(scene.cube), truth=scene.truth)
        assert drawn.count("No map") == 2

    def test_the_synthetic_rgb_picture_is_still_shown(self, scene: Scene) -> None:
        nothing = np.zeros_like(scene.map.mask)
        blanked = dataclasses.replace(scene.map, blanked=self.REASON, mask=nothing)
        picture = map_picture(blanked, synthetic_rgb(scene.cube))
        coloured = picture.max(axis=2).astype(int) - picture.min(axis=2) > 20
        assert coloured.sum() > 0.3 * 8**2 * scene.map.mask.sum()

    def test_a_tiny_frame_still_says_that_there_is_no_map(self, drawn: list[str]) -> None:
        panel = blank_panel(40, 72, self.REASON)
        assert panel.shape == (40, 72, 3)
        assert drawn[0] == "No map"

    def test_a_panel_of_a_single_pixel_is_drawn(self) -> None:
        assert blank_panel(1, 1, self.REASON).shape == (1, 1, 3)


@dataclass(frozen=True)
class Words:
    """A text that was drawn, and the pixels that it covers."""

    text: str
    left: int
    top: int
    right: int
    bottom: int


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """Every text that is drawn while the test runs, with its place."""
    words: list[Words] = []
    original = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[int, int], text: str, **rest: Any) -> None:
        if text:
            left, top, right, bottom = self.textbbox(xy, text, font=rest.get("font"))
            words.append(Words(text, int(left), int(top), round(right), round(bottom)))
        original(self, xy, text, **rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return words


def check_readable(words: list[Words], picture: np.ndarray) -> None:
    """Check that all words lie on the picture and do not overlap."""
    height, width = picture.shape[:2]
    for one in words:
        assert 0 <= one.left < one.right <= width, one
        assert 0 <= one.top < one.bottom <= height, one
    for one, other in itertools.combinations(words, 2):
        apart = one.right <= other.left or other.right <= one.left or one.bottom <= other.top or other.bottom <= one.top
        assert apart, f"{one} overlaps {other}"


class TestReadability:
    @pytest.mark.parametrize(("width", "size"), [(330, 15), (24 * 18, 18)])
    @pytest.mark.parametrize("compared", [False, True])
    def test_words_of_a_legend_are_not_cut_and_do_not_overlap(
        self, scene: Scene, written: list[Words], width: int, size: int, compared: bool
    ) -> None:
        picture = legend(scene.map, truth=scene.truth if compared else None, width=width, size=size)
        assert picture.shape[1] == width
        check_readable(written, picture)
        assert written[-1].text == DISCLAIMER

    def test_each_class_has_its_colour_before_its_name(self, scene: Scene, written: list[Words]) -> None:
        picture = legend(scene.map)
        places = {one.text: one for one in written}
        for row in legend_rows(scene.map)[:6]:
            name = places[row.name]
            before = {tuple(colour) for colour in picture[name.top : name.bottom, : name.left].reshape(-1, 3).tolist()}
            swatch = {HATCH_DARK, HATCH_LIGHT} if row.swatch == "hatch" else {row.swatch}
            assert swatch <= before <= swatch | {PAPER, SOFT_INK}

    def test_panels_are_shown_whole_between_their_titles_and_captions(self, written: list[Words]) -> None:
        titles = ["short", "a title that is longer than its panel is wide", "third", "fourth"]
        hues = [(200, 10 * n, 0) for n in range(5)]  # the last is the legend's
        panels = [
            Panel(title, np.full((60 + 10 * n, 90 - 10 * n, 3), hues[n], np.uint8), f"of panel {n}\nin two lines")
            for n, title in enumerate(titles)
        ]
        beside = np.full((70, 40, 3), hues[4], np.uint8)
        picture = arrange(panels, beside, title="Patient", subtitle="held out")
        for n, panel in enumerate(panels):
            height, width = panel.picture.shape[:2]
            rows, columns = np.nonzero((picture == hues[n]).all(axis=2))
            assert len(rows) == (height - 2) * (width - 2), "complete except for its border"
            assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (height - 2, width - 2)
            (title,) = (one for one in written if one.text.split()[0] == panel.title.split()[0])
            (caption,) = (one for one in written if one.text == f"of panel {n}")
            assert title.bottom < rows.min() < rows.max() < caption.top
            assert abs(title.left - columns.min()) < 5
            assert abs(caption.left - columns.min()) < 5
        assert (picture == hues[4]).all(axis=2).sum() == 70 * 40
        check_readable(written, picture)
        for one in written:
            under = picture[one.top : one.bottom, one.left : one.right]
            assert (under == under[..., :1]).all(), "text is grey on white, and never on a panel"

    @pytest.mark.parametrize("shape", [(217, 409), (434, 818), (240, 200)])
    def test_the_reason_for_a_blank_panel_is_centred(self, written: list[Words], shape: tuple[int, int]) -> None:
        panel = blank_panel(*shape, TestBlankedMap.REASON)
        check_readable(written, panel)
        assert " ".join(one.text for one in written) == f"No map {TestBlankedMap.REASON}"
        assert all(abs(one.left + one.right - shape[1]) < 6 for one in written)
        assert abs(written[0].top + written[-1].bottom - shape[0]) < 20

    def test_several_panels_fill_a_screen_in_landscape(self) -> None:
        height, width = arrange([Panel("", np.zeros((60, 90, 3), np.uint8))] * 4).shape[:2]
        assert 1.2 < width / height < 1.8


class TestPictures:
    def test_the_overlay_picture_contains_the_overlay(self, scene: Scene) -> None:
        rgb = synthetic_rgb(scene.cube)
        counts = {
            scale: (overlay_picture(scene.map, rgb, opacity=1, scale=scale) == (0, 0, 255)).all(axis=2).sum()
            for scale in (1, 3)
        }
        pixels = int((scene.map.labels == 3).sum())
        assert counts[3] - counts[1] == pytest.approx((9 - 1) * pixels, abs=4 * 270)  # less the border around it

    def test_the_background_of_labels_is_dark_and_grey(self) -> None:
        grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        under = dimmed(grey)
        assert (under == under[..., :1]).all()
        assert (np.diff(under[0, :, 0].astype(int)) >= 0).all()
        assert 0 < under.min() < under.max() < 128

    def test_ground_truth_panels_are_drawn_only_with_ground_truth(self, scene: Scene, drawn: list[str]) -> None:
        rgb = synthetic_rgb(scene.cube)
        map_picture(scene.map, rgb, truth=scene.truth)
        assert {"Ground truth (labelled pixels)", "Map at the labelled pixels"} <= set(drawn)
        drawn.clear()
        map_picture(scene.map, rgb)
        assert "Map of the whole frame" in drawn
        assert "Ground truth (labelled pixels)" not in drawn

    def test_the_map_panel_shows_the_map(self, scene: Scene) -> None:
        picture = map_picture(scene.map, synthetic_rgb(scene.cube), scale=2)
        blue = (picture == (0, 0, 255)).all(axis=2).sum()
        swatch = 23 * 23  # of the legend
        assert abs(int(blue) - 4 * int((scene.map.labels == 3).sum())) <= swatch

    @pytest.mark.parametrize("draw", [map_picture, overlay_picture])
    def test_a_picture_shows_its_title_and_the_disclaimer(
        self, scene: Scene, drawn: list[str], draw: Callable[..., np.ndarray]
    ) -> None:
        draw(scene.map, synthetic_rgb(scene.cube), title="ID0018C09", subtitle="held out")
        assert "ID0018C09" in drawn
        assert "held out" in drawn
        assert DISCLAIMER in drawn

    @pytest.mark.parametrize("draw", [map_picture, overlay_picture])
    def test_warnings_are_shown_in_full_and_move_the_picture_down(
        self, scene: Scene, drawn: list[str], draw: Callable[..., np.ndarray]
    ) -> None:
        rgb, warnings = synthetic_rgb(scene.cube), ("hardly any light " * 30, "of unknown age")
        calm = draw(scene.map, rgb, title="ID0018C09", scale=2)
        assert not _bar(calm).any()
        drawn.clear()
        warned = draw(scene.map, rgb, title="ID0018C09", scale=2, warnings=warnings)
        words = " ".join(line.strip() for line in drawn)
        assert f"Warning: {warnings[0].strip()} Warning: {warnings[1]}" in words
        bar = np.flatnonzero(_bar(warned).any(axis=1))
        assert warned.shape[0] > calm.shape[0]
        assert warned.shape[1] == calm.shape[1]
        # Below the bar, the picture is the same, moved down.
        assert np.array_equal(warned[bar[-1] + 1 :][-100:], calm[-100:])
        assert (warned[bar] < 200).any(), "the bar must contain text"

    def test_no_class_has_the_colour_of_a_warning(self) -> None:
        for palette in ("classic", "safe"):
            for colour in THESIS_CLASSES.colours(palette)[1:]:
                assert np.abs(colour.astype(int) - WARNING_PAPER).max() > 60

    def test_pictures_of_different_sizes_are_refused(self, scene: Scene) -> None:
        with pytest.raises(UsageError):
            map_picture(scene.map, np.zeros((10, 10, 3), np.uint8))
        with pytest.raises(UsageError):
            map_picture(scene.map, synthetic_rgb(scene.cube), truth=np.zeros((3, 3), np.uint8))

    def test_arranging_no_panels_is_refused(self) -> None:
        with pytest.raises(UsageError):
            arrange([])

    def test_uneven_panels_with_captions_are_shown_whole(self) -> None:
        panels = [
            Panel(f"panel {n}", np.full((40 + n, 60, 3), 9, np.uint8), "a caption\nof two lines") for n in range(5)
        ]
        picture = arrange(panels, columns=2)
        inside = (picture[:, :, 0] == 9).sum()
        assert inside >= sum((38 + n) * 58 for n in range(5))

    @pytest.mark.parametrize(("shape", "scale"), [((217, 409), 2), ((40, 72), 8), ((2000, 3000), 1), ((240, 200), 2)])
    def test_the_scale_fits_a_screen(self, shape: tuple[int, int], scale: int) -> None:
        assert fitting_scale(*shape) == scale


def _bar(picture: np.ndarray) -> np.ndarray:
    """Where a picture has the background colour of warnings."""
    return np.asarray((picture == WARNING_PAPER).all(axis=2))


class TestSavingPng:
    def test_a_saved_picture_is_unchanged_and_deterministic(self, scene: Scene, tmp_path: Path) -> None:
        folder = tmp_path
        rgb = synthetic_rgb(scene.cube)
        save_png(rgb, folder / "a.png")
        save_png(rgb, folder / "b.png")
        assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
        with Image.open(folder / "a.png") as image:
            assert np.array_equal(np.asarray(image), rgb)

    @pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3)])
    def test_an_invalid_picture_is_refused_and_leaves_no_file(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            save_png(np.zeros(shape, np.uint8), tmp_path / "a.png")
        with pytest.raises(UsageError, match="float32"):
            save_png(np.zeros((4, 4, 3), np.float32), tmp_path / "a.png")
        assert list(tmp_path.iterdir()) == []


class TestText:
    def test_characters_missing_from_the_font_are_replaced(self) -> None:
        assert plain("white − dark · 5×5 → Müller ≥ 3…") == "white - dark · 5x5 to Muller >= 3..."
        assert plain("脑") == "?"

    def test_wrapped_lines_fit_the_width_and_keep_all_words(self) -> None:
        text = "the quick brown fox jumps over " + "x" * 80
        lines = wrap(text, 120, 14)
        assert all(text_width(line, 14) <= 120 for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())

    def test_text_that_does_not_fit_ends_with_an_ellipsis(self) -> None:
        lines, size = fit("a long reason " * 30, 80, 30, 16)
        assert len(lines) * line_height(size) <= 30 + line_height(size)
        assert lines[-1].endswith("...")
