"""Strips of a frame: each row of the map is taken once, from a strip where the network saw its whole neighbourhood."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.makers import small_sensor
from gliomap.bundles import frame_graph_record
from gliomap.engine._rows import FrameRows, Span, Strip, free_rows
from gliomap.sensors import ActiveArea

FRAMES = st.builds(
    lambda cube, tile, top, below, reach: FrameRows(top + cube * tile + below, cube, top, tile, reach),
    cube=st.integers(1, 400),
    tile=st.integers(1, 5),
    top=st.integers(0, 9),
    below=st.integers(0, 9),
    reach=st.integers(0, 6),
)
THREADS = st.integers(1, 64)


def rows_given(strip: Strip) -> dict[int, int]:
    """Rows of a strip that come from the frame → their rows in the frame."""
    return {one.in_strip + row: one.in_frame + row for one in strip.given for row in range(one.count)}


@given(rows=FRAMES, threads=THREADS)
def test_every_row_of_the_map_is_taken_once(rows: FrameRows, threads: int) -> None:
    strips = rows.strips(threads)
    taken = [row for strip in strips for one in strip.taken for row in range(one.in_frame, one.in_frame + one.count)]
    assert sorted(taken) == (list(range(rows.cube)) if strips else [])


@given(rows=FRAMES, threads=THREADS)
def test_a_taken_row_sees_the_same_rows_as_in_the_whole_frame(rows: FrameRows, threads: int) -> None:
    assert rows.reach is not None
    for strip in rows.strips(threads):
        lies = rows_given(strip)
        for one in strip.taken:
            assert one.count > 0
            for row in range(one.count):
                # Row r of a strip's map is computed from its rows r to r + 2 · reach.
                seen = [lies.get(one.in_strip + row + number) for number in range(2 * rows.reach + 1)]
                around = [one.in_frame + row + number for number in range(-rows.reach, rows.reach + 1)]
                assert seen == [where if 0 <= where < rows.cube else None for where in around]


@given(rows=FRAMES, threads=THREADS)
def test_strips_have_one_height_and_compute_few_rows_twice(rows: FrameRows, threads: int) -> None:
    strips, reach = rows.strips(threads), rows.reach or 0
    made = sum(strip.height - 2 * reach for strip in strips)
    assert len({strip.height for strip in strips}) <= 1
    assert made <= rows.cube + 2 * reach + len(strips)


@given(rows=FRAMES.filter(lambda rows: rows.cube >= 32 * max(1, rows.reach)), threads=st.integers(1, 4))
def test_the_number_of_strips_is_a_multiple_of_the_threads(rows: FrameRows, threads: int) -> None:
    assert len(rows.strips(threads)) % threads == 0


@given(rows=FRAMES, threads=THREADS)
def test_a_strip_lies_within_the_frame_and_has_fewer_rows(rows: FrameRows, threads: int) -> None:
    """The graph recognises a whole frame by its number of rows."""
    for strip in rows.strips(threads):
        height = rows.sizes(strip)["frame_rows"]
        assert height < rows.frame
        for one in strip.given:
            inside = rows.without_top(one.of_strip)
            assert rows.top <= inside.start < inside.stop <= height
            assert rows.top <= rows.without_top(one.of_frame).start < rows.without_top(one.of_frame).stop <= rows.frame
        if strip.is_part:
            part = rows.with_top(strip.given[0].of_frame)
            assert 0 <= part.start < part.stop <= rows.frame
            assert part.stop - part.start == height


def test_strips_of_the_frame_of_the_thesis() -> None:
    rows = FrameRows(frame=1088, cube=217, top=0, tile=5, reach=3)
    edges, first, *_, last = rows.strips(2)
    assert edges == Strip(34, (Span(3, 0, 14), Span(17, 203, 14)), (Span(0, 0, 11), Span(17, 206, 11)))
    assert first == Strip(34, (Span(0, 8, 34),), (Span(0, 11, 28),))
    assert last == Strip(34, (Span(0, 175, 34),), (Span(1, 179, 27),))
    assert rows.with_top(first.given[0].of_frame) == slice(40, 210)
    assert rows.sizes() == {"frame_rows": 1088, "rows": 217, "map_rows": 217}
    assert rows.sizes(first) == {"frame_rows": 170, "rows": 34, "map_rows": 28}
    assert [len(rows.strips(threads)) for threads in (1, 2, 3, 4, 5, 16)] == [8, 8, 9, 8, 5, 9]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_graph_with_wrong_rows_at_strip_edges_has_no_strips(threads: int) -> None:
    assert FrameRows(frame=1088, cube=217, top=0, tile=5, reach=None).strips(threads) == ()


@pytest.mark.parametrize(
    ("version", "window", "reach"), [(2, 1, 0), (2, 7, None), (3, 1, 0), (3, 7, 3)], ids=lambda value: str(value)
)
def test_only_graphs_of_format_3_give_right_rows_at_strip_edges(version: int, window: int, reach: int | None) -> None:
    """In format 2, only a model of single spectra does, as it has no neighbourhood to cut."""
    sensor = replace(small_sensor(), pattern=(1, 4), active_area=ActiveArea(1, 2, 18, 20))
    graph = frame_graph_record(sensor, 5, version)
    manifest = cast("Any", SimpleNamespace(graphs={"frame": graph}, model=SimpleNamespace(window=window)))
    assert free_rows(manifest, sensor) == FrameRows(frame=20, cube=18, top=1, tile=1, reach=reach)


def test_the_rows_of_a_graph_of_format_1_are_fixed() -> None:
    graph = frame_graph_record(small_sensor(), 5, 1)
    manifest = cast("Any", SimpleNamespace(graphs={"frame": graph}, model=SimpleNamespace(window=7)))
    assert free_rows(manifest, small_sensor()) is None
