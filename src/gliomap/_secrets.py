"""What no message, log or file may hold."""

from __future__ import annotations

import os
import re

__all__ = ["without_secrets"]

_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AZURE_CLIENT_SECRET")


def without_secrets(text: str) -> str:
    """A text without passwords of URIs and without the secrets of this process's environment."""
    text = re.sub(r"//[^/\s]+@", "//", text)
    text = re.sub(r"(?i)([?&](?:sig|token|password|key)=)[^&\s]+", r"\1…", text)
    for variable in _VARIABLES:
        secret = os.environ.get(variable)
        if secret:
            text = text.replace(secret, "…")
    return text
