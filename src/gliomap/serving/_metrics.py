"""Metrics of the service for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from gliomap import __version__
from gliomap.engine import TissueMap
from gliomap.serving._model import ServedModel

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Metrics of one service in a registry of their own, so that one process can hold several services."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        within: dict[str, Any] = {"registry": self.registry}
        ProcessCollector(**within)
        self.requests = Counter("gliomap_requests", "Answered requests.", ["method", "route", "status"], **within)
        self.seconds = Histogram(
            "gliomap_request_seconds", "From the first byte to the answer.", ["route"], buckets=_SECONDS, **within
        )
        self.stages = Histogram(
            "gliomap_stage_seconds", "Stages of a classification.", ["stage"], buckets=_SECONDS, **within
        )
        self.maps = Counter("gliomap_maps", "Classified frames.", ["kind", "outcome"], **within)
        self.not_classified = Gauge(
            "gliomap_not_classified_share", "Share of the last map that could not be classified.", **within
        )
        self.queue = Gauge("gliomap_queue_length", "Frames waiting or being classified.", **within)
        self.admitted = Gauge("gliomap_requests_under_way", "Requests that hold a place.", **within)
        self.references = Gauge("gliomap_references", "Stored pairs of references.", **within)
        self.streams = Gauge("gliomap_streams", "Open streams.", **within)
        self.dropped = Counter("gliomap_stream_dropped_frames", "Frames of streams dropped for newer ones.", **within)
        self.stream_refused = Counter(
            "gliomap_stream_refused_frames", "Frames of streams answered with a problem instead of a map.", **within
        )
        self.model = Info("gliomap_model", "The served model.", **within)

    def serves(self, model: ServedModel) -> None:
        """Publish the served model."""
        self.model.info(
            {"name": model.name, "model_version": model.version, "bundle": model.identity, "gliomap": __version__}
        )

    def classified(self, kind: str, tissue: TissueMap, timings: Mapping[str, float]) -> None:
        """Count a map."""
        self.maps.labels(kind, "map" if tissue.blanked is None else "blank").inc()
        self.not_classified.set(1 - float(np.count_nonzero(tissue.labels)) / tissue.labels.size)
        for stage, seconds in timings.items():
            self.stages.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
