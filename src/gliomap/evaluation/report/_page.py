"""Make the page: build the parts of a run and fill the templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from gliomap import __version__
from gliomap.errors import MissingExtraError, UsageError
from gliomap.evaluation._canvas import ink_on
from gliomap.evaluation._record import EvaluationRecord
from gliomap.evaluation.report._charts import curves_chart, strip_chart
from gliomap.evaluation.report._comparison import compare_runs
from gliomap.evaluation.report._content import ReportedRun
from gliomap.evaluation.report._distance import distance_tables
from gliomap.evaluation.report._pictures import capture_panels, confidence_ramp, css_colour, swatches
from gliomap.evaluation.report._probabilities import operating_part, reliability_chart
from gliomap.evaluation.report._sanity import sanity_part
from gliomap.evaluation.report._tables import (
    class_intervals,
    class_pooled,
    confusion,
    false_tumour,
    folds,
    labelled_pixels,
    overall,
    patients,
)
from gliomap.evaluation.report._words import INTERVAL_RULE, few_patients, limits, measured_patients, summary
from gliomap.rendering import DISCLAIMER
from gliomap.studies import PROTOCOLS

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_report"]

_SECTIONS = {
    "summary": "In plain words",
    "protocol": "Protocol and model",
    "study": "Study and split",
    "metrics": "Figures with their intervals",
    "patients": "Patient by patient",
    "confusion": "Confusion matrix",
    "probabilities": "Probabilities: can they be believed?",
    "false-tumour": "Tumour marked where nobody labelled any",
    "distance": "Accuracy against the distance from known pixels",
    "maps": "Maps of the test captures",
    "training": "Training and times",
    "sanity": "Sanity instruments",
    "reproduce": "Reproduce it",
    "limits": "Limits",
}


def render_report(
    runs: Sequence[ReportedRun], *, palette: str = "safe", compare: bool = False, made: datetime | None = None
) -> str:
    """Make one self-contained HTML page.

    Parameters
    ----------
    runs
        One or more runs, in the order in which they are shown.
    palette
        Colours of the maps: 'safe' or 'classic'.
    compare
        Compare the first run with each of the others, patient by patient.
    made
        The time that the page shows; now by default.

    Raises
    ------
    UsageError
        There are no runs, or a comparison has only one run, or its runs have different classes or no common patient.
    MissingExtraError
        jinja2 or matplotlib is not installed.
    """
    if not runs:
        raise UsageError("report", "there is no run to report", "Name at least one.")
    if compare and len(runs) < 2:
        raise UsageError("--compare", "needs two runs or more", "Name another run, or leave it out.")
    template = _environment().get_template("report.html.j2")
    when = made or datetime.now().astimezone()
    first = runs[0].evaluation
    one = len(runs) == 1
    return template.render(
        title=f"Evaluation of {first.model} by {first.protocol}" if one else f"Evaluation of {len(runs)} runs",
        subtitle=f"Run {first.run}; {_protocol(first)}" if one else "; ".join(run.title for run in runs),
        notice=DISCLAIMER,
        version=__version__,
        made=f"{when:%Y-%m-%d %H:%M %Z}".strip(),
        runs=[_chapter(run, f"run{number}", palette) for number, run in enumerate(runs, 1)],
        comparison=compare_runs(runs) if compare else None,
    )


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing a report", "report") from error
    found = Environment(
        loader=PackageLoader("gliomap.evaluation.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.filters["shade"] = _shade
    # The only text that is not escaped: charts drawn by this package, and its own style sheet.
    found.filters["svg"] = lambda svg, alt, share: Markup(_told(svg, alt, share))
    found.globals["style_sheet"] = Markup(_style())
    return found


def _told(svg: str, alt: str, share: float) -> str:
    """The chart with its description for screen readers, and its width in the column."""
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" style="width:{100 * share:.0f}%"', 1)


def _style() -> str:
    return files("gliomap.evaluation.report").joinpath("templates", "style.css").read_text(encoding="utf-8")


def _shade(share: float) -> str:
    """A background from white to dark blue with legible ink, as CSS."""
    ground = [round(255 + (end - 255) * share) for end in (16, 62, 110)]
    return f"background:{css_colour(ground)};color:{ink_on([value / 255 for value in ground])}"


def _chapter(run: ReportedRun, anchor: str, palette: str) -> dict[str, Any]:
    """The values for the template of one run."""
    record = run.evaluation
    captures = [
        capture_panels(name, one, run.maps.get(name), record.classes, palette) for name, one in record.captures.items()
    ]
    parts: dict[str, Any] = {
        "anchor": anchor,
        "title": run.title,
        "record": record,
        "summary": summary(run),
        "protocol": _protocol(record),
        "model": run.model,
        "study": run.study,
        "hints": run.hints,
        "notes": run.notes,
        "labelled": labelled_pixels(run),
        "folds": folds(record),
        "interval_rule": INTERVAL_RULE,
        "few": few_patients(record),
        "measured": measured_patients(record),
        "overall": overall(record),
        "class_pooled": class_pooled(record),
        "class_intervals": class_intervals(record),
        "patients": patients(record),
        "strip": strip_chart(record, f"{anchor}-strip"),
        "confusion": confusion(record),
        "reliability": reliability_chart(record, f"{anchor}-reliability"),
        "operating": operating_part(record, f"{anchor}-operating"),
        "false_tumour": false_tumour(record),
        "distances": distance_tables(record),
        "captures": captures,
        "maps_missing": [one.capture for one in captures if not one.panels],
        "swatches": swatches(record.classes, palette),
        "ramp": _gradient(),
        "times": run.times,
        "curves": curves_chart(run.histories, f"{anchor}-curves"),
        "commands": run.commands,
        "environment": run.environment,
        "limits": limits(run),
        **sanity_part(run, anchor),
    }
    missing = {
        "probabilities": not (parts["reliability"] or parts["operating"]),
        "false-tumour": parts["false_tumour"] is None,
        "distance": not parts["distances"],
    }
    parts["sections"] = {key: name for key, name in _SECTIONS.items() if not missing.get(key, False)}
    return parts


def _protocol(record: EvaluationRecord) -> str:
    """Describe how the study was divided."""
    known = PROTOCOLS.get(record.protocol)
    return "a protocol unknown to this version" if known is None else known.description


def _gradient() -> str:
    """The confidence ramp as CSS."""
    stops = ", ".join(css_colour(colour) for colour in confidence_ramp(np.linspace(0, 1, 6)))
    return f"linear-gradient(to right, {stops})"
