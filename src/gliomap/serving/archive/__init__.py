"""The archive: every answer is on disk before it is sent.

It has one file per case, which is authoritative; an index for searching, completed from the files if it lacks cases; and a
log of who asked what, each line chained to the one before.
"""

from gliomap.serving.archive._archive import Archive
from gliomap.serving.archive._case import Case, CaseRecord, KeptCase
from gliomap.serving.archive._index import CaseRow
from gliomap.serving.archive._reader import ArchiveReader, Verified

__all__ = ["Archive", "ArchiveReader", "Case", "CaseRecord", "CaseRow", "KeptCase", "Verified"]
