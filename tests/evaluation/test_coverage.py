"""What '95 %' intervals over few patients really cover, simulated; docs/explanation/honest-numbers.md has the table."""

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
    """Share of draws whose interval holds the population's mean; None where there is no interval."""
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
def test_the_page_tells_what_the_intervals_cover(name: str, patients: int) -> None:
    found = coverage(patients, POPULATIONS[name])
    row = re.search(rf"^\| {patients} \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert row is not None
    told = row[1].split("|")[list(POPULATIONS).index(name)].strip()
    assert told == ("no interval" if found is None else f"{100 * found:.1f} %")
    # A nominal 95 %: what falls far below would be no interval to print.
    assert found is None or 0.88 <= found <= 0.99
