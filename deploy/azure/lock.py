"""Write the lock files of Azure's environments anew: what `pip` would install today for training and for scoring.

Run with: make locks-azure (asks the package index).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = PROJECT / "src" / "gliomap" / "deploy" / "azure" / "locks"
WANTED = {
    "train": [".[train,track]", "azureml-mlflow>=1.62,<1.63"],
    "score": [".[serve]", "azureml-inference-server-http>=1.5,<2"],
}


def resolve(requirements: list[str]) -> dict[str, str]:
    """Name → version of everything but GlioMap itself."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        flags = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", "install", *flags, *requirements], cwd=PROJECT, check=True)
        found = [one["metadata"] for one in json.loads(report.read_text(encoding="utf-8"))["install"]]
    # A build of torch for this machine's processor alone has a local version, which the cluster's index does not know.
    pins = {one["name"].lower().replace("_", "-"): one["version"].partition("+")[0] for one in found}
    del pins["gliomap"]
    return pins


for kind, requirements in WANTED.items():
    lines = [f"{name}=={version}\n" for name, version in sorted(resolve(requirements).items())]
    (LOCKS / f"{kind}.txt").write_text("".join(lines), encoding="utf-8")
