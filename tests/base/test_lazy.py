"""Packages that load their modules lazily provide every name in their `__all__`."""

from __future__ import annotations

from importlib import import_module

import pytest

LAZY = ("learning", "tracking", "workflows", "serving", "deploy.azure")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised within azure-ai-ml
@pytest.mark.parametrize("module", LAZY)
def test_every_exported_name_is_found(module: str) -> None:
    package = import_module(f"gliomap.{module}")
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert missing == []


@pytest.mark.parametrize("module", LAZY)
def test_an_unknown_name_raises_attribute_error(module: str) -> None:
    package = import_module(f"gliomap.{module}")
    with pytest.raises(AttributeError, match=rf"module 'gliomap.{module}' has no attribute 'nothing_of_the_kind'"):
        _ = package.nothing_of_the_kind
