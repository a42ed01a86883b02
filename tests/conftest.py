"""Settings of the whole suite."""

from __future__ import annotations

import os

# Two workers share the cores: without this each library starts a thread per core in each of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Mirroring a run in MLflow takes seconds; the tests of tracking ask for it.
os.environ["MLFLOW_TRACKING_URI"] = "none"
