"""The table of models × protocols on the realistic phantom: the results that each protocol promises for each model.

`make protocols` makes the phantom, trains and tests whatever is missing in its folder, and prints the table. If it is
stopped, it continues from there.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gliomap.evaluation import EvaluationRecord, read_evaluation
from gliomap.learning import MODELS
from gliomap.phantom import make_phantom
from gliomap.workflows import RunRecord, evaluate, open_run, train

PROTOCOLS = ("pooled", "double-cv", "lopo")
PATIENTS, DIFFICULTY = 13, "realistic"

logger = logging.getLogger(__name__)


def main() -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=Path("build/protocols"), help="folder for the study and its runs"
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="models to train")
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, help="protocols to run")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    study = asked.folder / "study"
    if not study.exists():
        make_phantom(study, patients=PATIENTS, seed=0, difficulty=DIFFICULTY)
    print("\n".join(_table(study, asked.models, asked.protocols)))
    return 0


def _table(study: Path, models: list[str], protocols: list[str]) -> Iterator[str]:
    yield "| model | protocol | overall accuracy | balanced | macro F1 | tumour sensitivity | calibration error | training |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for model in models:
        for protocol in protocols:
            run, found = _measured(study, model, protocol)
            yield _row(run, found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    logger.info("peak memory of this process: %.0f MB", peak)


def _measured(study: Path, model: str, protocol: str) -> tuple[RunRecord, EvaluationRecord]:
    """Train and test whatever is missing; an interrupted training continues."""
    folder = study.parent / "runs" / f"{model}-{protocol}"
    started = time.monotonic()
    if not folder.exists():
        begun = folder.with_name(f"running_{folder.name}").exists()
        train(study, model=model, protocol=protocol, final=False, out=folder, resume=begun)
    metrics = folder / "evaluation" / "metrics.json"
    if not metrics.exists():
        evaluate(folder)
    logger.info("%s: %.0f s", folder.name, time.monotonic() - started)
    return open_run(folder).record, read_evaluation(metrics)


def _row(run: RunRecord, found: EvaluationRecord) -> str:
    """Means over patients, each counting once, so that protocols can be compared."""
    named = ("overall accuracy", "balanced accuracy", "macro F1", "tumour sensitivity")
    means = [found.intervals[name] for name in named]
    cells = ["" if one is None else f"{one.mean:.3f}" for one in means]
    error = found.pooled.calibration_error
    cells.append("" if error is None else f"{error:.3f}")
    return f"| {found.model} | `{found.protocol}` | {' | '.join(cells)} | {run.seconds:.0f} s |"


if __name__ == "__main__":
    sys.exit(main())
