"""Removal of secrets, which no message, log or file may contain."""

from __future__ import annotations

import os
import re

__all__ = ["without_secrets"]

_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AZURE_CLIENT_SECRET")


def without_secrets(text: str) -> str:
    """The text without passwords in URIs and without secrets from this process's environment."""
    text = re.sub(r"//[^/\s]+@", "//", text)
    text = re.sub(r"(?i)([?&](?:sig|token|password|key)=)[^&\s]+", r"\1…", text)
    for variable in _VARIABLES:
        secret = os.environ.get(variable)
        if secret:
            text = text.replace(secret, "…")
    return text
