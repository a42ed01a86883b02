"""The report is one self-contained page that says what a reader must know."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from evaluation.report.scenes import evaluation, reported
from gliomap.errors import UsageError
from gliomap.evaluation import SanityPoint, SanityRecord, SanityScore, interval_over_patients, metrics, summary_line
from gliomap.evaluation.report import render_report

VOID = {"meta", "link", "br", "img", "hr", "input"}
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


class Page(HTMLParser):
    """The elements, attributes and texts of a page; an element that is not closed fails the test."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def html() -> str:
    return render_report([reported(), reported(evaluation(run="other", seed=1))], compare=True, made=MADE)


def test_page_loads_no_external_resources(html: str) -> None:
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("iframe")
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:image/")), target
    assert set(re.findall(r"url\(([^#])", html)) == set()
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_ids_are_unique_and_every_link_has_a_target(html: str) -> None:
    page = Page(html)
    names = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(names) == len(set(names))
    targets = {target[1:] for _, attributes in page.elements if (target := attributes.get("href"))}
    assert targets <= set(names)
    assert {f"run{number}" for number in (1, 2)} | {"comparison"} <= targets


def test_images_charts_and_tables_are_labelled_for_screen_readers(html: str) -> None:
    page = Page(html)
    assert len(page.all("img")) == 2 * 4 * 4
    assert all(one["alt"] for one in page.all("img"))
    assert all(one["role"] == "img" and one["aria-label"] for one in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


def test_heading_levels_are_not_skipped(html: str) -> None:
    for text in (html, render_report([reported()])):
        levels = [int(name[1]) for name, _ in Page(text).elements if re.fullmatch("h[1-6]", name)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_page_says_that_it_is_not_a_medical_device(html: str) -> None:
    text = Page(html).text
    assert text.count("not a medical device") >= 2
    assert "A map never says 'no tumour'" in text


def test_summary_states_the_number_and_kind_of_patients() -> None:
    text = Page(render_report([reported(synthetic=True)])).text
    assert "LDA (a test) was trained 4 times, each time on 3 synthetic patients, and tested on the one left out" in text
    assert "Each of 4 synthetic patients was tested once, by a model that had never seen that patient" in text
    assert "what matters is the number of patients: 4" in text
    assert "The patients are synthetic" in text


def test_a_single_test_patient_is_called_an_example() -> None:
    record = evaluation(("ID0001", "ID0002"))
    one = record.model_copy(
        update={"patients": {"ID0001": record.patients["ID0001"]}, "folds": record.folds[:1], "protocol": "holdout"}
    )
    text = Page(render_report([reported(one)])).text
    assert "was trained on 1 patient and tested on 1 patient (ID0001) not used in training" in text
    assert "One patient is an example, not a measurement" in text


@pytest.mark.parametrize("protocol", ["pooled", "double-cv"])
def test_a_protocol_that_mixes_patients_has_a_warning_box(protocol: str) -> None:
    html = render_report([reported(evaluation(protocol=protocol))])
    assert 'class="box warning"' in html
    text = Page(html).text
    assert "These figures overstate." in text
    assert "was trained and tested on pixels of the same 4 patients" in text
    assert 'class="box warning"' not in render_report([reported()])


def test_tumour_metrics_are_not_defined_if_no_tumour_is_labelled() -> None:
    text = Page(render_report([reported(evaluation(classes=(1, 3)))])).text
    assert "Nobody labelled tumour in the tested captures" in text
    assert "not defined" in text
    assert "Tumour marked where nobody labelled any" in text
    assert "5 of 200 2.5 %" in text


def test_patients_without_a_classified_label_are_not_counted() -> None:
    """One of six patients is masked completely, and five are too few for an interval."""
    record = evaluation(tuple(f"ID000{number}" for number in range(1, 7)))
    empty = metrics(np.ones(9, int), np.zeros(9, int), 5)
    record = record.model_copy(update={"patients": {**record.patients, "ID0006": empty}})
    text = Page(render_report([reported(record)])).text
    assert "the number of patients: 5 (1 of 6 had no labelled pixel that could be classified). That is too few" in text
    assert "With 5 patients there is no interval." in text


def test_masked_labels_are_not_called_missing() -> None:
    record = evaluation(classes=(1, 3))
    tumour = record.pooled.classes[1]
    classes = (record.pooled.classes[0], replace(tumour, not_classified=7), *record.pooled.classes[2:])
    record = record.model_copy(update={"pooled": replace(record.pooled, classes=classes)})
    text = Page(render_report([reported(record)])).text
    assert "Every pixel labelled tumour is masked: whether the model finds tumour was not measured." in text
    assert "tumour: every labelled pixel is masked" in summary_line(record.pooled, record.classes)


def test_markup_in_names_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    run = reported(evaluation((evil, "ID0002"), run=evil), notes=(evil,), hints=(evil,), commands=(evil,))
    html = render_report([run, run], compare=True)
    assert "<script" not in html
    assert evil in Page(html).text


def test_captures_without_a_map_are_named() -> None:
    run = reported()
    maps = dict(run.maps)
    del maps["ID0003C01"]
    text = Page(render_report([reported(maps=maps)])).text
    assert "Without pictures: ID0003C01." in text


def test_sanity_checks_are_shown_with_their_run() -> None:
    scores = {"ID0001": SanityScore(overall_accuracy=0.21, balanced_accuracy=0.19, tumour_sensitivity=None)}
    point = SanityPoint(
        training_patients=3,
        patients=scores,
        overall_accuracy=interval_over_patients([0.21]),
        balanced_accuracy=interval_over_patients([0.19]),
        tumour_sensitivity=None,
    )
    common = {"gliomap": "0.1.0", "run": "run", "model": "LDA", "protocol": "lopo", "split": "5" * 64, "seed": 0}
    shuffled = SanityRecord(name="shuffle-labels", chance=0.25, points=(point,), seconds=1.0, **common)
    curve = SanityRecord(name="learning-curve", chance=None, points=(point,), seconds=1.0, notes=("a note",), **common)
    text = Page(render_report([reported(sanity=(shuffled, curve))])).text
    assert "Shuffled labels 0.210" in text
    assert "Guessing achieves a balanced accuracy of 0.250." in text
    assert "Trained on 3 patients 0.210" in text
    assert "a note" in text
    assert "Not run: oracle. gliomap evaluate RUN --oracle adds them." in text


def test_the_same_run_gives_the_same_page() -> None:
    assert render_report([reported()], made=MADE) == render_report([reported()], made=MADE)


def test_a_report_needs_one_run_and_a_comparison_two() -> None:
    with pytest.raises(UsageError, match="no run"):
        render_report([])
    with pytest.raises(UsageError, match="two runs"):
        render_report([reported()], compare=True)
