"""Evaluation: metrics that do not flatter, figures, and the record of a test.

Loading this room loads neither scikit-learn nor matplotlib; what needs them imports them when used.
"""

from gliomap.evaluation._figures import confusion_figure, learning_curves
from gliomap.evaluation._judge import FalseTumour, Judged, false_tumour, judge, pooled_metrics
from gliomap.evaluation._metrics import ClassMetrics, Interval, Metrics, interval_over_patients, metrics
from gliomap.evaluation._names import next_version, picture_name, picture_stem
from gliomap.evaluation._record import CaptureRecord, EvaluationRecord, FoldRecord, read_evaluation, record_tables
from gliomap.evaluation._responses import plot_responses
from gliomap.evaluation._sanity import (
    INSTRUMENTS,
    Instrument,
    SanityPoint,
    SanityRecord,
    SanityScore,
    read_sanity,
)
from gliomap.evaluation._sheet import contact_sheet, picture_of
from gliomap.evaluation._tables import (
    NOT_DEFINED,
    Table,
    class_table,
    confusion_table,
    interval_text,
    overall_table,
    summary_line,
    tumour_indices,
)

__all__ = [
    "INSTRUMENTS",
    "NOT_DEFINED",
    "CaptureRecord",
    "ClassMetrics",
    "EvaluationRecord",
    "FalseTumour",
    "FoldRecord",
    "Instrument",
    "Interval",
    "Judged",
    "Metrics",
    "SanityPoint",
    "SanityRecord",
    "SanityScore",
    "Table",
    "class_table",
    "confusion_figure",
    "confusion_table",
    "contact_sheet",
    "false_tumour",
    "interval_over_patients",
    "interval_text",
    "judge",
    "learning_curves",
    "metrics",
    "next_version",
    "overall_table",
    "picture_name",
    "picture_of",
    "picture_stem",
    "plot_responses",
    "pooled_metrics",
    "read_evaluation",
    "read_sanity",
    "record_tables",
    "summary_line",
    "tumour_indices",
]
