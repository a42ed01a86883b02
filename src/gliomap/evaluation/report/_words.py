"""The report's summary in plain words, and the limits of what may be read into it."""

from __future__ import annotations

from gliomap._text import counted
from gliomap.evaluation._intervals import LEAST_INTERVAL, Interval, interval_over_patients
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation._tables import tumour_indices
from gliomap.evaluation.report._content import ReportedRun

__all__ = ["INTERVAL_RULE", "few_patients", "limits", "measured_patients", "summary"]

INTERVAL_RULE = (
    "Intervals are 95 % intervals of the mean over patients. With 20 patients or more they come from a bootstrap over patients"
    " (bias-corrected and accelerated), with 6 to"
    " 19 from Student's t; with fewer than 6 there is no interval, only the patients' values. Pixels are never the unit,"
    " because those of one patient resemble each other."
)


def summary(reported: ReportedRun) -> tuple[str, ...]:
    """Four or five sentences on which a reader can rely who reads nothing else."""
    record = reported.evaluation
    lines = [_who(reported), *_doubled(record), _accuracy(record)]
    lines += [_tumour(record, index) for index in tumour_indices(record.classes)]
    lines.append(_sure(record))
    return tuple(lines)


def few_patients(record: EvaluationRecord) -> bool:
    """Whether there are too few patients for an interval."""
    return measured_patients(record) < LEAST_INTERVAL


def measured_patients(record: EvaluationRecord) -> int:
    """Number of test patients with a labelled pixel that could be classified; the others enter no mean."""
    return sum(found.n > 0 for found in record.patients.values())


def limits(reported: ReportedRun) -> tuple[str, ...]:
    """What the figures do not show."""
    record = reported.evaluation
    lines = []
    if reported.synthetic:
        lines.append(
            "The patients are synthetic. The figures show that the procedure works, not how well it works on people."
        )
    lines += [
        *record.cautions,
        f"{counted(len(record.patients), 'patient')} from one study with one camera. Other hospitals, lamps, cameras and"
        " tumours were not tested.",
        "Only labelled pixels are counted. They were chosen where the tissue was clear, so the figures say little about"
        " borders, blood, glare and unlabelled tissue.",
        f"Every classified pixel gets one of {len(record.classes)} classes, even if it shows something else. A map never"
        " says 'no tumour'.",
        "The ground truth is only as good as the people who labelled it; this software did not check it.",
        "No human reader took part, no decision in an operation was made or measured, and no economic or clinical benefit is"
        " claimed.",
    ]
    return tuple(lines)


def _who(reported: ReportedRun) -> str:
    record = reported.evaluation
    kind = "synthetic patient" if reported.synthetic else "patient"
    tested = counted(len(record.patients), kind)
    if record.warning is not None:
        return (
            f"{reported.description} was trained and tested on pixels of the same {tested}. No tested patient was new to"
            " the model, so these figures do not show how it would perform on a new patient."
        )
    if len(record.folds) == 1:
        fold = record.folds[0]
        told = f"{reported.description} was trained on {counted(len(fold.trained), kind)} and tested on {tested}"
        if record.same_patient:
            return f"{told} ({', '.join(fold.tested)}), some of whom were also in training, so the figures overstate."
        return f"{told} ({', '.join(fold.tested)}) not used in training."
    sizes = sorted({len(fold.trained) for fold in record.folds})
    on = counted(sizes[0], kind) if len(sizes) == 1 else f"{sizes[0]} to {counted(sizes[-1], kind)}"
    each = "the one left out" if record.protocol == "lopo" else "those left out"
    return (
        f"{reported.description} was trained {len(record.folds)} times, each time on {on}, and tested on {each}. Each"
        f" of {tested} was tested once, by a model that had never seen that patient."
    )


def _doubled(record: EvaluationRecord) -> list[str]:
    """A sentence if some of the tested images were trained on under another name."""
    if not record.duplicates:
        return []
    return [f"But {'; '.join(record.duplicates)}: a model trained on one knew the other, so these figures overstate."]


def _accuracy(record: EvaluationRecord) -> str:
    found = [one.overall_accuracy for one in record.patients.values()]
    known = sorted(value for value in found if value is not None)
    interval = interval_over_patients(found)
    if interval is None:
        return "No labelled pixel could be classified, so there is nothing to measure."
    if len(known) == 1:
        return f"Of this patient's labelled pixels, {_per_cent(interval.mean)} got the right class."
    return (
        f"On average, {_per_cent(interval.mean)} of a patient's labelled pixels got the right class{_between(interval)}:"
        f" {_per_cent(known[0])} in the worst patient and {_per_cent(known[-1])} in the best."
    )


def _tumour(record: EvaluationRecord, index: int) -> str:
    name = record.classes.names[index - 1]
    found = [one.classes[index - 1].sensitivity for one in record.patients.values()]
    known = sorted(value for value in found if value is not None)
    interval = interval_over_patients(found)
    if interval is None:
        masked = record.pooled.classes[index - 1].not_classified
        why = f"Every pixel labelled {name} is masked" if masked else f"Nobody labelled {name} in the tested captures"
        return f"{why}: whether the model finds {name} was not measured."
    many = (
        "in the one patient who has it" if len(known) == 1 else f"on average in the {len(known)} patients who have it"
    )
    span = "" if len(known) == 1 else f", from {_per_cent(known[0])} to {_per_cent(known[-1])}"
    text = f"Of the pixels labelled {name}, {_per_cent(interval.mean)} were found {many}{_between(interval)}{span}"
    precision = record.pooled.classes[index - 1].precision
    if precision is None:
        return f"{text}; no labelled pixel was marked as {name}."
    return f"{text}. Of all labelled pixels marked as {name}, {_per_cent(precision)} had that label."


def _sure(record: EvaluationRecord) -> str:
    count, pixels = measured_patients(record), record.pooled.n
    without = len(record.patients) - count
    left = f" ({without} of {len(record.patients)} had no labelled pixel that could be classified)" if without else ""
    start = (
        f"How sure is this? {pixels:,} labelled pixels were counted, but what matters is the number of patients:"
        f" {count}{left}."
    )
    if count == 1:
        return f"{start} One patient is an example, not a measurement; results for the next may be quite different."
    if few_patients(record):
        return f"{start} That is too few for an interval, so the report gives only each patient's value."
    return f"{start} The intervals show where the mean over such patients may lie; single patients vary much more."


def _between(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f" (95 % interval {_per_cent(interval.low)} to {_per_cent(interval.high)})"


def _per_cent(value: float) -> str:
    """A share as text; 0 % and 100 % mean exactly none and all."""
    if 0.995 <= value < 1:
        return "more than 99\N{NO-BREAK SPACE}%"
    if 0 < value < 0.005:
        return "less than 1\N{NO-BREAK SPACE}%"
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
