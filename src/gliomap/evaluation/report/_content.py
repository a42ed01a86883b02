"""Everything that the pages need, gathered before a page is made."""

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
"""A name and what stands beside it."""


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
        (H, W) float32, 0…1, the highest of the probabilities.
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
        What its test found.
    description
        The model in one line of plain words.
    study_fingerprint
        SHA-256 over the files of the study that were used.
    synthetic
        The patients are a phantom's.
    study, model, times, environment
        Names and values, as they are shown.
    labelled
        Role (train, validation, test) → class → labelled pixels, of a run of one fold; else empty.
    histories
        Fold → how its training went.
    maps
        Capture → its whole frame; those whose map was not kept are missing.
    sanity
        What the instruments found, as far as they were run.
    commands
        That train and evaluate it again, one a line.
    hints
        Choices that GlioMap made by itself.
    notes
        What a reader of the result should know, from the training.
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
        """What tells this run from others: model, protocol and name."""
        return f"{self.evaluation.model}, {self.evaluation.protocol} ({self.evaluation.run})"
