"""Captures: raw, white and dark frames of a mosaic sensor, read from TIFF files and checked."""

from gliomap.captures._capture import Capture, inspect_capture, read_capture, reference_age, untold_findings
from gliomap.captures._checks import check_raw, check_references, inspect_raw, inspect_references, require_frame
from gliomap.captures._exposures import LONGEST_MS, SHORTEST_MS, DarkPlan, Exposures, plan_darks
from gliomap.captures._finding import Finding, Severity
from gliomap.captures._frames import Frame, oldest_time, parse_frames, read_frame, read_frames, write_frame
from gliomap.captures._shadows import inspect_shadows, shadow_floor
from gliomap.captures._tiff import tiff_bytes

__all__ = [
    "LONGEST_MS",
    "SHORTEST_MS",
    "Capture",
    "DarkPlan",
    "Exposures",
    "Finding",
    "Frame",
    "Severity",
    "check_raw",
    "check_references",
    "inspect_capture",
    "inspect_raw",
    "inspect_references",
    "inspect_shadows",
    "oldest_time",
    "parse_frames",
    "plan_darks",
    "read_capture",
    "read_frame",
    "read_frames",
    "reference_age",
    "require_frame",
    "shadow_floor",
    "tiff_bytes",
    "untold_findings",
    "write_frame",
]
