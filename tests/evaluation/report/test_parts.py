"""Tables, charts and pictures of a report agree with the record."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.report.scenes import SHAPE, evaluation, history, picture, reported
from gliomap.evaluation.report._charts import curves_chart, strip_chart
from gliomap.evaluation.report._pictures import capture_panels, confidence_ramp
from gliomap.evaluation.report._tables import confusion, folds, labelled_pixels, overall, patients
from gliomap.evaluation.report._words import summary
from gliomap.taxonomy import THESIS_CLASSES


def test_tables_hold_the_numbers_of_the_record() -> None:
    record = evaluation()
    rows = {row[0].text: row for row in overall(record).rows}
    assert rows["Overall accuracy"][1].text == f"{record.pooled.overall_accuracy:.3f}"
    mean = np.mean([one.overall_accuracy for one in record.patients.values()])
    assert float(rows["Overall accuracy"][2].text) == pytest.approx(mean, abs=5e-4)
    assert rows["Tumour sensitivity"][1].text == f"{record.pooled.classes[1].sensitivity:.3f}"
    table = confusion(record)
    assert [cell.text for cell in table.rows[3][1:-1]] == ["no label"] * 5
    shares = [cell.shade for cell in table.rows[0][1:-1]]
    assert sum(shares) == pytest.approx(1)
    assert [row[2].text for row in patients(record).rows] == ["200"] * 4
    assert sum(int(cell.text) for cell in labelled_pixels(reported(record)).rows[0][1:]) == 200


def test_long_lists_of_training_patients_name_the_one_left_out() -> None:
    table = folds(evaluation([f"ID{number:04}" for number in range(1, 13)]))
    assert table.rows[2][1].text == "all but ID0003"
    assert table.rows[2][1].small == "11 patients"
    assert folds(evaluation()).rows[0][1].text == "ID0002, ID0003, ID0004"


def test_a_chart_has_its_numbers_in_the_alt_text_and_unique_ids() -> None:
    record = evaluation()
    chart = strip_chart(record, "one")
    lowest = min(value.overall_accuracy for value in record.patients.values())
    assert f"Overall accuracy: 4 patients, {lowest:.2f} to" in chart.alt
    assert strip_chart(record, "one").svg == chart.svg
    assert 'id="one-' in chart.svg
    assert 'id="two-' in strip_chart(record, "two").svg
    assert strip_chart(evaluation(classes=(1, 3)), "three").alt.count("not defined") >= 1


def test_learning_curves_need_two_epochs() -> None:
    assert curves_chart({"": history(1)}, "none") is None
    chart = curves_chart({"a": history(4), "b": history(1), "c": history(2)}, "some")
    assert chart is not None
    assert "Learning curves of 2 folds. a: 4 epochs, best 4; c: 2 epochs, best 2." in chart.alt


@pytest.mark.parametrize("palette", ["safe", "classic"])
def test_a_map_on_the_page_has_the_colours_of_the_palette(palette: str) -> None:
    record, shown = evaluation(), picture()
    panels = capture_panels("ID0001C01", record.captures["ID0001C01"], shown, THESIS_CLASSES, palette)
    assert [panel.title for panel in panels.panels] == [
        "Synthetic RGB (false colour)",
        "Ground truth",
        "Map",
        "Confidence",
    ]
    _, _, content = panels.panels[2].source.partition("base64,")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    assert drawn.shape == (*SHAPE, 3)
    classified = shown.labels > 0
    assert (drawn[classified] == THESIS_CLASSES.colours(palette)[shown.labels][classified]).all()
    assert set(map(tuple, drawn[~classified])) == {(168, 168, 168), (112, 112, 112)}


def test_the_confidence_ramp_gets_evenly_lighter() -> None:
    lightness = confidence_ramp(np.linspace(0, 1, 33)) @ np.array([0.299, 0.587, 0.114])
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()


@pytest.mark.parametrize(
    ("share", "told"),
    [(1.0, "100 %"), (0.996, "more than 99 %"), (0.994, "99 %"), (0.004, "less than 1 %"), (0.0, "0 %")],
)
def test_shares_are_not_rounded_up_to_all_or_down_to_none(share: float, told: str) -> None:
    record = evaluation(patients=("ID0001",))
    found = record.patients["ID0001"]
    tumour = replace(found.classes[1], sensitivity=share)
    one = replace(found, classes=(found.classes[0], tumour, *found.classes[2:]))
    words = " ".join(summary(reported(record.model_copy(update={"patients": {"ID0001": one}}))))
    assert f"Of the pixels labelled tumour, {told} were found" in words.replace("\N{NO-BREAK SPACE}", " ")
