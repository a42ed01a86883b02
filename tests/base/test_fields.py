"""What is wrong with a field, in one line."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from gliomap._fields import Fields, field_faults


class _Leaf(Fields):
    colour: str = ""


class _Tree(Fields):
    leaves: tuple[_Leaf, ...] = ()
    named: dict[str, _Leaf | None] = Field(default={})
    height: int = 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"heigth": 1}, "heigth: unknown key (did you mean height?)"),
        ({"leaves": [{}, {"color": ""}]}, "leaves.1.color: unknown key (did you mean colour?)"),
        ({"named": {"oak": {"colours": ""}}}, "named.oak.colours: unknown key (did you mean colour?)"),
        ({"xyz": 1}, "xyz: unknown key"),
        (
            {"xyz": 1, "height": "x"},
            "height: Input should be a valid integer, unable to parse string as an integer; and 1 more",
        ),
    ],
)
def test_faults_fit_one_line_and_suggest_the_key_that_was_meant(content: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Tree.model_validate(content)
    assert field_faults(caught.value) == told
