"""Figures are drawn with the texts they need, and a failed write leaves nothing behind."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation.report.scenes import evaluation
from gliomap.errors import MissingExtraError, SensorError, UsageError
from gliomap.evaluation import Metrics, confusion_figure, learning_curves, metrics, plot_responses, runs_figure
from gliomap.evaluation._canvas import INK, SOFT_INK, TRAINING, contrast, ink_on
from gliomap.evaluation.report._page import _shade
from gliomap.learning import EpochRecord, History
from gliomap.sensors import get_sensor
from gliomap.taxonomy import THESIS_CLASSES
from support import shared


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts in the figures that are saved while the test runs."""
    from matplotlib.text import Text

    found: list[str] = []
    original = Figure.savefig

    def record(self: Figure, *args: object, **rest: object) -> None:
        original(self, *args, **rest)
        found.extend(text.get_text() for text in self.findobj(Text) if text.get_text())

    monkeypatch.setattr(Figure, "savefig", record)
    return found


def history(epochs: int, *, validated: bool) -> History:
    records = tuple(
        EpochRecord(
            n + 1,
            0.5,
            0.003,
            1.5 / (n + 1),
            1 - 0.6 / (n + 1),
            *((1.6 / (n + 1), 1 - 0.7 / (n + 1), 0.5) if validated else (None, None, None)),
        )
        for n in range(epochs)
    )
    return History(records, best_epoch=2, stopped="all epochs done")


@pytest.fixture
def result() -> Metrics:
    labels = np.random.default_rng(0).integers(1, 6, (2, 500))
    return metrics(labels[0], labels[1], 5)


class TestLearningCurves:
    def test_training_and_validation_are_drawn_and_named(self, tmp_path: Path, words: list[str]) -> None:
        learning_curves(history(8, validated=True), tmp_path / "curves.png", title="Conv2DNet")
        assert {"Conv2DNet", "training", "validation patients", "epoch kept", "epoch"} <= set(words)
        assert "Research software - not a medical device" in words

    def test_validation_is_not_mentioned_if_there_was_none(self, tmp_path: Path, words: list[str]) -> None:
        learning_curves(history(20, validated=False), tmp_path / "curves.png")
        assert not any("validation" in word or "best" in word for word in words)

    def test_epochs_are_whole_numbers(self, tmp_path: Path, words: list[str]) -> None:
        learning_curves(history(7, validated=False), tmp_path / "curves.png")
        # The axes of loss and share may have ticks between whole numbers, the axis of epochs may not.
        assert not {"1.5", "2.5", "3.5"} & set(words)
        assert {"2", "4", "6"} <= set(words)

    def test_a_model_fitted_in_one_step_has_no_curve(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="two epochs"):
            learning_curves(history(1, validated=False), tmp_path / "curves.png")
        assert list(tmp_path.iterdir()) == []


class TestConfusionMatrix:
    def test_cells_show_counts_and_percentages(self, tmp_path: Path, words: list[str]) -> None:
        table = metrics(np.array([1, 1, 1, 1, 2, 3, 4, 5]), np.array([1, 1, 1, 2, 2, 3, 4, 5]), 5)
        confusion_figure(table, THESIS_CLASSES, tmp_path / "confusion.png")
        assert {"75", "25", "100", "3", *THESIS_CLASSES.names} <= set(words)
        assert any("overall accuracy 0.875" in word for word in words)

    def test_a_few_pixels_do_not_vanish_in_rounding(self, tmp_path: Path, words: list[str]) -> None:
        true = np.array([1] * 1000 + [2, 3, 4, 5])
        predicted = true.copy()
        predicted[0] = 2
        confusion_figure(metrics(true, predicted, 5), THESIS_CLASSES, tmp_path / "confusion.png")
        assert {"<1", ">99"} <= set(words)

    def test_a_class_that_nobody_labelled_shows_no_zeros(self, tmp_path: Path, words: list[str]) -> None:
        table = metrics(np.array([1, 3, 4, 5]), np.array([2, 2, 2, 2]), 5)
        confusion_figure(table, THESIS_CLASSES, tmp_path / "confusion.png")
        assert words.count("no labelled pixels") == 2
        assert any("nobody labelled any" in word for word in words)
        assert words.count("0") == 2 * 4 * 4

    def test_a_class_set_of_another_size_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="2 rows"):
            confusion_figure(metrics(np.array([1]), np.array([1]), 2), THESIS_CLASSES, tmp_path / "a.png")


class TestResponses:
    @pytest.mark.parametrize("name", ["nemesis", "generic-nir-5x5"])
    def test_packaged_sensors_are_drawn(self, name: str, tmp_path: Path, words: list[str]) -> None:
        sensor = get_sensor(name)
        plot_responses(sensor, tmp_path / "sensor.png")
        assert f"Sensor {name}" in words
        assert any("(nominal)" in word for word in words) == sensor.wavelengths_nominal
        assert any("response" in word for word in words) == (sensor.responses is not None)

    @pytest.mark.shared
    def test_a_real_calibration_file_is_drawn(self, tmp_path: Path, words: list[str]) -> None:
        sensor = get_sensor(shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml"))
        plot_responses(sensor, tmp_path / "sensor.png")
        assert "band-pass filter (scaled)" in words

    def test_a_sensor_without_correction_and_responses_is_refused(self, tmp_path: Path) -> None:
        bare = replace(get_sensor("nemesis"), correction=None, responses=None)
        with pytest.raises(SensorError, match="neither"):
            plot_responses(bare, tmp_path / "sensor.png")

    def test_axes_have_units(self, tmp_path: Path, words: list[str]) -> None:
        plot_responses(get_sensor("generic-nir-5x5"), tmp_path / "sensor.png")
        assert {"response, relative", "weight of the position in the band", "output band, nm"} <= set(words)


class TestInk:
    @pytest.mark.parametrize("share", np.linspace(0, 1, 101))
    def test_text_is_legible_on_every_shade_of_a_confusion_matrix(self, share: float) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import to_rgb

        page = dict(part.split(":") for part in _shade(share).split(";"))
        assert contrast(to_rgb(page["background"]), to_rgb(page["color"])) >= 4.5
        shade = colormaps["Blues"](share)
        assert contrast(shade, to_rgb(ink_on(shade))) >= 4.5

    def test_contrast_matches_values_of_wcag(self) -> None:
        assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
        assert contrast((1, 1, 1), (0x76 / 255,) * 3) == pytest.approx(4.54, abs=0.01)

    @pytest.mark.parametrize("ink", [INK, SOFT_INK, TRAINING])
    def test_text_and_lines_are_legible_on_white(self, ink: str) -> None:
        from matplotlib.colors import to_rgb

        assert contrast(to_rgb(ink), (1, 1, 1)) >= 4.5


class TestAllFigures:
    def test_the_same_figure_has_the_same_bytes(self, tmp_path: Path, result: Metrics) -> None:
        for name in ("a.png", "b.png"):
            confusion_figure(result, THESIS_CLASSES, tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        with Image.open(tmp_path / "a.png") as image:
            assert set(image.info) <= {"dpi"}

    def test_pyplot_and_its_global_state_are_left_alone(self, tmp_path: Path, result: Metrics) -> None:
        import matplotlib as mpl

        before = dict(mpl.rcParams)
        loaded = "matplotlib.pyplot" in sys.modules
        confusion_figure(result, THESIS_CLASSES, tmp_path / "a.png")
        learning_curves(history(3, validated=True), tmp_path / "b.png")
        assert dict(mpl.rcParams) == before
        assert ("matplotlib.pyplot" in sys.modules) == loaded

    def test_missing_matplotlib_names_the_extra(
        self,
        tmp_path: Path,
        result: Metrics,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(MissingExtraError, match=r"gliomap\[report\]"):
            confusion_figure(result, THESIS_CLASSES, tmp_path / "a.png")

    def test_a_failed_write_leaves_no_file(
        self,
        tmp_path: Path,
        result: Metrics,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Figure, "savefig", full)
        with pytest.raises(OSError, match="No space"):
            confusion_figure(result, THESIS_CLASSES, tmp_path / "a.png")
        assert list(tmp_path.iterdir()) == []


def test_a_run_whose_figures_overstate_is_marked(tmp_path: Path, words: list[str]) -> None:
    runs = {"honest": evaluation(), "mixed": evaluation(protocol="pooled")}
    runs_figure(runs, tmp_path / "runs.png")
    assert {"honest", "mixed\n(overstates)"} <= set(words)
    assert any(word.endswith("\nn = 4") for word in words)


def test_patients_are_counted_for_each_run_alone_because_equal_names_may_mean_others(
    tmp_path: Path, words: list[str]
) -> None:
    runs_figure({"here": evaluation(), "elsewhere": evaluation(("ID0001", "ID0002"))}, tmp_path / "runs.png")
    assert {word.rpartition("\n")[2] for word in words if "n = " in word} == {"n = 4", "n = 2"}
    assert not any("in all" in word for word in words)
