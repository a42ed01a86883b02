"""Strips of a frame's rows: every row is taken once, from where the network saw all that it looks at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gliomap.engine._rows import FrameRows

FRAMES = st.builds(
    lambda cube, tile, top, below, reach: FrameRows(top + cube * tile + below, cube, top, tile, reach),
    cube=st.integers(1, 400),
    tile=st.integers(1, 5),
    top=st.integers(0, 9),
    below=st.integers(0, 9),
    reach=st.integers(0, 6),
)
THREADS = st.integers(1, 64)


@given(rows=FRAMES, threads=THREADS)
def test_every_row_is_taken_once(rows: FrameRows, threads: int) -> None:
    taken = [row for strip in rows.strips(threads) for row in range(strip.taken_first, strip.taken_last)]
    assert taken == list(range(rows.cube))


@given(rows=FRAMES, threads=THREADS)
def test_a_row_that_is_taken_sees_no_cut(rows: FrameRows, threads: int) -> None:
    for strip in rows.strips(threads):
        assert 0 <= strip.first <= strip.taken_first < strip.taken_last <= strip.last <= rows.cube
        assert strip.first == 0 or strip.taken_first - strip.first >= rows.reach
        assert strip.last == rows.cube or strip.last - strip.taken_last >= rows.reach


@given(rows=FRAMES, threads=THREADS)
def test_strips_are_of_one_height_and_compute_little_twice(rows: FrameRows, threads: int) -> None:
    strips = rows.strips(threads)
    heights = {strip.last - strip.first for strip in strips}
    assert len(heights) == 1
    assert heights.pop() * len(strips) <= rows.cube * 9 / 8 + len(strips)


@given(rows=FRAMES.filter(lambda rows: rows.cube >= 64 * max(1, rows.reach)), threads=st.integers(1, 4))
def test_no_thread_waits_for_another_s_strip(rows: FrameRows, threads: int) -> None:
    assert len(rows.strips(threads)) % threads == 0


@given(rows=FRAMES, threads=THREADS)
def test_a_strip_lies_in_the_frame(rows: FrameRows, threads: int) -> None:
    for strip in rows.strips(threads):
        part = rows.of_frame(strip)
        assert 0 <= part.start < part.stop <= rows.frame
        sizes = rows.sizes(strip.last - strip.first)
        assert part.stop - part.start == sizes["frame_rows"]
        assert part.start + rows.top == rows.top + strip.first * rows.tile


def test_the_thesis_s_frame() -> None:
    rows = FrameRows(frame=1088, cube=217, top=0, tile=5, reach=3)
    first, second, _, last = rows.strips(2)
    assert (first.first, first.last, first.taken_first, first.taken_last) == (0, 59, 0, 56)
    assert (second.first, second.last, second.taken_first, second.taken_last) == (53, 112, 56, 109)
    assert (last.first, last.last, last.taken_first, last.taken_last) == (158, 217, 161, 217)
    assert rows.of_frame(second) == slice(265, 560)
    assert rows.sizes() == {"frame_rows": 1088, "rows": 217}
    assert [len(rows.strips(threads)) for threads in (1, 2, 3, 4, 5, 16)] == [4, 4, 3, 4, 4, 4]
