"""Tracking: the run folder is the source of truth; MLflow mirrors it, during training or later.

Everything except the file names is imported on first use: listing runs loads no model, and nothing loads MLflow before it
is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap._lazy import lazy
from gliomap.tracking._names import (
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
    RUNNING,
    RUNS,
    SPLIT,
    SPLITS,
    SUMMARY,
)

if TYPE_CHECKING:
    from gliomap.tracking._folder import finish_folder, is_held, lock_folder, refuse_run, unfinished_folder
    from gliomap.tracking._journal import journal, write_history
    from gliomap.tracking._mirror import Mirror, mirrored
    from gliomap.tracking._record import (
        COMMIT_VARIABLE,
        Environment,
        ModelRecord,
        RunRecord,
        SensorRecord,
        StudyRecord,
        TrainingTimes,
        environment,
        read_record,
        write_record,
    )
    from gliomap.tracking._registry import (
        Promotion,
        fetch_bundle,
        list_models,
        model_name,
        promote,
        register_bundle,
        register_run,
        show_version,
    )
    from gliomap.tracking._run import Run, is_tracked, open_run, study_folder, whole_run
    from gliomap.tracking._store import (
        SAID_NONE,
        SAID_NOTHING,
        Store,
        Tracking,
        find_store,
        nearest_store,
        store_of_run,
        store_of_study,
    )
    from gliomap.tracking._sync import Sender, Sent
    from gliomap.tracking._table import THESIS_COLUMNS, RunRow, find_runs, read_row, thesis_csv
    from gliomap.tracking._versions import ModelReference, RegisteredVersion

__all__ = [
    "BUNDLE",
    "CHECKPOINT",
    "COMMIT_VARIABLE",
    "EVALUATION",
    "FOLDS",
    "HISTORY",
    "METRICS",
    "MODEL",
    "RECORD",
    "REFIT_CHECKPOINT",
    "REPORT",
    "RUNNING",
    "RUNS",
    "SAID_NONE",
    "SAID_NOTHING",
    "SPLIT",
    "SPLITS",
    "SUMMARY",
    "THESIS_COLUMNS",
    "Environment",
    "Mirror",
    "ModelRecord",
    "ModelReference",
    "Promotion",
    "RegisteredVersion",
    "Run",
    "RunRecord",
    "RunRow",
    "Sender",
    "SensorRecord",
    "Sent",
    "Store",
    "StudyRecord",
    "Tracking",
    "TrainingTimes",
    "environment",
    "fetch_bundle",
    "find_runs",
    "find_store",
    "finish_folder",
    "is_held",
    "is_tracked",
    "journal",
    "list_models",
    "lock_folder",
    "mirrored",
    "model_name",
    "nearest_store",
    "open_run",
    "promote",
    "read_record",
    "read_row",
    "refuse_run",
    "register_bundle",
    "register_run",
    "show_version",
    "store_of_run",
    "store_of_study",
    "study_folder",
    "thesis_csv",
    "unfinished_folder",
    "whole_run",
    "write_history",
    "write_record",
]

if not TYPE_CHECKING:
    __getattr__ = lazy(
        __name__,
        {
            "._folder": ("finish_folder", "is_held", "lock_folder", "refuse_run", "unfinished_folder"),
            "._journal": ("journal", "write_history"),
            "._mirror": ("Mirror", "mirrored"),
            "._record": (
                "COMMIT_VARIABLE",
                "Environment",
                "ModelRecord",
                "RunRecord",
                "SensorRecord",
                "StudyRecord",
                "TrainingTimes",
                "environment",
                "read_record",
                "write_record",
            ),
            "._registry": (
                "Promotion",
                "fetch_bundle",
                "list_models",
                "model_name",
                "promote",
                "register_bundle",
                "register_run",
                "show_version",
            ),
            "._run": ("Run", "is_tracked", "open_run", "study_folder", "whole_run"),
            "._store": (
                "SAID_NONE",
                "SAID_NOTHING",
                "Store",
                "Tracking",
                "find_store",
                "nearest_store",
                "store_of_run",
                "store_of_study",
            ),
            "._sync": ("Sender", "Sent"),
            "._table": ("RunRow", "THESIS_COLUMNS", "find_runs", "read_row", "thesis_csv"),
            "._versions": ("ModelReference", "RegisteredVersion"),
        },
    )
