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

from gliomap.errors import TaxonomyError, UsageError
from gliomap.preprocessing import Reason
from gliomap.rendering import (
    DISCLAIMER,
    Panel,
    arrange,
    blank_panel,
    colour_map,
    fitting_scale,
    hatch,
    legend,
    legend_rows,
    map_picture,
    overlay,
    overlay_picture,
    save_png,
    synthetic_rgb,
    upscale,
)
from gliomap.rendering._layout import WARNING_PAPER, dimmed
from gliomap.rendering._legend import PAPER, SOFT_INK, _share
from gliomap.rendering._paint import HATCH_DARK, HATCH_LIGHT
from gliomap.rendering._text import fit, line_height, plain, text_width, wrap
from gliomap.taxonomy import THESIS_CLASSES
from rendering.scene import Scene, make_scene

TRICHROMACY = np.eye(3)
# G. Machado, M. Oliveira, L. Fernandes, 'A physiologically-based model for simulation of color vision deficiency', 2009.
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def lab(colours: np.ndarray, vision: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of sRGB colours (n, 3), 0…255, as an eye sees them whose linear RGB is multiplied by `vision`."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ vision.T
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear, 0, 1) @ to_xyz.T / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(60, 90)


class TestColours:
    def test_each_label_has_its_classic_colour(self) -> None:
        picture = colour_map(np.arange(6).reshape(2, 3), THESIS_CLASSES)
        assert picture.dtype == np.uint8
        assert picture.reshape(-1, 3).tolist() == [
            [0, 0, 0],
            [0, 255, 0],
            [255, 0, 0],
            [0, 0, 255],
            [0, 255, 255],
            [255, 0, 255],
        ]

    @pytest.mark.parametrize("vision", [TRICHROMACY, PROTANOPIA, DEUTERANOPIA], ids=["full", "no red", "no green"])
    def test_the_safe_palette_keeps_classes_apart_in_colour_blind_eyes(self, vision: np.ndarray) -> None:
        """2.3 is a just noticeable difference in CIE Lab."""
        seen = lab(THESIS_CLASSES.colours("safe"), vision)
        apart = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
        assert min(apart) > 10

    @pytest.mark.parametrize("label", [-1, 6, 200])
    def test_a_label_without_a_class_is_refused(self, label: int) -> None:
        with pytest.raises(TaxonomyError, match=str(label)):
            colour_map(np.full((2, 2), label), THESIS_CLASSES)

    def test_an_unknown_palette_is_refused(self) -> None:
        with pytest.raises(TaxonomyError, match="sepia"):
            colour_map(np.zeros((2, 2), np.uint8), THESIS_CLASSES, "sepia")

    def test_upscaling_repeats_pixels_and_invents_none(self) -> None:
        large = upscale(np.array([[1, 2], [3, 4]]), 3)
        assert large.shape == (6, 6)
        assert set(np.unique(large)) == {1, 2, 3, 4}
        assert (large[:3, 3:] == 2).all()


class TestOverlay:
    def test_opaque_overlay_is_the_colour_map_where_classified(self, scene: Scene) -> None:
        rgb = synthetic_rgb(scene.cube)
        over = overlay(rgb, scene.map, opacity=1.0)
        classified = scene.map.labels > 0
        assert np.array_equal(over[classified], colour_map(scene.map.labels, THESIS_CLASSES)[classified])

    def test_masked_pixels_are_hatched_and_never_coloured_even_if_labelled(self, scene: Scene) -> None:
        wrongly = dataclasses.replace(scene.map, labels=np.full_like(scene.map.labels, 2))
        over = overlay(synthetic_rgb(scene.cube), wrongly)
        out = ~scene.map.mask
        assert out.any()
        assert np.array_equal(over[out], hatch(*out.shape)[out])
        # They are neither coloured in the map itself nor counted in its legend.
        rightly = dataclasses.replace(wrongly, labels=np.where(scene.map.mask, wrongly.labels, 0).astype(np.uint8))
        rgb = synthetic_rgb(scene.cube)
        assert np.array_equal(map_picture(wrongly, rgb), map_picture(rightly, rgb))

    def test_unclassified_valid_pixels_show_the_picture(self, scene: Scene) -> None:
        rgb = synthetic_rgb(scene.cube)
        over = overlay(rgb, dataclasses.replace(scene.map, labels=np.zeros_like(scene.map.labels)))
        assert np.array_equal(over[scene.map.mask], rgb[scene.map.mask])

    def test_low_confidence_fades_a_class_but_never_hides_it(self, scene: Scene) -> None:
        mask = np.ones_like(scene.map.mask)
        tumour = dataclasses.replace(
            scene.map,
            labels=np.full_like(scene.map.labels, 2),
            mask=mask,
            confidence=np.linspace(0, 1, mask.size, dtype=np.float32).reshape(mask.shape),
        )
        white = np.full((*mask.shape, 3), 255, np.uint8)
        over = overlay(white, tumour, by_confidence=True).astype(int)
        redness = (over[..., 0] - over[..., 1]).ravel()
        assert (np.diff(redness) >= 0).all()
        assert redness[-1] == pytest.approx(0.6 * 255, abs=1)
        assert redness[0] == pytest.approx(0.35 * redness[-1], abs=1)

    def test_scale_enlarges_the_overlay(self, scene: Scene) -> None:
        assert overlay(synthetic_rgb(scene.cube), scene.map, scale=2).shape == (120, 180, 3)

    @pytest.mark.parametrize(("opacity", "scale"), [(1.1, 1), (-0.1, 1), (0.5, 0)])
    def test_an_invalid_opacity_or_scale_is_refused(self, scene: Scene, opacity: float, scale: int) -> None:
        with pytest.raises(UsageError):
            overlay(synthetic_rgb(scene.cube), scene.map, opacity=opacity, scale=scale)

    def test_a_picture_of_another_size_is_refused(self, scene: Scene) -> None:
        with pytest.raises(UsageError, match="60×90"):
            overlay(np.zeros((60, 91, 3), np.uint8), scene.map)


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


class TestLegend:
    def test_a_class_without_pixels_is_not_found_and_never_zero(self, scene: Scene, drawn: list[str]) -> None:
        labels = np.where(scene.map.labels == 2, 1, scene.map.labels).astype(np.uint8)
        without = dataclasses.replace(scene.map, labels=labels)
        tumour = legend_rows(without)[1]
        assert tumour.cells == ("not found", "")
        legend(without)
        words = " ".join(drawn).lower()
        assert "'not found' is not 'absent'" in words
        assert "no tumour" not in words
        assert "0 %" not in words.replace("0.0 %", "0 %").split()

    def test_the_disclaimer_is_the_last_line_of_every_legend(self, scene: Scene, drawn: list[str]) -> None:
        for kind in (scene.map, dataclasses.replace(scene.map, blanked="too dark")):
            drawn.clear()
            legend(kind)
            assert drawn[-1] == DISCLAIMER == "Research software - not a medical device"

    def test_the_legend_says_that_every_pixel_gets_one_of_the_classes(self, scene: Scene, drawn: list[str]) -> None:
        legend(scene.map, width=900)
        assert any("even if it shows something else" in line for line in drawn)

    def test_counts_and_shares_match_the_map(self, scene: Scene) -> None:
        rows = legend_rows(scene.map)
        counts = np.bincount(scene.map.labels.ravel(), minlength=6)
        assert [row.name for row in rows[:6]] == [*THESIS_CLASSES.names, "not classified"]
        assert [row.cells[0] for row in rows[:6]] == [f"{n:,}" for n in [*counts[1:], counts[0]]]
        shares = [float(row.cells[1].removesuffix(" %")) for row in rows[:5]]
        assert sum(shares) == pytest.approx(100, abs=0.3)

    def test_reasons_are_listed_under_not_classified(self, scene: Scene) -> None:
        rows = {row.name: row.cells[0] for row in legend_rows(scene.map)[6:]}
        saturated = int(np.count_nonzero(scene.map.reasons & int(Reason.SATURATED)))
        assert rows[Reason.SATURATED.text] == str(saturated)
        assert "no reason recorded" not in rows

    def test_pixels_without_class_and_reason_are_counted_too(self, scene: Scene) -> None:
        labels = scene.map.labels.copy()
        labels[30, 30:40] = 0
        rows = {row.name: row.cells[0] for row in legend_rows(dataclasses.replace(scene.map, labels=labels))}
        assert rows["no reason recorded"] == "10"

    def test_a_rare_class_is_not_rounded_to_nothing(self, scene: Scene) -> None:
        labels = np.where(scene.map.mask, 1, 0).astype(np.uint8)
        labels[30, 40] = 2
        assert legend_rows(dataclasses.replace(scene.map, labels=labels))[1].cells == ("1", "< 0.1 %")

    @pytest.mark.parametrize(
        ("pixels", "share"), [(9, "< 0.1 %"), (10, "0.1 %"), (14, "0.1 %"), (5000, "50.0 %"), (10_000, "100.0 %")]
    )
    def test_only_a_share_below_a_tenth_of_a_percent_is_not_given(self, pixels: int, share: str) -> None:
        assert _share(pixels, 10_000) == share

    def test_ground_truth_adds_a_column(self, scene: Scene) -> None:
        truth = np.where(scene.truth == 4, 0, scene.truth)
        rows = legend_rows(scene.map, truth=truth)
        assert rows[0].cells[0] == f"{int((truth == 1).sum()):,}"
        assert rows[3].cells[0] == "none"
        assert all(len(row.cells) == 3 for row in rows)

    def test_confidence_is_explained_only_where_it_is_drawn(self, scene: Scene, drawn: list[str]) -> None:
        overlay_picture(scene.map, synthetic_rgb(scene.cube), by_confidence=True)
        assert "less confident" in " ".join(drawn)
        drawn.clear()
        overlay_picture(scene.map, synthetic_rgb(scene.cube))
        assert "less confident" not in " ".join(drawn)

    def test_uncoloured_pixels_of_an_overlay_are_explained(self, scene: Scene, drawn: list[str]) -> None:
        some = dataclasses.replace(scene.map, labels=np.zeros_like(scene.map.labels))
        overlay_picture(some, synthetic_rgb(scene.cube))
        assert any("without colour" in line for line in drawn)
        drawn.clear()
        legend(some)
        overlay_picture(scene.map, synthetic_rgb(scene.cube))
        assert not any("without colour" in line for line in drawn)


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
