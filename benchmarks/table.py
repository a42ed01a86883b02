"""The table: each measurement beside its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.machine import THREADS

__all__ = ["Record", "Row", "report", "rows_table"]

Record = dict[str, Any]
Row = tuple[str, str, str, bool | None]

ENGINES = {
    "test_frame[onnxruntime-f32]": ("ONNX Runtime", 2.0, 450),
    "test_frame[openvino-f32]": ("OpenVINO, float32", 1.2, 750),
    "test_frame[openvino-reduced]": ("OpenVINO, reduced precision", None, None),
}
MIRRORED = {"short": "training of 25 epochs", "thesis": "the thesis's training, 100 epochs"}
TITLES = {
    "calibrate": "raw → float, − dark, × gain",
    "tiles": "crop, mosaic → cube, correction",
    "normalise": "normalisation",
    "edges": "rows that a strip leaves out",
    "network": "network",
    "outputs": "labels, confidence, probabilities",
    "layout": "changes of layout by ONNX Runtime",
}


def report(measured: Mapping[str, Record], machine: str) -> tuple[str, bool]:
    """Markdown, and whether every target was reached; `machine` comes from `describe`."""
    rows = [*_engines(measured), *_thesis(measured), *_equality(measured), *_process(measured), *_tracking(measured)]
    parts = [
        "# Benchmarks",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` on {machine}.",
        f"One phantom frame of 1088×2048 pixels (cube 217×409×25), references prepared, {THREADS} threads; medians. "
        "The limit is 2.1 GFLOP at the rate of a 1024×1024×1024 float32 matrix product in NumPy, measured in turn "
        "with each engine; the lowest of these counts. Memory in huge pages, as in the image "
        "(`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`).",
        rows_table(rows),
        "## Where the time goes",
        _stages(measured),
    ]
    return "\n\n".join(part for part in parts if part) + "\n", all(row[3] is not False for row in rows)


def rows_table(rows: Sequence[Row]) -> str:
    """Each measurement beside its target, as Markdown."""
    return _table(("what", "measured", "must reach", "reached"), [_shown(row) for row in rows])


def _engines(measured: Mapping[str, Record]) -> list[Row]:
    rows: list[Row] = []
    # If other load slows the machine while one engine runs, the limit measured with another engine still applies.
    limit = min((measured[name]["extra_info"]["limit_s"] for name in ENGINES if name in measured), default=0.0)
    for name, (title, most, _) in ENGINES.items():
        if name not in measured:
            continue
        extra, seconds = measured[name]["extra_info"], measured[name]["stats"]["median"]
        ratio = seconds / limit
        rows.append((f"frame → map, {title}", f"{seconds * 1e3:.1f} ms", "", None))
        told = f"{ratio:.2f} (limit {limit * 1e3:.1f} ms)"
        rows.append(("as a multiple of the limit", told, f"≤ {most}" if most else "", ratio <= most if most else None))
        if most is None:
            rows.append(("labels equal to float32", f"{extra['agreement']:.4%}", "", None))
    return rows


def _thesis(measured: Mapping[str, Record]) -> list[Row]:
    if "test_thesis_procedure" not in measured:
        return []
    record = measured["test_thesis_procedure"]
    seconds = record["stats"]["median"]
    rows: list[Row] = [("frame → map, the thesis's procedure", f"{seconds:.1f} s", "", None)]
    for name, found in record["extra_info"]["frame_s"].items():
        title, _, least = ENGINES[f"test_frame[{name}-f32]"]
        times = seconds / found
        told = f"{times:.0f} times (in turn: {found * 1e3:.1f} ms)"
        rows.append((f"faster than that, {title}", told, f"≥ {least}", times >= least if least else None))
    return rows


def _equality(measured: Mapping[str, Record]) -> list[Row]:
    rows: list[Row] = []
    for name, title in (("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")):
        found = measured.get(f"test_dense_is_patch_by_patch[{name}]")
        if found:
            extra = found["extra_info"]
            told = f"{extra['different']} of {extra['pixels']:,} labels differ (ties: {extra['ties']})"
            rows.append((f"dense = patch by patch, {title}", told, "0", extra["different"] == 0))
    return rows


def _process(measured: Mapping[str, Record]) -> list[Row]:
    rows: list[Row] = []
    if "test_memory_of_classify" in measured:
        peak = measured["test_memory_of_classify"]["extra_info"]["peak_mb"]
        rows.append(("peak memory of `gliomap classify`", f"{peak:.0f} MB", "< 400 MB", peak < 400))
    if "test_import" in measured:
        seconds = measured["test_import"]["extra_info"]["import_s"]
        rows.append(("`import gliomap.engine`", f"{seconds:.2f} s", "< 0.6 s", seconds < 0.6))
    if "test_preprocess" in measured:
        seconds = measured["test_preprocess"]["stats"]["median"]
        rows.append(("preprocessing alone, NumPy", f"{seconds * 1e3:.0f} ms", "< 100 ms", seconds < 0.1))
    return rows


def _tracking(measured: Mapping[str, Record]) -> list[Row]:
    rows: list[Row] = []
    if "test_list_of_500_runs" in measured:
        seconds = measured["test_list_of_500_runs"]["extra_info"]["list_s"]
        rows.append(("`gliomap runs list` of 500 runs", f"{seconds:.2f} s", "< 1 s", seconds < 1))
    for name, title in MIRRORED.items():
        found = measured.get(f"test_training_with_and_without_its_mirror[{name}]")
        if found:
            plain, added, ratio = (found["extra_info"][one] for one in ("plain_s", "added_s", "ratio"))
            what = f"{title} ({plain:.0f} s) with its mirror in MLflow, as a multiple of without"
            rows.append((what, f"{ratio:.3f} ({added:+.2f} s)", "< 1.03", ratio < 1.03))
    return rows


def _stages(measured: Mapping[str, Record]) -> str:
    rows: list[Sequence[str]] = []
    for name, (title, _, _) in ENGINES.items():
        if name in measured:
            stages = measured[name]["extra_info"]["stages_s"]
            rows += [(title, stage, f"{seconds * 1e3:.2f}") for stage, seconds in stages.items()]
    graph = measured.get("test_graph_stages")
    if graph:
        stages = graph["extra_info"]["stages_s"]
        ordered = [*TITLES, *sorted(set(stages) - set(TITLES))]
        rows += [
            ("one strip alone, ONNX Runtime", TITLES.get(stage, stage), f"{stages[stage] * 1e3:.2f}")
            for stage in ordered
            if stage in stages
        ]
    return _table(("engine", "stage", "ms"), rows) if rows else ""


def _shown(row: Row) -> Sequence[str]:
    what, told, target, reached = row
    return what, told, target, "" if reached is None else "yes" if reached else "**no**"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))
