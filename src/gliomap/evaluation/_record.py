"""metrics.json: the results of an evaluation and what they were measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gliomap._fields import Fields
from gliomap._files import write_json
from gliomap.evaluation._distance import DistanceBin
from gliomap.evaluation._intervals import LEAST_INTERVAL, Interval
from gliomap.evaluation._judge import FalseTumour
from gliomap.evaluation._metrics import Metrics
from gliomap.evaluation._reading import read_record
from gliomap.evaluation._tables import (
    Table,
    class_table,
    confusion_table,
    decimal,
    interval_text,
    overall_table,
    tumour_indices,
)
from gliomap.rendering import DISCLAIMER
from gliomap.taxonomy import ClassSet

__all__ = ["CaptureRecord", "EvaluationRecord", "EvaluationTimes", "FoldRecord", "read_evaluation", "record_tables"]


class CaptureRecord(Fields):
    """One tested capture."""

    patient: str
    metrics: Metrics
    false_tumour: FalseTumour | None = Field(description="Only if nobody labelled tumour in this capture.")
    distance: tuple[DistanceBin, ...] = Field(
        default=(),
        description="Accuracy by distance from this capture's nearest training pixel; empty if it has none.",
    )
    reference_distance: tuple[DistanceBin, ...] = Field(
        default=(),
        description="The same from the nearest pixel from which the capture's labels grew, if the study names these.",
    )
    predictions: str = Field(description="File beside metrics.json: rows, columns, true, predicted, probabilities.")
    pictures: tuple[str, ...] = Field(description="Files beside metrics.json.")


class EvaluationTimes(Fields):
    """Duration of the stages of a test in seconds, divided as in the thesis."""

    preparing_test_data: float = Field(description="Reading cubes and ground truth.")
    predicting: float = Field(description="The graph on whole captures.")
    generating_maps: float = Field(description="Drawing maps and overlays.")


class FoldRecord(Fields):
    """One fold of the protocol, tested by its own model."""

    name: str = Field(description="Empty if there is only one fold.")
    trained: tuple[str, ...] = Field(description="Patients from whose pixels the weights were learned.")
    validated: tuple[str, ...] = Field(description="Patients used to decide when to stop, or to calibrate.")
    tested: tuple[str, ...]
    graph: str = Field(description="SHA-256 of the cube.onnx that was tested.")
    metrics: Metrics
    seconds: float = Field(description="Wall time of the training.")
    times: EvaluationTimes | None = Field(default=None, description="Times of its test; null in older evaluations.")
    notes: tuple[str, ...] = ()


class EvaluationRecord(Fields):
    """Content of RUN/evaluation/metrics.json.

    Metrics that are not defined are null and enter no mean. `patients` and `pooled` count each
    labelled pixel of their test captures once; `intervals` counts each patient once.
    """

    format: Literal[1] = 1
    gliomap: str = Field(description="Version that made the evaluation.")
    run: str = Field(description="Name of the run.")
    model: str = Field(description="The thesis's name of the model, 'Conv2DNet'.")
    graph: str | None = Field(
        description="SHA-256 of the cube.onnx that was tested; a bundle of this run holds the same. Null if each"
        " fold has its own."
    )
    protocol: str
    warning: str | None = Field(default=None, description="Why figures of this protocol overstate.")
    split: str = Field(description="Fingerprint of the split, verified against the study before testing.")
    same_patient: tuple[str, ...] = Field(description="Patients in both training and test; if any, figures overstate.")
    duplicates: tuple[str, ...] = Field(
        default=(),
        description="Tested images that were also trained on under another patient; if any, figures overstate.",
    )
    classes: ClassSet
    version: int = Field(ge=1, description="Number in the names of the pictures.")
    pooled: Metrics = Field(description="Over all test captures together.")
    patients: dict[str, Metrics]
    intervals: dict[str, Interval | None] = Field(description="Metric → mean and interval over the test patients.")
    folds: tuple[FoldRecord, ...] = Field(default=(), description="Training and test patients, fold by fold.")
    captures: dict[str, CaptureRecord]
    pictures: tuple[str, ...] = Field(
        description="Pictures of all captures together: confusion matrix, learning curves."
    )
    notice: str = DISCLAIMER

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why the figures overstate, in sentences; empty if neither tested pixels nor their neighbours were trained on."""
        said = [] if self.warning is None else [self.warning]
        if self.same_patient:
            said.append(f"In both training and test: {', '.join(self.same_patient)}. Their figures overstate.")
        if self.duplicates:
            said.append(f"In training and test under two names: {'; '.join(self.duplicates)}. These figures overstate.")
        return tuple(said)

    def save(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_evaluation(path: Path) -> EvaluationRecord:
    """Read a metrics.json.

    Raises
    ------
    RunError
        The file does not exist, or this version does not understand it.
    """
    return read_record(
        path,
        EvaluationRecord,
        "evaluation",
        make="Evaluate the run first: gliomap evaluate RUN.",
        again="Evaluate the run again.",
    )


def record_tables(record: EvaluationRecord) -> tuple[Table, ...]:
    """The evaluation as text tables: overall, by class, means over patients, confusion matrix, falsely marked tumour."""
    classes = record.classes
    groups = {capture: one.metrics for capture, one in record.captures.items()}
    if len(record.captures) > len(record.patients):
        groups |= {f"patient {patient}": found for patient, found in record.patients.items()}
    if len(groups) > 1:
        groups["all together"] = record.pooled
    tables = [overall_table(groups, classes), class_table(record.pooled, classes)]
    if len(record.patients) > 1:
        rows = tuple((name, interval_text(found)) for name, found in record.intervals.items())
        few = all(found is None or found.low is None for found in record.intervals.values())
        what = f"each one's value (an interval needs {LEAST_INTERVAL} patients)" if few else "95 % interval"
        tables.append(Table(f"Mean over patients, {what}", ("metric", "value"), rows, "  "))
    tables.append(confusion_table(record.pooled, classes))
    marked = _false_tumour_table(record)
    return (*tables, marked) if marked.rows and tumour_indices(classes) else tuple(tables)


def _false_tumour_table(record: EvaluationRecord) -> Table:
    rows = tuple(
        (
            capture,
            f"{found.labelled_marked:,} of {found.labelled:,}",
            decimal(found.labelled_share),
            f"{found.frame_marked:,} of {found.frame:,}",
            decimal(found.frame_share),
        )
        for capture, one in record.captures.items()
        if (found := one.false_tumour) is not None
    )
    heads = ("capture", "labelled pixels", "share", "pixels of the frame", "share")
    return Table("Marked as tumour where nobody labelled any", heads, rows, " rrrr")
