"""The scene contains what a craniotomy shows, and labels lie only where the tissue is certain."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.phantom import Patient, RenderedPatient, draw_patients, render_patient
from gliomap.phantom._fields import Canvas, ridged_noise, smooth_noise
from gliomap.phantom._labels import SHARES
from gliomap.phantom._vessels import ARTERY, VEIN, VesselStyle, draw_vessels
from gliomap.sensors import MosaicSensor, get_sensor, resized

CODES = {"healthy": (101,), "tumour": (200, 220, 221), "vein": (301,), "artery": (302,), "dura": (320,)}


def test_noise_fields_have_unit_spread_and_are_smoother_at_larger_scales() -> None:
    canvas = Canvas(200, 300)
    fine, coarse = (smooth_noise(np.random.default_rng(0), canvas, scale) for scale in (1.0, 4.0))
    for field in (fine, coarse):
        assert field.shape == canvas.shape
        assert field.std() == pytest.approx(1, abs=0.35)
    assert np.abs(np.diff(fine)).mean() > 3 * np.abs(np.diff(coarse)).mean()


def test_folds_have_the_requested_wavelength() -> None:
    canvas = Canvas(200, 380)
    folds = ridged_noise(np.random.default_rng(0), canvas, 10.0)
    crossings = np.count_nonzero(np.diff(np.sign(folds), axis=1), axis=1).mean()
    # Stripes run at every angle: on average a line crosses them 2/π as often as straight across.
    assert crossings == pytest.approx(canvas.size_mm[1] / 5.0 * 2 / np.pi, rel=0.35)


@pytest.mark.parametrize("style", [VEIN, ARTERY])
def test_vessels_cover_a_plausible_area_and_thin_out(style: VesselStyle) -> None:
    canvas = Canvas(150, 280)
    starts = np.array([[75, 0, 0.0], [0, 140, 1.5], [149, 100, -1.5], [20, 279, 3.1]], np.float32)
    rng = np.random.default_rng(2)
    vessels = draw_vessels(rng, canvas, style, np.zeros(canvas.shape, np.float32), starts, (0.6, 0.9))
    covered = vessels.cover > 0.3
    assert 0.01 < covered.mean() < 0.30
    assert vessels.cover.max() <= 0.9
    assert np.percentile(vessels.bulge_mm[covered], 95) > 2 * np.percentile(vessels.bulge_mm[covered], 10)


def test_a_scene_contains_every_part(rendered: RenderedPatient) -> None:
    scene = rendered.scene
    exposed = scene.exposed
    assert 0.45 < exposed.mean() < 0.85
    assert 0.1 < scene.dura[exposed].mean() < 0.45
    assert 0.02 < scene.tumour[exposed].mean() < 0.2
    assert scene.vein.cover.max() > 0.4
    assert scene.artery.cover.max() > 0.4
    assert scene.valley[exposed].max() > 0.5
    assert scene.cloth[~exposed].mean() > 0.3
    assert scene.gauze.max() > 0.9
    assert scene.gauze.min() < 0.1


def test_shares_of_tissue_never_exceed_the_whole(rendered: RenderedPatient) -> None:
    scene = rendered.scene
    total = scene.tumour + scene.dura + scene.rim + scene.cloth
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-5


def test_the_tumour_fades_into_the_cortex(rendered: RenderedPatient) -> None:
    tumour = rendered.scene.tumour
    border = np.mean((tumour > 0.05) & (tumour < 0.95))
    assert border > 0.3 * np.mean(tumour >= 0.95)


def test_labels_lie_only_where_the_tissue_is_certain(rendered: RenderedPatient) -> None:
    scene, codes = rendered.scene, rendered.codes
    tumour = np.isin(codes, CODES["tumour"])
    assert scene.tumour[tumour].min() > 0.9
    assert scene.tumour[codes == 101].max() < 0.05
    assert scene.dura[codes == 320].min() > 0.95
    assert scene.vein.cover[codes == 301].min() > 0.5
    assert scene.artery.cover[codes == 302].min() > 0.5
    assert scene.vein.cover[tumour | (codes == 101)].max() < 0.1
    assert scene.exposed[codes > 0].all()


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_have_the_coverage_and_shares_of_surgeons_labels(seed: int) -> None:
    sensor = resized(get_sensor("generic-nir-5x5"), 144, 272)
    counts = dict.fromkeys(CODES, 0)
    fractions = []
    for patient in draw_patients(4, seed=seed):
        picture = render_patient(patient, sensor)
        fractions.append(np.count_nonzero(picture.codes) / np.count_nonzero(picture.scene.exposed))
        for name, codes in CODES.items():
            counts[name] += int(np.isin(picture.codes, codes).sum())
        assert set(np.unique(picture.codes)) == {0, 101, 301, 302, 320, patient.tumour_code}
    assert min(fractions) > 0.04
    assert max(fractions) < 0.135
    for name, share in SHARES.items():
        assert counts[name] / sum(counts.values()) == pytest.approx(share, rel=0.35)


def test_labels_are_patches_not_scattered_pixels(rendered: RenderedPatient) -> None:
    healthy = rendered.codes == 101
    beside = np.zeros_like(healthy)
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside |= np.roll(healthy, shift, axis)
    assert beside[healthy].mean() > 0.7
    assert healthy.mean() < 0.1


def test_labels_avoid_glints(patients: tuple[Patient, ...], small_sensor: MosaicSensor) -> None:
    area = small_sensor.active_area
    for patient in patients:
        picture = render_patient(patient, small_sensor)
        saturated = (picture.raw[: area.height, : area.width] >= small_sensor.saturation).reshape(64, 5, 120, 5)
        assert saturated.any()
        assert not (picture.codes[saturated.any(axis=(1, 3))] > 0).any()
