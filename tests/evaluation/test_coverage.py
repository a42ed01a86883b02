"""Simulated coverage of the 95 % intervals over few patients; docs/explanation/honest-numbers.md has the table."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gliomap.evaluation import interval_over_patients
from support import PROJECT

DRAWS = 500
PATIENTS = (4, 8, 13, 20, 34)

POPULATIONS = {
    "accuracy": (8.0, 2.0),
    "sensitivity": (0.8, 0.8),
}
"""Beta distributions: skewed towards 1 with mean 0.8, as accuracies are; and with most patients near 0 or near 1, as
tumour sensitivities are."""

PAGE = PROJECT / "docs" / "explanation" / "honest-numbers.md"


def coverage(patients: int, shape: tuple[float, float]) -> float | None:
    """Share of draws whose interval contains the population's mean; None if there is no interval."""
    generator = np.random.default_rng([patients, int(10 * shape[0])])
    mean, held = shape[0] / sum(shape), 0
    for draw in range(DRAWS):
        interval = interval_over_patients(generator.beta(*shape, patients).tolist(), seed=draw)
        assert interval is not None
        if interval.low is None or interval.high is None:
            return None
        held += interval.low <= mean <= interval.high
    return held / DRAWS


@pytest.mark.slow
@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("patients", PATIENTS)
def test_the_documented_coverage_matches_the_simulation(name: str, patients: int) -> None:
    found = coverage(patients, POPULATIONS[name])
    row = re.search(rf"^\| {patients} \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert row is not None
    told = row[1].split("|")[list(POPULATIONS).index(name)].strip()
    assert told == ("no interval" if found is None else f"{100 * found:.1f} %")
    # Nominally 95 %: an interval that covers far less should not be printed.
    assert found is None or 0.88 <= found <= 0.99
