"""Names of pictures in the thesis's scheme: Conv2DNet_ID0018C09_noCV_version_1.png."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

__all__ = ["PROTOCOL_TAGS", "next_version", "picture_name", "picture_stem"]

PROTOCOL_TAGS: Mapping[str, str] = MappingProxyType({"holdout": "noCV", "double-cv": "doubleCV"})
"""The thesis's names for its protocols; any other protocol keeps its name from the command line."""


def picture_stem(model_title: str, tested: str, protocol: str) -> str:
    """'Conv2DNet_ID0018C09_noCV'.

    Parameters
    ----------
    model_title
        The thesis's name of the model, 'Conv2DNet'.
    tested
        The test capture, or a word for several.
    protocol
        'holdout', …
    """
    tag = PROTOCOL_TAGS.get(protocol, protocol)
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-") for part in (model_title, tested, tag))


def picture_name(stem: str, version: int, kind: str = "") -> str:
    """'STEM_version_1.png'; `kind` distinguishes further pictures of the same test: 'STEM_version_1_overlay.png'.

    Parameters
    ----------
    stem
        From `picture_stem`.
    version
        From `next_version`, which skips the numbers of existing pictures.
    kind
        'overlay', …; empty for the map itself.
    """
    return f"{stem}_version_{version}{'_' + kind if kind else ''}.png"


def next_version(folder: Path, stems: Iterable[str]) -> int:
    """The lowest number, from 1, that no picture with these stems in the folder has; 1 if the folder does not exist."""
    if not folder.is_dir():
        return 1
    wanted = set(stems)
    taken = set()
    for path in folder.iterdir():
        found = re.match(r"(.+)_version_(\d+)(?:_[a-z]+)?\.png$", path.name)
        if found and found[1] in wanted:
            taken.add(int(found[2]))
    return next(number for number in range(1, len(taken) + 2) if number not in taken)
