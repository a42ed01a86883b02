"""Instruments that show whether an evaluation can be believed: the results of chance and of the best case."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gliomap._fields import Fields
from gliomap._files import write_json
from gliomap.evaluation._intervals import Interval
from gliomap.evaluation._reading import read_record

__all__ = ["INSTRUMENTS", "Instrument", "SanityPoint", "SanityRecord", "SanityScore", "read_sanity"]

Instrument = Literal["shuffle-labels", "oracle", "learning-curve"]

INSTRUMENTS: dict[Instrument, str] = {
    "shuffle-labels": "Trained on the same pixels with shuffled labels: only chance is left. A result well above chance"
    " means that information about the test leaks into the training.",
    "oracle": "Trained on four fifths of the test patient's own labelled pixels and tested on the last fifth: the"
    " ceiling, which a model trained on other patients cannot be expected to exceed.",
    "learning-curve": "Trained on fewer patients, drawn at random: shows whether more patients would still help.",
}
"""Name → what the instrument does and how to read it."""


class SanityScore(Fields):
    """One test patient; figures that are not defined are null."""

    overall_accuracy: float | None
    balanced_accuracy: float | None
    tumour_sensitivity: float | None


class SanityPoint(Fields):
    """One size of the training set, or the only one."""

    training_patients: int | None = Field(description="Number of training patients; null for the oracle.")
    patients: dict[str, SanityScore]
    overall_accuracy: Interval | None
    balanced_accuracy: Interval | None
    tumour_sensitivity: Interval | None


class SanityRecord(Fields):
    """Content of RUN/sanity/NAME.json."""

    format: Literal[1] = 1
    gliomap: str
    name: Instrument
    run: str
    model: str
    protocol: str
    split: str = Field(description="Fingerprint of the split or the folds.")
    seed: int
    chance: float | None = Field(description="Balanced accuracy of guessing; null if it does not apply.")
    points: tuple[SanityPoint, ...]
    notes: tuple[str, ...] = ()
    seconds: float

    def save(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_sanity(path: Path) -> SanityRecord:
    """Read a file from RUN/sanity.

    Raises
    ------
    RunError
        The file does not exist, or this version does not understand it.
    """
    return read_record(
        path,
        SanityRecord,
        "record of an instrument",
        make="Make it with `gliomap evaluate RUN --shuffle-labels`.",
        again="Make it again.",
    )
