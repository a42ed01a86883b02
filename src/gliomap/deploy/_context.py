"""The build context of an image: Dockerfile, locked requirements, GlioMap as a wheel, a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import gliomap
from gliomap.bundles import copy_bundle
from gliomap.deploy._wheel import write_wheel

__all__ = ["DOCKERFILE", "write_context"]

DOCKERFILE = Path("deploy", "docker", "Dockerfile")
"""The same in a checkout and in a build context."""


def write_context(folder: Path, bundle: Path | None) -> str:
    """Fill `folder`, including `bundle` unless it is None, and return the name of the wheel in it.

    Raises
    ------
    BundleError
        The bundle is damaged.
    """
    shutil.copytree(_image_files(), (folder / DOCKERFILE).parent)
    if bundle is not None:
        copy_bundle(bundle, folder / "bundle")
    return write_wheel(folder).name


def _image_files() -> Path:
    """Folder of Dockerfile and requirements: in the package if installed from a wheel, else in the checkout."""
    package = Path(gliomap.__file__).parent
    packaged = package / "deploy" / "docker"
    return packaged if packaged.is_dir() else package.parents[1] / DOCKERFILE.parent
