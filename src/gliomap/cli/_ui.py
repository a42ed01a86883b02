"""A verb's output: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from textwrap import TextWrapper
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from gliomap._progress import Track, silent

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Ui"]

_UNBROKEN = 24
"""The longest word of a table that is never broken, however narrow the terminal."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Ui:
    """The options of every verb (`overwrite`: of every verb that writes), and the two output streams.

    Attributes
    ----------
    as_json
        Results as JSON on stdout; errors as one line of JSON on stderr.
    quiet
        No progress and no notes on stderr, only warnings and errors.
    threads
        Limit for every library, or None for each library's own choice.
    verbose
        Debug notes, and tracebacks of errors.
    overwrite
        Replace outputs that are already there.
    """

    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout, errors as JSON on stderr.")] = (
        False
    )
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")] = False
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=4096, metavar="N", help="Use at most N processor threads.")
    ] = None
    verbose: Annotated[bool, typer.Option("--verbose", help="More notes, and the traceback of an error.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are already there.")] = False

    @cached_property
    def track(self) -> Track:
        """How progress is shown: bars on a terminal, lines in a log, nothing with --quiet or with --json in a log."""
        from gliomap.cli._progress_bars import Bars, Lines

        if self.quiet:
            return silent
        if sys.stderr.isatty():
            return Bars(self.errors)
        return silent if self.as_json else Lines(self.say)

    @cached_property
    def out(self) -> Console:
        """Console on stdout."""
        return _console(sys.stdout)

    @cached_property
    def errors(self) -> Console:
        """Console on stderr."""
        return _console(sys.stderr)

    def say(self, text: str) -> None:
        """Print a note on stderr, unless --quiet is given."""
        if not self.quiet:
            self.errors.print(text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, even with --quiet, about a problem that does not end the work."""
        self.errors.print(f"warning: {text}", soft_wrap=True)

    def result(self, content: Mapping[str, Any] | Sequence[Any], *, event: bool = False) -> None:
        """Print JSON on stdout; the caller does so only with --json.

        A verb prints one document at its end. A verb that keeps running prints each `event` on its own line, so that a reader
        can separate them.
        """
        indent = None if event else 2
        text = json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            text = json.dumps(content, indent=indent, allow_nan=False)
        _write_line(text)

    def text(self, *lines: str) -> None:
        """Print lines on stdout unchanged; paths are never broken."""
        for line in lines:
            self.out.print(line, soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        title: str | None = None,
        numbers: str = "",
        spare: Sequence[str] = (),
    ) -> None:
        """Print a table on stdout; `numbers` holds one letter per column, 'r' for a right-aligned one.

        Numbers are never broken over two lines, where they would read as another number. If the terminal is too narrow, the
        `spare` columns are left out, in their order, and the first column stays whole; otherwise lines exceed its width.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
            collapse_padding=True,
        )
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if spare:
            kept = _kept(columns, cells, spare, self.out.width)
            columns, cells = [columns[one] for one in kept], [[row[one] for one in kept] for row in cells]
            numbers = "".join(numbers[one : one + 1] or " " for one in kept)
        for index, column in enumerate(columns):
            right = numbers[index : index + 1] == "r"
            longest = max(
                len(word) for text in (column, *(row[index] for row in cells)) for word in text.split() or [""]
            )
            least = longest if spare and index == 0 else min(longest, _UNBROKEN)
            table.add_column(column, justify="right" if right else "left", overflow="fold", min_width=least)
        for row in cells:
            table.add_row(*map(Text, row))
        self.out.print(table, crop=False)

    def facts(self, rows: Sequence[tuple[str, object]]) -> None:
        """Print names and values on stdout, one pair per line; rows without a value are left out.

        Long values are wrapped and indented; a path or a hash is never broken.
        """
        told = {name: str(value) for name, value in rows if value not in (None, "")}
        indent = max(map(len, told), default=0) + 2
        wrapped = TextWrapper(max(self.out.width - indent, _UNBROKEN), break_long_words=False, break_on_hyphens=False)
        for name, value in told.items():
            first, *more = wrapped.wrap(value) or [""]
            self.text(f"{name:{indent}}{first}", *(" " * indent + line for line in more))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Logging and thread limits for the duration of one verb."""
        if self.threads is not None:
            # The libraries read these when they are first imported, which happens later: verbs import late.
            os.environ.update({variable: str(self.threads) for variable in _THREAD_VARIABLES})
        handler = _Notes(self)
        handler.setLevel(logging.DEBUG if self.verbose else logging.WARNING if self.quiet else logging.INFO)
        ours, warned = logging.getLogger("gliomap"), logging.getLogger("py.warnings")
        before = ours.level, ours.propagate
        ours.setLevel(logging.DEBUG)
        ours.propagate = False
        ours.addHandler(handler)
        logging.captureWarnings(True)
        quieted = handler if self.verbose else logging.NullHandler()
        warned.addHandler(quieted)
        try:
            yield
        finally:
            warned.removeHandler(quieted)
            logging.captureWarnings(False)
            ours.removeHandler(handler)
            ours.setLevel(before[0])
            ours.propagate = before[1]


def _kept(columns: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[str], width: int) -> list[int]:
    """The columns that a table keeps so that it is not wider than the terminal."""
    widths = [max(map(len, (column, *(row[index] for row in cells)))) for index, column in enumerate(columns)]
    kept = list(range(len(columns)))
    for name in spare:
        if sum(widths[one] + 2 for one in kept) <= width:
            break
        kept.remove(columns.index(name))
    return kept


class _Notes(logging.Handler):
    """Log records as lines on stderr, above any bar."""

    def __init__(self, ui: Ui) -> None:
        super().__init__()
        self._ui = ui

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        prefix = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        self._ui.errors.print(prefix + record.getMessage(), soft_wrap=True)


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    class Patient(Console):
        """A console whose reader may go away without ending the work."""

        def on_broken_pipe(self) -> None:
            """Discard the rest of the output."""
            to_nowhere(stream)

    return Patient(file=stream, highlight=False, markup=False, emoji=False)


def _write_line(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        to_nowhere(sys.stdout)


def to_nowhere(stream: IO[str]) -> None:
    """Point a stream whose reader has gone (`| head`) at /dev/null, so that later writes are harmless."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
