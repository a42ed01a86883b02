"""Ask a service that was just started whether it is ready and what it serves; uses only the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.request

__all__ = ["answers", "served_identity"]

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Requests to loopback never go through a proxy."""


def answers(url: str) -> bool:
    """Whether `url` answers with status 200."""
    try:
        with _OPENER.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (http.client.HTTPException, OSError):
        return False


def served_identity(url: str, key: str) -> str:
    """Identity of the bundle served at `url`."""
    request = urllib.request.Request(f"{url}/v1/model", headers={"Authorization": f"Bearer {key}"})
    with _OPENER.open(request, timeout=30) as answer:
        return str(json.load(answer)["bundle"])
