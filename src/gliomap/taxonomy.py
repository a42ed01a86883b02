"""Tissue codes, classes and colours, as data.

A *code* (101, 221, …) is what a neurosurgeon assigned to a pixel; a *class* (1…C) is what a model
predicts. A `ClassSet` defines which codes make up each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from gliomap.errors import TaxonomyError

__all__ = [
    "CODES",
    "FEW_PIXELS",
    "THESIS_CLASSES",
    "UNLABELLED",
    "ClassSet",
    "TissueClass",
    "code_name",
    "palette_names",
]

Colour = tuple[int, int, int]

UNLABELLED = 0
"""Code and class of a pixel that is unlabelled, or that a model could not classify."""

FEW_PIXELS = 10
"""A class with fewer labelled pixels is reported: too few to learn it or to evaluate it."""

CODES: Mapping[int, str] = MappingProxyType(
    {
        100: "healthy, undefined",
        101: "healthy grey matter",
        102: "healthy white matter",
        200: "glioblastoma",
        201: "mixed glioma, grade IV",
        202: "glioblastoma, methylated MGMT",
        203: "glioma, 1p19q co-deleted",
        220: "oligodendroglial glioma, grade III",
        221: "astroglial glioma, grade III",
        222: "mixed glioma, grade III",
        230: "ependymoma",
        240: "ganglioglioma",
        241: "meningioma",
        250: "metastasis, lung",
        251: "metastasis, breast",
        252: "metastasis, skin",
        253: "metastasis, renal",
        254: "metastasis, gastrointestinal",
        255: "metastasis, prostate",
        256: "metastasis, ovarian",
        257: "metastasis, colon",
        270: "necrosis",
        300: "blood, generic",
        301: "venous blood vessel",
        302: "arterial blood vessel",
        303: "blood vessel, undefined",
        310: "blood clot",
        320: "dura mater",
        321: "arachnoid mater",
        322: "pia mater",
        330: "skin",
        331: "bone",
        400: "background",
        410: "gauze",
        411: "gauze, second kind",
        412: "gauze, third kind",
        420: "surgical element",
        421: "surgical element, second kind",
        422: "surgical element, third kind",
        423: "surgical element, fourth kind",
        424: "surgical element, fifth kind",
        425: "surgical element, sixth kind",
        426: "surgical element, seventh kind",
        427: "surgical element, eighth kind",
        440: "specular reflection",
    }
)
"""Every code, with its meaning, of the database that grew out of the thesis's data set."""


@dataclass(frozen=True, slots=True)
class TissueClass:
    """One class that a model predicts.

    Attributes
    ----------
    index
        1…C; 0 stands for unlabelled.
    name
        Lower case, as shown in legends and tables.
    codes
        The codes that belong to it.
    colour
        RGB 0…255, the field's customary colour.
    safe_colour
        RGB 0…255 from the colour-blind-safe palette of Okabe and Ito (2008),
        https://jfly.uni-koeln.de/color/.
    """

    index: int
    name: str
    codes: tuple[int, ...]
    colour: Colour
    safe_colour: Colour


@dataclass(frozen=True, slots=True)
class ClassSet:
    """The classes of a model, in index order.

    Raises
    ------
    TaxonomyError
        Indices that are not 1…C in order, or a code that belongs to two classes or is not in the taxonomy.
    """

    name: str
    classes: tuple[TissueClass, ...]

    def __post_init__(self) -> None:
        indices = [tissue.index for tissue in self.classes]
        if indices != list(range(1, len(indices) + 1)):
            raise TaxonomyError(
                f"class set {self.name!r}", f"its indices are {indices}", "Number the classes 1…C in order."
            )
        codes = [code for tissue in self.classes for code in tissue.codes]
        doubled = sorted({code for code in codes if codes.count(code) > 1})
        if doubled:
            raise TaxonomyError(
                f"class set {self.name!r}", f"codes {doubled} belong to two classes", "Assign each code to one class."
            )
        unknown = sorted(set(codes) - CODES.keys())
        if unknown:
            raise TaxonomyError(
                f"class set {self.name!r}", f"codes {unknown} are not in the taxonomy", "See gliomap.taxonomy.CODES."
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in index order, without 'unlabelled'."""
        return tuple(tissue.name for tissue in self.classes)

    @property
    def code_to_class(self) -> dict[int, int]:
        """Code → class index, for the codes of these classes only."""
        return {code: tissue.index for tissue in self.classes for code in tissue.codes}

    def from_codes(self, codes: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Turn an array of codes into class indices of the same shape, uint8.

        Unlabelled pixels and known codes outside these classes become 0 (`ignored` counts the latter).

        Raises
        ------
        TaxonomyError
            A code that is not in the taxonomy.
        """
        values = np.asarray(codes)
        unknown = self.unknown(values)
        if unknown:
            raise TaxonomyError(
                "tissue codes",
                f"holds codes that are not in the taxonomy: {', '.join(f'{code:g}' for code in unknown)}",
                "Correct the map; `gliomap study check` shows where they are.",
            )
        lookup = np.zeros(max(CODES) + 1, np.uint8)
        for code, index in self.code_to_class.items():
            lookup[code] = index
        return lookup[values.astype(np.intp)]

    def ignored(self, codes: npt.ArrayLike) -> dict[int, int]:
        """Known codes in the array that belong to none of these classes → number of pixels."""
        values, counts = np.unique(np.asarray(codes), return_counts=True)
        mine = self.code_to_class
        return {
            int(value): int(count)
            for value, count in zip(values, counts, strict=True)
            if int(value) in CODES and int(value) not in mine
        }

    @staticmethod
    def unknown(codes: npt.ArrayLike) -> list[float]:
        """Values in the array that are neither 0 nor a code of the taxonomy, sorted."""
        values = np.unique(np.asarray(codes))
        return [float(value) for value in values if value != UNLABELLED and float(value) not in CODES]

    def colours(self, palette: str = "classic") -> npt.NDArray[np.uint8]:
        """Lookup table (C+1, 3), RGB; row 0, unlabelled, is black.

        Raises
        ------
        TaxonomyError
            A palette other than 'classic' or 'safe'.
        """
        if palette not in palette_names():
            raise TaxonomyError(f"palette {palette!r}", "is not known", f"Choose one of: {', '.join(palette_names())}.")
        chosen = [tissue.colour if palette == "classic" else tissue.safe_colour for tissue in self.classes]
        return np.array([(0, 0, 0), *chosen], np.uint8)


def palette_names() -> tuple[str, ...]:
    """Palette names that `ClassSet.colours` accepts."""
    return ("classic", "safe")


def code_name(code: int) -> str:
    """Meaning of a code; 'unknown code N' for a code that is not in the taxonomy."""
    return "unlabelled" if code == UNLABELLED else CODES.get(code, f"unknown code {code}")


THESIS_CLASSES = ClassSet(
    name="thesis-5",
    classes=(
        TissueClass(1, "healthy", (101,), (0, 255, 0), (0, 158, 115)),
        TissueClass(2, "tumour", (200, 220, 221), (255, 0, 0), (213, 94, 0)),
        TissueClass(3, "venous", (301,), (0, 0, 255), (0, 114, 178)),
        TissueClass(4, "arterial", (302,), (0, 255, 255), (86, 180, 233)),
        TissueClass(5, "dura mater", (320,), (255, 0, 255), (204, 121, 167)),
    ),
)
"""The five classes of the thesis."""
