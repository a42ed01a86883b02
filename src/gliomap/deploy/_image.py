"""A container image of the service, built from this installation and a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gliomap.bundles import Bundle, open_bundle
from gliomap.deploy._context import DOCKERFILE, write_context
from gliomap.deploy._names import ImageName
from gliomap.deploy._tool import ContainerTool
from gliomap.errors import UsageError

__all__ = ["BASE_IMAGE", "IDENTITY_LABEL", "BuiltImage", "ImageRequest", "build_image", "image_labels", "plan_image"]

BASE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"
INSIDE_PORT = 8000
"""Port on which the service listens inside its container."""

IDENTITY_LABEL = "org.gliomap.bundle.identity"
_VERSION_LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What to build.

    Attributes
    ----------
    bundle
        Folder or .zip.
    tag
        Name of the image; None for `default_tag`.
    baked
        Whether the bundle goes into the image; otherwise it is mounted at /bundle at run time.
    base
        Base image with Python 3.11; a digest pins its exact content.
    pip_config, certificates
        A pip.conf and a PEM file of authorities for pip during the build; neither stays in the image.
    options
        Further options of the build command, passed on unchanged.
    """

    bundle: Path
    tag: str | None = None
    baked: bool = True
    base: str = BASE_IMAGE
    pip_config: Path | None = None
    certificates: Path | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A built image.

    Attributes
    ----------
    name, id
        Its name, and the tool's hash of it.
    identity
        Identity of the bundle.
    bytes, bytes_of_base
        Total size, and that of the base image within it.
    """

    name: str
    id: str
    identity: str
    bytes: int
    bytes_of_base: int


def default_tag(bundle: Bundle, *, baked: bool = True) -> str:
    """Default name of an image of this version and this bundle."""
    return f"localhost/gliomap:{version('gliomap')}-{bundle.identity[:12] if baked else 'empty'}"


def image_labels(bundle: Bundle, *, baked: bool, base: str) -> dict[str, str]:
    """Labels in addition to those of the Dockerfile."""
    labels = {_VERSION_LABEL: version("gliomap"), "org.opencontainers.image.base.name": base}
    if baked:
        labels |= {"org.gliomap.bundle.name": bundle.manifest.name, IDENTITY_LABEL: bundle.identity}
    return labels


def plan_image(request: ImageRequest, tool: ContainerTool) -> tuple[list[str], Bundle]:
    """Check everything and return the build command, with placeholders CONTEXT and WHEEL, and the bundle.

    Raises
    ------
    BundleError
        The bundle is damaged, or does not accept frames.
    UsageError
        The name of an image is invalid, or a file does not exist.
    """
    bundle = open_bundle(request.bundle)
    bundle.require_frames()
    return _command(request, bundle, tool, Path("CONTEXT"), "WHEEL"), bundle


def build_image(request: ImageRequest, tool: ContainerTool) -> BuiltImage:
    """Build an image, logging the tool's output.

    Raises
    ------
    BundleError
        The bundle is damaged, or does not accept frames.
    UsageError
        The name of an image is invalid, or a file does not exist.
    MachineError
        The build fails; the message ends with the last lines of its log.
    """
    _, bundle = plan_image(request, tool)
    with tempfile.TemporaryDirectory(prefix="gliomap-image-") as folder:
        context = Path(folder)
        wheel = write_context(context, request.bundle if request.baked else None)
        command = _command(request, bundle, tool, context, wheel)
        tool.stream(*command[1:])
    name = _tag(request, bundle)
    image, size = tool.output("image", "inspect", "--format", "{{.Id}} {{.Size}}", name).split()
    base = tool.output("image", "inspect", "--format", "{{.Size}}", request.base)
    return BuiltImage(name, image.removeprefix("sha256:"), bundle.identity, int(size), int(base))


def _command(request: ImageRequest, bundle: Bundle, tool: ContainerTool, context: Path, wheel: str) -> list[str]:
    ImageName.parse(request.base)
    words = [tool.name, "build", "--file", str(context / DOCKERFILE), "--tag", _tag(request, bundle)]
    if tool.name == "podman":
        words += ["--format", "docker"]  # the OCI format has no health check
    arguments = {"BASE": request.base, "GLIOMAP": wheel}
    labels = image_labels(bundle, baked=request.baked, base=request.base)
    words += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--label={name}={value}" for name, value in labels.items()]
    words += _secrets({"pip.conf": request.pip_config, "ca.pem": request.certificates})
    return [*words, *request.options, str(context)]


def _tag(request: ImageRequest, bundle: Bundle) -> str:
    if request.tag is None:
        return default_tag(bundle, baked=request.baked)
    name = ImageName.parse(request.tag)
    if name.digest is not None:
        raise UsageError(
            f"tag {request.tag!r}", "contains a digest, which only an existing image has", "Omit '@sha256:…'."
        )
    return str(name)


def _secrets(files: Mapping[str, Path | None]) -> list[str]:
    words = []
    for name, path in files.items():
        if path is None:
            continue
        if not path.is_file():
            raise UsageError(path, "is not a file", "Check the path.")
        words.append(f"--secret=id={name},src={path.resolve()}")
    return words
