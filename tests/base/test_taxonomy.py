"""Codes become classes, unknown codes are refused, known ones outside the classes are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomap.errors import TaxonomyError
from gliomap.taxonomy import CODES, THESIS_CLASSES, ClassSet, TissueClass, code_name


def test_the_classes_of_the_thesis() -> None:
    codes = [[0, 101, 200], [220, 221, 301], [302, 320, 310]]
    assert THESIS_CLASSES.from_codes(codes).tolist() == [[0, 1, 2], [2, 2, 3], [4, 5, 0]]
    assert THESIS_CLASSES.names == ("healthy", "tumour", "venous", "arterial", "dura mater")
    assert THESIS_CLASSES.ignored(codes) == {310: 1}


def test_unknown_codes_are_refused_by_name() -> None:
    with pytest.raises(TaxonomyError, match=r"not in the taxonomy: 7, 999\."):
        THESIS_CLASSES.from_codes([0, 7, 101, 999])


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0, *CODES]), min_size=1, max_size=30))
def test_every_pixel_is_classified_unlabelled_or_ignored(codes: list[int]) -> None:
    classes = THESIS_CLASSES.from_codes(codes)
    ignored = sum(THESIS_CLASSES.ignored(codes).values())
    assert np.count_nonzero(classes) + codes.count(0) + ignored == len(codes)


def test_palettes() -> None:
    classic, safe = THESIS_CLASSES.colours(), THESIS_CLASSES.colours("safe")
    green, red, blue, cyan, magenta = [0, 255, 0], [255, 0, 0], [0, 0, 255], [0, 255, 255], [255, 0, 255]
    assert classic.tolist() == [[0, 0, 0], green, red, blue, cyan, magenta]
    assert classic.shape == safe.shape == (6, 3)
    # Published by Okabe and Ito: bluish green, vermilion, blue, sky blue, reddish purple.
    published = ["009e73", "d55e00", "0072b2", "56b4e9", "cc79a7"]
    assert [bytes(colour).hex() for colour in safe[1:]] == published
    with pytest.raises(TaxonomyError, match="classic, safe"):
        THESIS_CLASSES.colours("rainbow")


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        ([(2, (101,))], "indices"),
        ([(1, (101,)), (2, (101,))], "two classes"),
        ([(1, (999,))], "not in the taxonomy"),
    ],
)
def test_a_class_set_that_contradicts_itself_is_refused(classes: list[tuple[int, tuple[int, ...]]], fault: str) -> None:
    with pytest.raises(TaxonomyError, match=fault):
        ClassSet("odd", tuple(TissueClass(i, "x", codes, (0, 0, 0), (0, 0, 0)) for i, codes in classes))


def test_codes_have_names() -> None:
    assert code_name(0) == "unlabelled"
    assert code_name(320) == "dura mater"
    assert code_name(5) == "unknown code 5"
