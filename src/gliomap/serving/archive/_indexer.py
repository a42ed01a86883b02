"""Adds rows to the index on a separate thread, so that no answer waits for a database that does not respond."""

from __future__ import annotations

import logging
import threading
from collections import deque

from gliomap.errors import ArchiveError
from gliomap.serving.archive._index import CaseRow, Index

__all__ = ["Indexer"]

logger = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_RETRY_S = 10.0
_END_S = 5.0
_MOST_WAITING = 100_000
"""Rows that may wait for a database; beyond that the oldest are left to the next start, which adds missing rows."""


class Indexer:
    """Adds rows to an index and finally closes it. A database that is away for a while loses no row."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._changed = threading.Condition()
        self._waiting: deque[CaseRow] = deque(maxlen=_MOST_WAITING)
        self._given = self._tried = 0
        self._hangs = self._ending = False
        self._thread = threading.Thread(target=self._work, name="gliomap-index", daemon=True)
        self._thread.start()

    def add(self, row: CaseRow) -> None:
        """Add a row; usually it is in the index when this returns. A hanging database is waited for only once, briefly."""
        with self._changed:
            self._waiting.append(row)
            self._given = number = self._given + 1
            self._changed.notify_all()
            if self._hangs or self._changed.wait_for(lambda: self._tried >= number, _PATIENCE_S):
                return
            self._hangs = True
        logger.error("the index does not respond; cases are stored without it and added once it does")

    def close(self) -> None:
        """Add the waiting rows and close the index, unless it hangs."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._index.close()

    def _work(self) -> None:
        failing = False
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ending or self._given > self._tried, _RETRY_S if self._waiting else None
                )
                rows, number, ending = list(self._waiting), self._given, self._ending
            fault = self._add(rows)
            if fault is not None and not failing:
                logger.error("cases are stored without the index, and added when it is back: %s", fault)
            elif fault is None and failing:
                logger.info("the index is back and has all cases")
            failing = fault is not None
            with self._changed:
                self._tried = number
                if fault is None:
                    self._hangs = False
                    while len(self._waiting) > self._given - number:
                        self._waiting.popleft()
                self._changed.notify_all()
            if ending:
                return

    def _add(self, rows: list[CaseRow]) -> ArchiveError | None:
        try:
            self._index.add(rows)
        except ArchiveError as error:
            return error
        return None
