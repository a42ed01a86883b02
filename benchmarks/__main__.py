"""Run every measurement, print one table, and write it to benchmarks/results.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Record, report

HERE = Path(__file__).parent

MISLEADING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that change the speed of NumPy, and with it the limit to which everything is compared."""

AS_IN_THE_IMAGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""As deploy/docker/Dockerfile sets it: memory in huge pages, if the machine leaves this to its programs."""


def main() -> int:
    """Return pytest's exit code, or 1 if a target is missed."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING} | AS_IN_THE_IMAGE
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(HERE),
            "-q",
            "-p",
            "no:cacheprovider",
            f"--benchmark-json={record}",
        ]
        done = subprocess.run(
            [*command, "--benchmark-quiet", *sys.argv[1:]], cwd=HERE.parent, env=environment, check=False
        )
        if not record.is_file():
            return done.returncode or 1
        found = json.loads(record.read_text(encoding="utf-8"))
    measured: dict[str, Record] = {one["name"]: one for one in found["benchmarks"]}
    text, reached = report(measured, found["machine_info"]["described"])
    print(text)
    if not sys.argv[1:]:
        # A subset of the measurements, as selected by `-k`, must not replace the full results.
        (HERE / "results.md").write_text(text, encoding="utf-8")
    return done.returncode or (0 if reached else 1)


if __name__ == "__main__":
    sys.exit(main())
