"""Evaluation records made from random labels, without any training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gliomap.evaluation import CaptureRecord, EvaluationRecord, FalseTumour, FoldRecord, interval_over_patients, metrics
from gliomap.evaluation.report import MapPicture, ReportedRun
from gliomap.learning import EpochRecord, History
from gliomap.studies import PROTOCOLS
from gliomap.taxonomy import THESIS_CLASSES

SHAPE = (20, 30)


def evaluation(
    patients: Sequence[str] = ("ID0001", "ID0002", "ID0003", "ID0004"),
    *,
    protocol: str = "lopo",
    right: float = 0.8,
    seed: int = 0,
    classes: Sequence[int] = (1, 2, 3, 5),
    run: str = "run",
) -> EvaluationRecord:
    """An evaluation of patients with 200 labelled pixels each, of which about the share `right` is predicted correctly.

    `seed` changes the predictions, never the labels.
    """
    generator, labels = np.random.default_rng(seed), np.random.default_rng(10)
    pixels = {}
    for number, patient in enumerate(patients):
        true = labels.choice(np.array(classes, np.uint8), 200)
        hit = generator.random(200) < right - 0.05 * (number % 3)
        predicted = np.where(hit, true, generator.choice(np.array(classes, np.uint8), 200)).astype(np.uint8)
        probabilities = np.full((200, 5), 0.05, np.float32)
        probabilities[np.arange(200), predicted - 1] = 0.8
        pixels[patient] = (true, predicted, probabilities)
    found = {
        patient: metrics(true, predicted, 5, scores, (2,)) for patient, (true, predicted, scores) in pixels.items()
    }
    together = [np.concatenate([one[part] for one in pixels.values()]) for part in range(3)]
    pooled = metrics(together[0], together[1], 5, together[2], (2,))
    mixes = PROTOCOLS[protocol].warning is not None
    empty = FalseTumour(200, 5, 0.025, 600, 60, 0.1)
    folds = [(protocol, tuple(patients), tuple(patients), pooled)] if mixes else []
    folds += [] if mixes else [(one, tuple(p for p in patients if p != one), (one,), found[one]) for one in patients]
    return EvaluationRecord(
        gliomap="0.1.0",
        run=run,
        model="LDA",
        graph=None,
        protocol=protocol,
        warning=PROTOCOLS[protocol].warning,
        split="5" * 64,
        same_patient=tuple(patients) if mixes else (),
        classes=THESIS_CLASSES,
        version=1,
        pooled=pooled,
        patients=found,
        intervals={"overall accuracy": interval_over_patients([one.overall_accuracy for one in found.values()])},
        folds=tuple(
            FoldRecord(
                name=name, trained=trained, validated=(), tested=tested, graph="6" * 64, metrics=result, seconds=1.5
            )
            for name, trained, tested, result in folds
        ),
        captures={
            f"{patient}C01": CaptureRecord(
                patient=patient,
                metrics=one,
                false_tumour=None if 2 in classes else empty,
                predictions=f"predictions/{patient}C01.npz",
                pictures=(),
            )
            for patient, one in found.items()
        },
        pictures=(),
    )


def picture(seed: int = 0) -> MapPicture:
    """A frame of noise."""
    generator = np.random.default_rng(seed)
    return MapPicture(
        rgb=generator.integers(0, 256, (*SHAPE, 3), np.uint8),
        truth=generator.integers(0, 6, SHAPE, np.uint8),
        labels=generator.integers(0, 6, SHAPE, np.uint8),
        confidence=generator.random(SHAPE, np.float32),
    )


def history(epochs: int = 3) -> History:
    """A training that improves with every epoch."""
    records = tuple(
        EpochRecord(
            number, 1.0, 0.01, 1 / number, 1 - 0.5 / number, 1.2 / number, 0.9 - 0.5 / number, 0.8 - 0.5 / number
        )
        for number in range(1, epochs + 1)
    )
    return History(records, epochs, "all epochs")


def reported(record: EvaluationRecord | None = None, **parts: object) -> ReportedRun:
    """A run with a map of each capture."""
    found = record or evaluation()
    given = {
        "description": "LDA (a test)",
        "study": (("Study", "test"),),
        "model": (("Model", "LDA"),),
        "maps": {capture: picture(number) for number, capture in enumerate(found.captures)},
        "histories": {fold.name: history() for fold in found.folds},
        "commands": ("gliomap train study", "gliomap evaluate run"),
        "study_fingerprint": "7" * 64,
    } | parts
    return ReportedRun(evaluation=found, **given)
