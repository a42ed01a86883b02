"""`gliomap serve models:/NAME@champion` serves the version that was promoted last."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bundles.makers import small_bundle, small_sensor, window_network
from gliomap.tracking import ModelReference, promote, register_bundle, store_of_study
from serving.servers import RunningServer
from support import wait_until


@pytest.mark.slow
def test_a_running_service_takes_over_a_promotion_on_sighup(
    serve: Callable[..., RunningServer], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = small_bundle(tmp_path / "other", network=window_network(seed=7), sensor=small_sensor()).path
    store = store_of_study(tmp_path)
    first, second = (register_bundle(path, store, "map") for path in (bundle, other))
    promote(store, ModelReference("map", 1), unevaluated=True)
    server = serve("--tracking", store.uri, path=Path("models:/map@champion"))
    with server.client() as client:
        served = client.model()
        assert (served.bundle, served.version) == (first.identity, "models:/map/1")
        promote(store, ModelReference("map", 2), unevaluated=True)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: client.model().bundle == second.identity, server.process, server.logged)
        assert client.model().version == "models:/map/2"
