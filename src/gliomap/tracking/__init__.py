"""Tracking: the run folder is the truth; MLflow mirrors it.

Importing this room loads no MLflow; what needs it imports it when used.
"""

from gliomap.tracking._folder import finish_folder, lock_folder
from gliomap.tracking._record import Environment, ModelRecord, RunRecord, SensorRecord, StudyRecord, environment
from gliomap.tracking._run import (
    BUNDLE,
    CHECKPOINT,
    EVALUATION,
    FOLDS,
    HISTORY,
    METRICS,
    MODEL,
    RECORD,
    REFIT_CHECKPOINT,
    REPORT,
    ROLES,
    RUNNING,
    RUNS,
    SPLIT,
    SPLITS,
    Run,
    open_run,
    read_record,
    write_history,
    write_record,
)

__all__ = [
    "BUNDLE",
    "CHECKPOINT",
    "EVALUATION",
    "FOLDS",
    "HISTORY",
    "METRICS",
    "MODEL",
    "RECORD",
    "REFIT_CHECKPOINT",
    "REPORT",
    "ROLES",
    "RUNNING",
    "RUNS",
    "SPLIT",
    "SPLITS",
    "Environment",
    "ModelRecord",
    "Run",
    "RunRecord",
    "SensorRecord",
    "StudyRecord",
    "environment",
    "finish_folder",
    "lock_folder",
    "open_run",
    "read_record",
    "write_history",
    "write_record",
]
