"""What a service is doing, from two readings of its metrics: the view of `gliomap bench serve --live`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from gliomap.serving._client import Client

__all__ = ["Activity", "Rate", "follow"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened, and how long it took on average.

    Attributes
    ----------
    name
        Name of a route or a stage.
    per_second, mean_ms
        Rate and mean time within the interval; the mean is None if nothing happened.
    """

    name: str
    per_second: float
    mean_ms: float | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened between two readings.

    Attributes
    ----------
    model
        Name of the served model.
    seconds
        Length of the interval.
    maps, refused, dropped
        Maps, answers that asked the client to try again, and dropped frames of streams, per second.
    blank
        Blank maps per second.
    queue, under_way, streams, references
        Values of the second reading.
    not_classified
        Share of the last map that was not classified.
    cores, memory_mb
        Processor time per second, and resident memory; 0 if the service's system reports none.
    routes, stages
        Rates of requests by route, and of classifications by stage.
    """

    model: str
    seconds: float
    maps: float
    refused: float
    dropped: float
    blank: float
    queue: int
    under_way: int
    streams: int
    references: int
    not_classified: float
    cores: float
    memory_mb: float
    routes: tuple[Rate, ...]
    stages: tuple[Rate, ...]


def follow(client: Client, every: float = 1.0) -> Iterator[Activity]:
    """Read a service's metrics repeatedly, without end.

    Raises
    ------
    MachineError
        The service can no longer be reached.
    """
    before, at = _Look(client.metrics()), time.monotonic()
    while True:
        time.sleep(every)
        after, now = _Look(client.metrics()), time.monotonic()
        yield _between(before, after, now - at)
        before, at = after, now


class _Look:
    """All metrics at one moment."""

    def __init__(self, text: str) -> None:
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def sum(self, name: str, **wanted: str) -> float:
        """Sum of all samples of a name that carry these labels."""
        labels = frozenset(wanted.items())
        return sum(value for (found, has), value in self._values.items() if found == name and labels <= has)

    def values_of(self, name: str, label: str) -> list[str]:
        """Values of a label, sorted."""
        return sorted({dict(has)[label] for found, has in self._values if found == name})


def _between(before: _Look, after: _Look, seconds: float) -> Activity:
    def rate(name: str, **labels: str) -> float:
        return max(0.0, after.sum(name, **labels) - before.sum(name, **labels)) / seconds

    def timed(name: str, label: str) -> tuple[Rate, ...]:
        found = []
        for value in after.values_of(f"{name}_count", label):
            count, total = (rate(f"{name}_{part}", **{label: value}) for part in ("count", "sum"))
            if count:
                found.append(Rate(value, count, 1e3 * total / count))
        return tuple(sorted(found, key=lambda one: -one.per_second * (one.mean_ms or 0)))

    return Activity(
        model=next(iter(after.values_of("gliomap_model_info", "name")), ""),
        seconds=seconds,
        maps=rate("gliomap_maps_total"),
        refused=sum(rate("gliomap_requests_total", status=status) for status in ("429", "503")),
        dropped=rate("gliomap_stream_dropped_frames_total"),
        blank=rate("gliomap_maps_total", outcome="blank"),
        queue=int(after.sum("gliomap_queue_length")),
        under_way=int(after.sum("gliomap_requests_under_way")),
        streams=int(after.sum("gliomap_streams")),
        references=int(after.sum("gliomap_references")),
        not_classified=after.sum("gliomap_not_classified_share"),
        cores=rate("process_cpu_seconds_total"),
        memory_mb=after.sum("process_resident_memory_bytes") / 2**20,
        routes=timed("gliomap_request_seconds", "route"),
        stages=timed("gliomap_stage_seconds", "stage"),
    )
