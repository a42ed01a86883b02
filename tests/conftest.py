"""Settings and fixtures of the whole suite."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import ImageDraw

from support import shared

# Variables set for other work would decide where files are found, kept and sent, and how output is printed.
OWN = ("GLIOMAP_", "MLFLOW_", "AZURE", "OTEL_", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
for name in [name for name in os.environ if name.startswith(OWN) and name != "GLIOMAP_CI"]:
    del os.environ[name]
# Workers share the cores: without this, each library starts a thread per core in each worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Mirroring a run in MLflow takes seconds; the tests of tracking ask for it.
os.environ["MLFLOW_TRACKING_URI"] = "none"
# A process in the background ignores Ctrl-C, and so do its children; commands in tests react as in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine must not fail a property test. CI uses the same examples each time; other runs draw new ones.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="GLIOMAP_CI" in os.environ,
)
settings.load_profile("suite")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn while the test runs."""
    texts: list[str] = []
    original = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **rest: object) -> None:
        texts.append(text)
        original(self, xy, text, **rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return texts


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """What the thesis's code computed from the frames of `golden.formula_frames`; skips where it is absent."""
    with np.load(shared("data", "golden", "golden_dev.npz")) as archive:
        return dict(archive)
