"""Names of pictures, as the thesis named them: Conv2DNet_ID0018C09_noCV_version_1.png."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

__all__ = ["PROTOCOL_TAGS", "next_version", "picture_name", "picture_stem"]

PROTOCOL_TAGS: Mapping[str, str] = MappingProxyType({"holdout": "noCV", "double-cv": "doubleCV"})
"""What the thesis called its protocols; any other is named as the command line names it."""


def picture_stem(model_title: str, tested: str, protocol: str) -> str:
    """'Conv2DNet_ID0018C09_noCV'.

    Parameters
    ----------
    model_title
        The model as the thesis names it, 'Conv2DNet'.
    tested
        The test capture, or a word for several.
    protocol
        'holdout', …
    """
    tag = PROTOCOL_TAGS.get(protocol, protocol)
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-") for part in (model_title, tested, tag))


def picture_name(stem: str, version: int, kind: str = "") -> str:
    """'STEM_version_1.png'; `kind` tells further pictures of the same test apart: 'STEM_version_1_overlay.png'.

    Parameters
    ----------
    stem
        From `picture_stem`.
    version
        Counted up where pictures are there already.
    kind
        'overlay', …; empty for the map itself.
    """
    return f"{stem}_version_{version}{'_' + kind if kind else ''}.png"


def next_version(folder: Path, stems: Iterable[str]) -> int:
    """The first number from 1 on that no picture of these stems in the folder has; 1 for a folder that is not there."""
    if not folder.is_dir():
        return 1
    wanted = set(stems)
    taken = set()
    for path in folder.iterdir():
        found = re.match(r"(.+)_version_(\d+)(?:_[a-z]+)?\.png$", path.name)
        if found and found[1] in wanted:
            taken.add(int(found[2]))
    return next(number for number in range(1, len(taken) + 2) if number not in taken)
