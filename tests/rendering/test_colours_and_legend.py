"""The colours of a map and its legend: no class may seem absent, or more certain than it is."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from gliomap.errors import TaxonomyError, UsageError
from gliomap.preprocessing import Reason
from gliomap.rendering import (
    DISCLAIMER,
    colour_map,
    hatch,
    legend,
    legend_rows,
    map_picture,
    overlay,
    overlay_picture,
    synthetic_rgb,
    upscale,
)
from gliomap.rendering._legend import _share
from gliomap.taxonomy import THESIS_CLASSES
from rendering.scene import Scene

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
