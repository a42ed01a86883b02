"""Evaluation: metrics that do not flatter, figures, and the record of a test.

Importing this package loads neither scikit-learn nor matplotlib; the code that needs them imports them when it runs.
"""

from gliomap.evaluation._comparison import Comparison, compare_over_patients, equal_names
from gliomap.evaluation._distance import DistanceBin, distance_accuracy, pooled_distances
from gliomap.evaluation._figures import confusion_figure, learning_curves
from gliomap.evaluation._intervals import Interval, interval_over_patients
from gliomap.evaluation._judge import FalseTumour, Judged, false_tumour, judge, pooled_metrics
from gliomap.evaluation._metrics import ClassMetrics, Metrics, ReliabilityBin, metrics
from gliomap.evaluation._names import next_version, picture_name, picture_stem
from gliomap.evaluation._operating import TumourCurve, WorkingPoint, tumour_curve
from gliomap.evaluation._record import (
    CaptureRecord,
    EvaluationRecord,
    EvaluationTimes,
    FoldRecord,
    read_evaluation,
    record_tables,
)
from gliomap.evaluation._responses import plot_responses
from gliomap.evaluation._runs_figure import runs_figure
from gliomap.evaluation._sanity import (
    INSTRUMENTS,
    Instrument,
    SanityPoint,
    SanityRecord,
    SanityScore,
    read_sanity,
)
from gliomap.evaluation._sheet import contact_sheet, picture_of
from gliomap.evaluation._summary import EvaluationSummary, TumourFigures, summarise, tumour_figures
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
    "Comparison",
    "DistanceBin",
    "EvaluationRecord",
    "EvaluationSummary",
    "EvaluationTimes",
    "FalseTumour",
    "FoldRecord",
    "Instrument",
    "Interval",
    "Judged",
    "Metrics",
    "ReliabilityBin",
    "SanityPoint",
    "SanityRecord",
    "SanityScore",
    "Table",
    "TumourCurve",
    "TumourFigures",
    "WorkingPoint",
    "class_table",
    "compare_over_patients",
    "confusion_figure",
    "confusion_table",
    "contact_sheet",
    "distance_accuracy",
    "equal_names",
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
    "pooled_distances",
    "pooled_metrics",
    "read_evaluation",
    "read_sanity",
    "record_tables",
    "runs_figure",
    "summarise",
    "summary_line",
    "tumour_curve",
    "tumour_figures",
    "tumour_indices",
]
