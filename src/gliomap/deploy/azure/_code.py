"""What runs in Azure: the installed GlioMap as a wheel in a code folder, and its locked requirements."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from gliomap._files import atomic_folder, user_folder
from gliomap.deploy._wheel import write_wheel

__all__ = ["SCORING_SCRIPT", "UNPACK", "code_folder", "environment"]

SCORING_SCRIPT = "score.py"
_SCORING = """\
import sys
import tempfile
import zipfile
from pathlib import Path

_CODE = tempfile.mkdtemp(prefix="gliomap-")
for _wheel in Path(__file__).parent.glob("*.whl"):
    zipfile.ZipFile(_wheel).extractall(_CODE)
sys.path.insert(0, _CODE)

from gliomap.serving.azure_scoring import init, run

__all__ = ["init", "run"]
"""
UNPACK = "python -m zipfile -e gliomap-*.whl ."
"""Beginning of a job's command, run in its code folder."""

_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
_PYTHON = "3.11"


def code_folder(added: Mapping[str, bytes] | None = None) -> Path:
    """A folder with GlioMap as a wheel, the scoring script and added files; the same content yields the same folder.

    It is in the user's cache, so that a document that names it also works with `az ml`.

    Parameters
    ----------
    added
        Name → content of further files, such as a split.
    """
    with tempfile.TemporaryDirectory() as scratch:
        wheel = write_wheel(Path(scratch))
        files = {wheel.name: wheel.read_bytes(), SCORING_SCRIPT: _SCORING.encode(), **(added or {})}
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = user_folder("XDG_CACHE_HOME", ".cache") / "azure" / f"code-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        # Two processes may create the same folder at once; which one wins does not matter.
        with atomic_folder(folder, overwrite=True) as made:
            for name, content in files.items():
                (made / name).write_bytes(content)
    return folder


def environment(kind: Literal["train", "score"]) -> dict[str, Any]:
    """The environment of a job or a deployment for a document, with exactly the versions of the lock file."""
    lock = resources.files("gliomap.deploy.azure").joinpath("locks", f"{kind}.txt").read_text(encoding="utf-8")
    pins: list[Any] = [line for line in lock.splitlines() if line and not line.startswith("#")]
    return {
        "image": _IMAGE,
        "conda_file": {
            "name": f"gliomap-{kind}",
            "channels": ["conda-forge"],
            "dependencies": [f"python={_PYTHON}", "pip", {"pip": pins}],
        },
    }
