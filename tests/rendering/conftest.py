"""A scene to draw."""

from __future__ import annotations

import pytest

from rendering.scene import Scene, make_scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A small scene with a map. Shared by the session: change only a copy."""
    return make_scene(60, 90)
