"""The archive: what was answered is on disk before the answer leaves.

One file a case, which is the truth; an index to search in, which is made anew from the files where it lacks some; and
a log of who asked what, each line chained to the one before.
"""

from gliomap.serving.archive._archive import Archive
from gliomap.serving.archive._case import Case, CaseRecord, KeptCase
from gliomap.serving.archive._index import CaseRow
from gliomap.serving.archive._reader import ArchiveReader, Verified

__all__ = ["Archive", "ArchiveReader", "Case", "CaseRecord", "CaseRow", "KeptCase", "Verified"]
