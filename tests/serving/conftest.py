"""Real servers on loopback, each started as a user starts it and ended by its process id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from serving.servers import RunningServer, Scene, engine_labels, make_scene, start


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that takes frames."""
    return small_bundle(
        tmp_path_factory.mktemp("served") / "bundle", network=window_network(), sensor=small_sensor()
    ).path


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A frame with its references."""
    return make_scene(small_sensor())


@pytest.fixture(scope="session")
def expected(bundle: Path, scene: Scene) -> npt.NDArray[np.uint8]:
    """The labels that the engine itself gives."""
    return engine_labels(bundle, scene)


@pytest.fixture(scope="session")
def server(bundle: Path) -> Iterator[RunningServer]:
    """One server for all tests that do not change it."""
    with start(bundle, "--max-references", "64") as running:
        yield running


@pytest.fixture
def serve(bundle: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start a server for one test; arguments are flags."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def begin(*flags: str, path: Path = bundle, env: dict[str, str] | None = None) -> RunningServer:
            return stack.enter_context(start(path, *flags, env=env))

        yield begin
