"""A map in numbers: how much of it each class covers."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gliomap._fields import Fields
from gliomap.engine._map import TissueMap

__all__ = ["ClassShare", "class_shares"]


class ClassShare(Fields):
    """One class in the map."""

    index: int = Field(ge=1, description="Value in the labels; channel index − 1 of the probabilities.")
    name: str
    colour: tuple[int, int, int] = Field(description="RGB in pictures.")
    pixels: int = Field(ge=0, description="0 means 'not found', which is not 'absent'.")
    share: float | None = Field(description="Share of the classified pixels, 0…1; null if none is classified.")
    mean_confidence: float | None = Field(
        description="Mean over its pixels of the highest probability; null if it has none."
    )


def class_shares(tissue: TissueMap, palette: str = "classic") -> tuple[ClassShare, ...]:
    """Each class of the map, including those without pixels.

    Raises
    ------
    TaxonomyError
        An unknown palette.
    """
    colours = tissue.classes.colours(palette)
    flat, slots = tissue.labels.ravel(), len(tissue.classes) + 1
    pixels = np.bincount(flat, minlength=slots)
    confidence = np.bincount(flat, weights=tissue.confidence.ravel(), minlength=slots)
    classified = int(pixels[1:].sum())
    shares = []
    for kind in tissue.classes.classes:
        mine = int(pixels[kind.index])
        red, green, blue = (int(value) for value in colours[kind.index])
        shares.append(
            ClassShare(
                index=kind.index,
                name=kind.name,
                colour=(red, green, blue),
                pixels=mine,
                share=mine / classified if classified else None,
                mean_confidence=float(confidence[kind.index]) / mine if mine else None,
            )
        )
    return tuple(shares)
