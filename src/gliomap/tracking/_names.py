"""Names of the files and folders of a run."""

from __future__ import annotations

__all__ = [
    "BUNDLE",
    "CHECKPOINT",
    "EVALUATION",
    "FOLDS",
    "HISTORY",
    "LOCK",
    "METRICS",
    "MODEL",
    "RECORD",
    "REFIT_CHECKPOINT",
    "REPORT",
    "RUNNING",
    "RUNS",
    "SPLIT",
    "SPLITS",
    "SUMMARY",
]

RUNNING = "running_"
"""Prefix of the folder of an unfinished training."""

CHECKPOINT = "checkpoint.safetensors"
REFIT_CHECKPOINT = "checkpoint-refit.safetensors"
RUNS = "runs"
RECORD, SPLIT, HISTORY, MODEL, LOCK = "run.json", "split.json", "history.json", "model.safetensors", ".lock"
SPLITS, FOLDS = "splits.json", "folds"
EVALUATION, METRICS, SUMMARY = "evaluation", "metrics.json", "summary.json"
REPORT, BUNDLE = "report.html", "bundle"
"""What evaluation, report and export add to a run."""
