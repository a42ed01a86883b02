"""docs/explanation/phantom.md has the figures that the phantom uses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from docs.pages import sections
from gliomap.phantom import DIFFICULTIES, Difficulty
from gliomap.phantom._difficulty import Spread
from gliomap.phantom._labels import LABEL_FRACTION, SHARES
from gliomap.phantom._optics import diffuse_reflectance

PAGE = sections("explanation/phantom.md")


def _spread(one: Spread) -> str:
    spread = f"{100 * one.spread:.0f} %" if one.logarithmic else f"{one.spread:g}"
    return f"{one.centre:g} ± {spread}".replace("-", "−")


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g}–{limits[1]:g}"


ROWS: dict[str, Callable[[Difficulty], str]] = {
    "grey matter: blood fraction": lambda d: _spread(d.grey.blood),
    "grey matter: saturation": lambda d: _spread(d.grey.saturation),
    "grey matter: a, cm⁻¹": lambda d: _spread(d.grey.amplitude),
    "grey matter: b": lambda d: _spread(d.grey.power),
    "tumour: blood, factor": lambda d: _spread(d.tumour.blood),
    "tumour: saturation, difference": lambda d: _spread(d.tumour.saturation),
    "tumour: a, factor": lambda d: _spread(d.tumour.amplitude),
    "tumour: b, difference": lambda d: _spread(d.tumour.power),
    "tumour: water, difference": lambda d: _spread(d.tumour.water),
    "tumour − grey matter, RMS of normalised spectra": lambda d: _range(d.tumour.difference),
    "vein: saturation": lambda d: _spread(d.vein.saturation),
    "artery: saturation": lambda d: _spread(d.artery.saturation),
    "vessels: blood fraction": lambda d: _spread(d.vein.blood),
    "vessels: share of the signal at the centre line": lambda d: _range(d.vein.cover),
    "dura: blood fraction": lambda d: _spread(d.dura.blood),
    "dura: saturation": lambda d: _spread(d.dura.saturation),
    "dura: a, cm⁻¹": lambda d: _spread(d.dura.amplitude),
    "dura: b": lambda d: _spread(d.dura.power),
    "film of blood, µm": lambda d: _spread(d.surface.film_um),
    "haze, highest share": lambda d: f"{d.surface.haze:g}",
    "light: tilt, bend": lambda d: f"{d.camera.light_tilt:g}, {d.camera.light_bend:g}",
    "filters: shift of peaks, nm": lambda d: f"± {d.camera.peak_shift_nm:g}",
    "filters: pedestal": lambda d: _range(d.camera.pedestal),
    "filters: leak of the short end": lambda d: _range(d.camera.leak),
    "filters: unevenness": lambda d: f"{100 * d.camera.unevenness:g} %",
    "exposure": lambda d: _range(d.camera.exposure),
    "white reference, electrons": lambda d: f"{d.camera.white_electrons:,.0f}",
}


def expected() -> list[list[str]]:
    """The table of difficulties as the code has it."""
    presets = [DIFFICULTIES[name] for name in ("realistic", "moderate", "easy")]
    return [[row, *(tell(preset) for preset in presets)] for row, tell in ROWS.items()]


def test_the_difficulties_have_the_figures_of_the_code() -> None:
    told = PAGE["Difficulties"].tables()[0]
    assert told[0] == ["", "realistic", "moderate", "easy"]
    for row, wanted in zip(told[1:], expected(), strict=True):
        assert row == wanted, "write into the page: | " + " | ".join(wanted) + " |"


def test_reflectance_is_what_the_page_says() -> None:
    rows = PAGE["Light in tissue"].tables()[0][1:]
    assert len(rows) == 4
    for properties, told, _ in rows:
        absorption, scattering = (float(value) for value in properties.split(","))
        assert float(told) == pytest.approx(float(diffuse_reflectance(absorption, scattering)), abs=6e-4)


def test_labels_have_the_shares_of_the_code() -> None:
    text = " ".join(PAGE["Labels"].text.split())
    assert "5–12 % of the exposed brain" in text
    assert LABEL_FRACTION == (0.05, 0.12)
    assert all(f"{name} {share:.0%}".replace("%", " %") in text for name, share in SHARES.items())
