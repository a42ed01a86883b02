"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from PIL import ImageDraw

# What somebody has set for their own work decides where things are sought, kept and sent, and how wide and bright they are printed.
OWN = ("GLIOMAP_", "MLFLOW_", "AZURE", "OTEL_", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
for name in [name for name in os.environ if name.startswith(OWN) and name != "GLIOMAP_CI"]:
    del os.environ[name]
# Two workers share the cores: without this each library starts a thread per core in each of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Mirroring a run in MLflow takes seconds; the tests of tracking ask for it.
os.environ["MLFLOW_TRACKING_URI"] = "none"
# What is started in the background ignores Ctrl-C and hands that on; the commands of the tests are as in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# That a machine is busy is no fault of a property. The gate gives a commit the same verdict each time; elsewhere each run looks anew.
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
