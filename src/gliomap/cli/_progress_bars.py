"""Progress of long work: bars on a terminal, occasional lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["Bars", "Lines"]

T = TypeVar("T")

QUIET_SECONDS = 2.0
"""Work shorter than this leaves no line in a log."""
LINE_EVERY_SECONDS = 20.0


def _length(items: Iterable[T], total: int | None) -> int | None:
    if total is None and isinstance(items, Sized):
        return len(items)
    return total


class Bars:
    """A `Track` that draws one rich bar per piece of work, nested work below its parent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._open = 0

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the items unchanged and draw how many have been taken."""
        progress = self._enter()
        task = progress.add_task(description, total=_length(items, total))
        try:
            for item in items:
                yield item
                progress.advance(task)
        finally:
            progress.remove_task(task)
            self._leave(progress)

    def _enter(self) -> Progress:
        if self._progress is None:
            self._progress = _make_progress(self._console)
            self._progress.start()
        self._open += 1
        return self._progress

    def _leave(self, progress: Progress) -> None:
        self._open -= 1
        if self._open == 0:
            progress.stop()
            self._progress = None


def _make_progress(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class Lines:
    """A `Track` for a stderr that is not a terminal: a line every 20 s, and one at the end of work over 2 s."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the items unchanged and report progress from time to time."""
        length = _length(items, total)
        of = "" if length is None else f"/{length}"
        begun = last = self._clock()
        done = 0
        for item in items:
            yield item
            done += 1
            now = self._clock()
            if now - last >= LINE_EVERY_SECONDS:
                self._say(f"{description}: {done}{of} after {now - begun:.0f} s")
                last = now
        if self._clock() - begun >= QUIET_SECONDS:
            self._say(f"{description}: done, {done}{of} in {self._clock() - begun:.0f} s")
