"""A command that needs a part that is not installed names the part and how to install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("absent", "command", "part"),
    [
        ("sqlalchemy", "archive list cases", "serve"),
        ("sqlalchemy", "archive verify cases", "serve"),
        ("httpx", "score http://127.0.0.1:1 --raw a.tif --white b.tif --dark c.tif", "serve"),
        ("mlflow", "models list", "track"),
        ("azure.ai.ml", "azure check", "azure"),
        ("scipy", "phantom study", "train"),
        ("safetensors", "bundle create --architecture conv2d --weights w.safetensors -o bundle", "train"),
        ("matplotlib", "sensor show generic-nir-5x5 --plot responses.png", "report"),
    ],
)
def test_a_missing_part_is_named_with_how_to_install_it(tmp_path: Path, absent: str, command: str, part: str) -> None:
    without = f"import sys; sys.modules[{absent!r}] = None; from gliomap.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 3, done.stderr
    assert f'Install it with: pip install "gliomap[{part}]"' in done.stderr
    assert not list(tmp_path.iterdir())
