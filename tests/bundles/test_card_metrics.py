"""The card says what was measured, on which patients, and what was not measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundles.makers import small_bundle
from gliomap.bundles import GROUP, Manifest, Measured, Training, write_bundle

TRAINING = Training(
    study="pilot",
    study_fingerprint="0" * 64,
    protocol="lopo",
    split_fingerprint="1" * 64,
    patients={"train": ("ID0001", "ID0002")},
    captures={"train": ("ID0001C01", "ID0002C01")},
    seed=0,
    finished_at=datetime(2026, 1, 2, tzinfo=UTC),
)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return small_bundle(tmp_path / "plain").manifest


def card(tmp_path: Path, manifest: Manifest, **changes: object) -> str:
    bundle = small_bundle(tmp_path / "graphs")
    return write_bundle(tmp_path / "told", manifest.model_copy(update=changes), bundle.cube_graph, None).card


def test_each_group_of_patients_has_its_own_table(tmp_path: Path, manifest: Manifest) -> None:
    metrics = {
        "overall accuracy": Measured(value=0.8, low=0.7, high=0.9, patients=13),
        "calibration error": Measured(value=0.1),
        f"overall accuracy{GROUP}patients without": Measured(value=0.6, patients=4),
    }
    told = card(tmp_path, manifest, metrics=metrics, training=TRAINING)
    everybody, _, group = told.partition("### Patients without")
    assert "| overall accuracy | 0.800 | 0.700–0.900 | 13 |" in everybody
    assert "| calibration error | 0.100 |  | over all pixels |" in everybody
    assert "| overall accuracy | 0.600 |  | 4 |" in group


def test_the_card_gives_the_protocol_and_the_split_fingerprint(tmp_path: Path, manifest: Manifest) -> None:
    told = card(tmp_path, manifest, metrics={"MCC": Measured(value=0.5, patients=2)}, training=TRAINING)
    assert "Protocol 'lopo'" in told
    assert f"of the split {'1' * 64}" in told


def test_missing_metrics_and_group_comparisons_are_stated(tmp_path: Path, manifest: Manifest) -> None:
    told = card(tmp_path, manifest, metrics={})
    assert "## Metrics\n\nNot measured." in told
    assert "so fairness across groups was not assessed" in told
