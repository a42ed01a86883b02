"""Preprocessing alone, in NumPy."""

from __future__ import annotations

from typing import Any

from gliomap.phantom import RenderedPatient
from gliomap.preprocessing import References, preprocess


def test_preprocess(benchmark: Any, frame: RenderedPatient, references: References) -> None:
    benchmark.pedantic(lambda: preprocess(frame.raw, references), rounds=30, warmup_rounds=2)
