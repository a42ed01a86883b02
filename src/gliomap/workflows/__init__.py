"""Workflows: what composes the rooms."""

from gliomap.workflows._evaluate import Evaluated, evaluate
from gliomap.workflows._plan import TrainingOptions, TrainingPlan, plan_training
from gliomap.workflows._runs import Run, RunRecord, open_run
from gliomap.workflows._train import run_training, train

__all__ = [
    "Evaluated",
    "Run",
    "RunRecord",
    "TrainingOptions",
    "TrainingPlan",
    "evaluate",
    "open_run",
    "plan_training",
    "run_training",
    "train",
]
