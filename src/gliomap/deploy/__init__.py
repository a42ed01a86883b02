"""Carrying a bundle to where frames are: container images, a container on this machine, Kubernetes."""

from __future__ import annotations

__all__: list[str] = []
