"""Packages that load their modules late have every name that they promise."""

from __future__ import annotations

from importlib import import_module

import pytest

LATE = ("learning", "tracking", "workflows", "serving", "deploy.azure")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of azure-ai-ml's parts, about one another
@pytest.mark.parametrize("room", LATE)
def test_every_promised_name_is_found(room: str) -> None:
    package = import_module(f"gliomap.{room}")
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert missing == []


@pytest.mark.parametrize("room", LATE)
def test_any_other_name_is_an_attribute_error(room: str) -> None:
    package = import_module(f"gliomap.{room}")
    with pytest.raises(AttributeError, match=rf"module 'gliomap.{room}' has no attribute 'nothing_of_the_kind'"):
        _ = package.nothing_of_the_kind
