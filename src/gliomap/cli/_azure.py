"""`gliomap azure …`: imports the modules of its verbs, which adds them to the application."""

from __future__ import annotations

from gliomap.cli import _azure_check, _azure_data, _azure_endpoint, _azure_run

__all__ = ["MODULES"]

MODULES = (_azure_check, _azure_data, _azure_run, _azure_endpoint)
