"""All steps work with the oldest and with the newest libraries that pyproject.toml allows, except torch.

The development environment has neither: its test servers hold some libraries back.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from serving.servers import start
from support import PROJECT

pytestmark = pytest.mark.slow

Gliomap = Callable[..., str]


@pytest.fixture(scope="module", params=["lowest-direct", "highest"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in its own environment, without torch, whose releases can be gigabytes large."""
    folder = tmp_path_factory.mktemp(request.param)
    without = folder / "without.txt"
    without.write_text("torch; python_version < '3'\n", encoding="utf-8")
    uv = (sys.executable, "-m", "uv")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "env"], check=True, timeout=60)
    install = ("pip", "install", "--quiet", "--python", folder / "env", "--resolution", request.param)
    parts = f"{PROJECT}[train,serve,openvino]"
    subprocess.run([*uv, *install, "--override", without, parts], check=True, timeout=600)
    return folder / "env" / "bin" / "gliomap"


@pytest.fixture
def gliomap(command: Path, tmp_path: Path) -> Gliomap:
    def run(line: str) -> str:
        done = subprocess.run([command, *line.split()], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    return run


def test_the_workflow_from_phantom_to_service_gives_equal_maps(command: Path, gliomap: Gliomap, tmp_path: Path) -> None:
    assert "Examples" in gliomap("serve --help")
    gliomap("phantom study --patients 3 --difficulty easy")
    gliomap("study check study")
    gliomap("train study --model lda --test-patient ID0003 -o run --tracking none")
    gliomap("evaluate run")
    gliomap("report run")
    gliomap("bundle create run -o bundle")
    for backend in ("onnxruntime", "openvino"):
        gliomap(f"classify bundle --study study --capture ID0003C01 --backend {backend} -o {backend}")
    names = ("ID0003C01", "ID0003CW01", "ID0003CD01")
    frames = " ".join(
        f"--{kind} study/tif/{name}.tif" for kind, name in zip(("raw", "white", "dark"), names, strict=True)
    )
    with start(tmp_path / "bundle", command=command) as server:
        gliomap(f"score {server.url} {frames} -o served")
        gliomap(f"bench serve {server.url} --kind stream --seconds 0.1 --json")
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.url.replace('http', 'ws')}/v1/stream?references=nobody")
    assert refused.value.response.status_code == 404
    maps = [(tmp_path / name / "labels.npy").read_bytes() for name in ("onnxruntime", "openvino", "served")]
    assert maps[0] == maps[1] == maps[2]


def test_a_broken_frame_is_refused_and_named(command: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.tif").write_bytes(b"This is no TIFF.")
    frames = ["--raw", "raw.tif", "--white", "raw.tif", "--dark", "raw.tif", "--sensor", "nemesis"]
    done = subprocess.run(
        [command, "preprocess", *frames, "-o", "cube.npz"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "raw.tif: is not a readable TIFF file" in done.stderr
