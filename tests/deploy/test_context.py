"""What an image is made of: the installation as a wheel, the locked requirements, the Dockerfile, the bundle."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from benchmarks.__main__ import AS_IN_THE_IMAGE
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gliomap import __version__
from gliomap.bundles import copy_bundle, open_bundle
from gliomap.deploy import BASE_IMAGE
from gliomap.deploy._context import DOCKERFILE, write_context
from gliomap.deploy._wheel import write_wheel
from gliomap.errors import BundleError
from support import PROJECT

LOCK = (PROJECT / DOCKERFILE.parent / "requirements.txt").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.M))


def test_benchmarks_use_the_memory_settings_of_the_image() -> None:
    (name, value), *others = AS_IN_THE_IMAGE.items()
    assert not others
    assert f" {name}={value}\n" in (PROJECT / DOCKERFILE).read_text(encoding="utf-8")


def test_the_wheel_is_complete_and_reproducible(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, again = (write_wheel(folder) for folder in folders)
    assert first.name == f"gliomap-{__version__}-py3-none-any.whl"
    assert first.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(first) as wheel:
        names = set(wheel.namelist())
        (record,) = [name for name in names if name.endswith("/RECORD")]
        rows = list(csv.reader(wheel.read(record).decode().splitlines()))
        assert {row[0] for row in rows} == names
        for name, digest, size in rows:
            if name != record:
                content = wheel.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (digest, int(size)) == (f"sha256={expected}", len(content))
    assert {"gliomap/py.typed", "gliomap/sensors/registry/nemesis.toml", "gliomap/deploy/_wheel.py"} <= names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
def test_pip_installs_the_wheel(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "library"]
    subprocess.run([*pip, wheel], cwd=tmp_path, check=True)
    script = "import gliomap, gliomap.engine; print(gliomap.__file__, gliomap.__version__)"
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": "library"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [str(tmp_path / "library" / "gliomap" / "__init__.py"), __version__]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_context_holds_the_bundle_that_was_verified(bundle: Path, tmp_path: Path, zipped: bool) -> None:
    if zipped:
        bundle = copy_zipped(bundle, tmp_path.parent / "bundle.zip")
    wheel = write_context(tmp_path, bundle)
    assert (tmp_path / wheel).is_file()
    assert open_bundle(tmp_path / "bundle").identity == open_bundle(bundle).identity
    assert (tmp_path / DOCKERFILE).read_text() == (PROJECT / DOCKERFILE).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "deploy", wheel]


def copy_zipped(bundle: Path, target: Path) -> Path:
    target.unlink(missing_ok=True)
    copy_bundle(bundle, target)
    return target


def test_a_context_may_have_no_bundle(tmp_path: Path) -> None:
    write_context(tmp_path, None)
    assert not (tmp_path / "bundle").exists()


def test_a_context_refuses_a_damaged_bundle(bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in bundle.iterdir():
        (damaged / path.name).write_bytes(
            path.read_bytes()[:-1] + b"?" if path.suffix == ".onnx" else path.read_bytes()
        )
    with pytest.raises(BundleError, match="damaged"):
        write_context(tmp_path / "context", damaged)


def test_the_dockerfile_uses_the_base_image_of_the_command() -> None:
    assert f"ARG BASE={BASE_IMAGE}\n" in (PROJECT / DOCKERFILE).read_text()


def test_the_lock_pins_what_the_service_needs_and_nothing_large() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["serve"])]
    assert len(wanted) > 15
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"sys_platform": "linux"}):
            pinned = PINS.get(canonicalize_name(requirement.name))
            assert pinned is not None, f"{requirement.name}: run `make lock`"
            assert requirement.specifier.contains(pinned), f"{requirement}: run `make lock`"
    assert not {"torch", "scipy", "scikit-learn", "h5py", "matplotlib"} & set(PINS)


def test_the_lock_has_a_hash_for_each_release_and_no_index() -> None:
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.M)[1:]
    assert len(blocks) == len(PINS)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)
    assert not re.search(r"://|--(extra-)?index-url|--find-links", LOCK)
