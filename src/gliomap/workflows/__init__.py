"""Workflows: functions that combine the other packages.

Each is imported on first use, so classifying a frame loads nothing that only training needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap._lazy import lazy

if TYPE_CHECKING:
    from gliomap.tracking import Run, RunRecord, open_run
    from gliomap.workflows._bundle import bundle_from_weights, make_bundle
    from gliomap.workflows._classify import DEFAULT_REFERENCE_AGE, Classification, ClassifyOptions, classify
    from gliomap.workflows._demo import Demo, demo
    from gliomap.workflows._evaluate import Evaluated, evaluate
    from gliomap.workflows._folds_plan import FoldsPlan, draw_folds, plan_folds, plan_protocol
    from gliomap.workflows._inputs import CubeFile, FrameFiles, Source, StudyCapture
    from gliomap.workflows._options import TrainingOptions
    from gliomap.workflows._plan import TrainingPlan, plan_training
    from gliomap.workflows._report import Reported, report, reported_run
    from gliomap.workflows._result import BundleOrigin, ClassificationResult, InputRecord
    from gliomap.workflows._sanity import SANITY, measure_sanity
    from gliomap.workflows._train import run_plan, train
    from gliomap.workflows._train_folds import run_folds
    from gliomap.workflows._train_one import run_training

__all__ = [
    "DEFAULT_REFERENCE_AGE",
    "SANITY",
    "BundleOrigin",
    "Classification",
    "ClassificationResult",
    "ClassifyOptions",
    "CubeFile",
    "Demo",
    "Evaluated",
    "FoldsPlan",
    "FrameFiles",
    "InputRecord",
    "Reported",
    "Run",
    "RunRecord",
    "Source",
    "StudyCapture",
    "TrainingOptions",
    "TrainingPlan",
    "bundle_from_weights",
    "classify",
    "demo",
    "draw_folds",
    "evaluate",
    "make_bundle",
    "measure_sanity",
    "open_run",
    "plan_folds",
    "plan_protocol",
    "plan_training",
    "report",
    "reported_run",
    "run_folds",
    "run_plan",
    "run_training",
    "train",
]

if not TYPE_CHECKING:
    __getattr__ = lazy(
        __name__,
        {
            "._bundle": ("bundle_from_weights", "make_bundle"),
            "._classify": ("DEFAULT_REFERENCE_AGE", "Classification", "ClassifyOptions", "classify"),
            "._demo": ("Demo", "demo"),
            "._evaluate": ("Evaluated", "evaluate"),
            "._folds_plan": ("FoldsPlan", "draw_folds", "plan_folds", "plan_protocol"),
            "._inputs": ("CubeFile", "FrameFiles", "Source", "StudyCapture"),
            "._options": ("TrainingOptions",),
            "._plan": ("TrainingPlan", "plan_training"),
            "._report": ("Reported", "report", "reported_run"),
            "._result": ("BundleOrigin", "ClassificationResult", "InputRecord"),
            "._sanity": ("SANITY", "measure_sanity"),
            "._train": ("run_plan", "train"),
            "._train_folds": ("run_folds",),
            "._train_one": ("run_training",),
            "gliomap.tracking": ("Run", "RunRecord", "open_run"),
        },
    )
