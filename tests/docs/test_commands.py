"""Every command in the README and the documentation runs as it is written there.

The `bash` and `python` blocks of a page run one after the other in one empty folder, as a reader would type them. `make`
targets are checked with `make --dry-run`, because they would run these tests, and `pip install` lines are checked against
`pyproject.toml`. A page that names a file in FILES, such as `calibration.xml`, finds it in its folder. Phantoms are
recorded by a small camera, except those of the README.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from gliomap.sensors import get_sensor, resized, write_sensor_toml
from support import PROJECT

PAGES = sorted(
    page.relative_to(PROJECT)
    for page in [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
)

FULL_SIZE = (Path("README.md"),)
"""Its commands meet frames as a camera makes them; those of other pages smaller ones."""

CONTAINER_PAGES = [page for page in PAGES if page.match("docs/how-to/deploy-docker.md")]
"""They need Podman or Docker: tests/deploy/test_pages.py runs them."""


def commands(page: Path) -> list[str]:
    """The commands of a page's bash blocks, one per logical line, without comments; a python block is one command."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    found = []
    for language, block in re.findall(r"^```(bash|python)[^\n]*\n(.*?)^```", text, re.M | re.S):
        if language == "python":
            found.append(f"python -c {shlex.quote(block)}")
            continue
        lines = block.replace("\\\n", " ").splitlines()
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def before_a_small_camera(command: str, folder: Path) -> str:
    """The same command, but a phantom is recorded by a small camera, which takes seconds instead of minutes."""
    if not command.startswith("gliomap phantom "):
        return command
    camera = folder / "small-camera.toml"
    if not camera.exists():
        write_sensor_toml(resized(get_sensor("generic-nir-5x5"), 100, 180), camera)
    return f"{command} --sensor {camera.name}"


def run(command: str, folder: Path, *, mirrored: bool = False) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GLIOMAP_SENSORS": str(folder / "sensors"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    environment.pop("OMP_NUM_THREADS", None)
    if mirrored:
        environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"


def check_installation(command: str) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"gliomap\[([^\]]+)\]|\.\[([^\]]+)\]", command):
        for extra in "".join(extras).split(","):
            assert extra in project["optional-dependencies"], command


def check_target(command: str) -> None:
    words = shlex.split(command)
    done = subprocess.run([*words, "--dry-run"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_shell_commands_are_in_bash_blocks_only() -> None:
    for page in PAGES:
        text = (PROJECT / page).read_text(encoding="utf-8")
        assert not re.findall(r"^```(?:sh|shell|console)\b", text, re.M), f"{page}: use a bash block, which is tested"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page) and page not in CONTAINER_PAGES], ids=str)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    for name, write in FILES.items():
        if name in (PROJECT / page).read_text(encoding="utf-8"):
            write(tmp_path / name)
    try:
        run_page(page, tmp_path)
    finally:
        for left in tmp_path.glob("*.pid"):  # processes that the page started, and a failure left running
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(left.read_text()), signal.SIGTERM)


def run_page(page: Path, folder: Path) -> None:
    for command in commands(page):
        if command.startswith(("git clone", "cd ")):
            continue
        if command.startswith("make"):
            check_target(command)
        elif "pip install" in command:
            check_installation(command)
        else:
            typed = command if page in FULL_SIZE else before_a_small_camera(command, folder)
            # Mirroring takes seconds per run, so only the page about it runs without the suite's "none".
            run(typed, folder, mirrored=page.name == "tracking.md")


def vendor_file(path: Path) -> None:
    """Write the vendor calibration that `docs/how-to/sensors.md` needs: 25 Gaussian filters."""
    grid = range(400, 1001)
    bands, virtual = [], []
    for position in range(25):
        peak = 660 + 12 * position
        response = ", ".join(f"{2.718281828 ** (-(((nm - peak) / 6) ** 2)):.6f}" for nm in grid)
        weights = ", ".join("0.02" if column == position else "0.0" for column in range(25))
        bands.append(
            f'<band pattern_position_index="{position}"><peaks><peak order="1"><wavelength_nm>{peak}</wavelength_nm>'
            f"<fwhm_nm>10</fwhm_nm><QE>1</QE></peak></peaks><response_composition><data>{response}</data>"
            "</response_composition></band>"
        )
        virtual.append(
            f"<band><wavelength_nm>{peak}</wavelength_nm><custom_spectral_correction><data>{weights}</data>"
            "</custom_spectral_correction></band>"
        )
    path.write_text(
        '<?xml version="1.0"?><sensor_calibration><sensor_info><width>2048</width><height>1088</height>'
        "<input_bpp>10</input_bpp></sensor_info>"
        '<filter_info layout="MOSAIC"><filter_area><offset_x>0</offset_x><offset_y>3</offset_y><width>2045</width>'
        "<height>1080</height></filter_area><pattern_width>5</pattern_width><pattern_height>5</pattern_height>"
        "<calibration_info><measurement_range_start_nm>400</measurement_range_start_nm>"
        "<measurement_range_end_nm>1000</measurement_range_end_nm><nr_measurements>601</nr_measurements>"
        "</calibration_info><spectral_correction_info><virtual_bands>"
        + "".join(virtual)
        + "</virtual_bands></spectral_correction_info><bands>"
        + "".join(bands)
        + "</bands></filter_info></sensor_calibration>"
    )


def thesis_model(path: Path) -> None:
    """Write a model as the thesis's code saved it: the module of its class does not exist for a reader."""
    import joblib
    from torch import nn

    class Conv2DNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(25, 16, 2), nn.MaxPool2d(2), nn.ReLU())
            self.fc = nn.Sequential(nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 5))

    original = types.ModuleType("neural_networks_of_the_thesis")
    Conv2DNet.__module__, Conv2DNet.__qualname__ = original.__name__, "Conv2DNet"
    original.__dict__["Conv2DNet"] = Conv2DNet
    sys.modules[original.__name__] = original
    try:
        joblib.dump(Conv2DNet(), path)
    finally:
        del sys.modules[original.__name__]


def trained_bundle(path: Path) -> None:
    """Write the bundle that `docs/how-to/deploy-kubernetes.md` needs."""
    from bundles.makers import small_bundle, small_sensor

    small_bundle(path, sensor=small_sensor())


FILES = {"calibration.xml": vendor_file, "model.pkl": thesis_model, "bundle.zip": trained_bundle}
