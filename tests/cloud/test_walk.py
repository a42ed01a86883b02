"""Steps 1 to 6 of the thesis with `gliomap azure`, as in docs/azure.md; step 7 is in `test_trainings.py`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cloud.conftest import Azure
from gliomap.cli import run


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_the_first_six_steps_of_the_thesis(azure: Azure, small_study: Path, tmp_path: Path) -> None:
    # Steps 1 to 4: connect, upload, create the data assets, download.
    assert azure("check")["missing"] == []
    azure("upload", small_study)
    assert azure("dataset", "create", "study")[0]["name"] == "study"
    azure("download", "study", tmp_path / "back")
    # Step 5: train on a cluster.
    trained = azure("train", "study", "--compute", "cpu", "--model", "lda", "--test-patient", "ID0003", "-o", "run")
    assert trained["model"].endswith(":1")
    assert json.loads(Path("run/run.json").read_text())["status"] == "done"
    assert Path("run/evaluation/metrics.json").is_file()
    # Step 6: deploy the model and use it.
    deployed = azure("deploy", trained["model"], "--endpoint", "brain")
    assert deployed["traffic"] == {"blue": 100}
    assert set(deployed["seconds"]) == {"register", "endpoint", "deployment", "traffic", "total"}
    tif = small_study / "tif"
    frames = ["--raw", tif / "ID0003C01.tif", "--white", tif / "ID0003CW01.tif", "--dark", tif / "ID0003CD01.tif"]
    scored = azure("score", "brain", *frames, "-o", "map")
    assert scored["seconds"]["round_trip"] > 0
    assert run(["classify", trained["bundle"], *map(str, frames), "-o", "local", "-q"]) == 0
    assert np.array_equal(np.load("map/labels.npy"), np.load("local/labels.npy"))
    assert azure("undeploy", "brain")["removed"] == ["brain/blue", "brain"]
