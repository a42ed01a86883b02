"""Everything that the pages need, collected before a page is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._sanity import SanityRecord
from gliomap.learning import History

__all__ = ["Fact", "MapPicture", "ReportedRun"]

Fact = tuple[str, str]
"""A name and its value."""


@dataclass(frozen=True, eq=False)
class MapPicture:
    """The whole frame of one test capture.

    Attributes
    ----------
    rgb
        (H, W, 3) uint8, false colours.
    truth
        (H, W) uint8, classes 0…C; 0 = not labelled.
    labels
        (H, W) uint8, classes 0…C; 0 = not classified.
    confidence
        (H, W) float32, 0…1, the highest probability.
    """

    rgb: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """One run as the report shows it; pages are made from this alone.

    Attributes
    ----------
    evaluation
        Results of its test.
    description
        The model in one line of plain words.
    study_fingerprint
        SHA-256 over the files of the study that were used.
    synthetic
        Whether the patients come from a phantom.
    study, model, times, environment
        Names and values as shown.
    labelled
        Role (train, validation, test) → class → labelled pixels, for a run with one fold; otherwise empty.
    histories
        Fold → history of its training.
    maps
        Capture → its whole frame; captures whose map was not kept are missing.
    sanity
        Results of the sanity instruments that were run.
    commands
        Commands that train and evaluate the run again, one per line.
    hints
        Choices that GlioMap made on its own.
    notes
        Notes from training that a reader of the result should know.
    """

    evaluation: EvaluationRecord
    description: str
    study_fingerprint: str = ""
    synthetic: bool = False
    study: tuple[Fact, ...] = ()
    model: tuple[Fact, ...] = ()
    times: tuple[Fact, ...] = ()
    environment: tuple[Fact, ...] = ()
    labelled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    maps: Mapping[str, MapPicture] = field(default_factory=dict)
    sanity: tuple[SanityRecord, ...] = ()
    commands: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Model, protocol and name, which distinguish this run from others."""
        return f"{self.evaluation.model}, {self.evaluation.protocol} ({self.evaluation.run})"
