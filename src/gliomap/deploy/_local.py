"""Run the image as a container on this machine, reachable from this machine only."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from gliomap._text import command_line
from gliomap.bundles import Bundle, open_bundle
from gliomap.deploy._answers import answers, served_identity
from gliomap.deploy._image import IDENTITY_LABEL, INSIDE_PORT, ImageRequest, build_image, default_tag
from gliomap.deploy._names import ImageName, check_container_name
from gliomap.deploy._tool import ContainerTool
from gliomap.errors import BundleError, MachineError, UsageError
from gliomap.serving import KEYS_VARIABLE, keys_as_variable, read_keys

__all__ = ["LocalContainer", "LocalRequest", "plan_local", "run_local", "stop_command", "stop_local"]

logger = logging.getLogger(__name__)

GRACE_S = 40
"""Longer than the service needs for an orderly shutdown."""
_MEMORY = re.compile(r"[1-9][0-9]*[mg]")


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """What to run.

    Attributes
    ----------
    bundle
        Folder or .zip of the bundle to serve.
    image
        Its image; None for that of `default_tag`, which is built if it does not exist.
    name
        Name of the container.
    port
        Port on 127.0.0.1; 0 takes a free one.
    keys
        File of keys; None for GLIOMAP_KEYS or, if that is not set, a new key.
    memory
        Memory limit, such as '2g'.
    threads
        Number of processors, or None for all.
    archive
        Name of a volume for the service's archive, or None.
    wait_s
        Seconds within which the service must be ready.
    """

    bundle: Path
    image: str | None = None
    name: str = "gliomap"
    port: int = 8000
    keys: Path | None = None
    memory: str = "2g"
    threads: int | None = None
    archive: str | None = None
    wait_s: float = 60.0


@dataclass(frozen=True, slots=True)
class LocalContainer:
    """A container whose service is ready.

    Attributes
    ----------
    name, image
        Names of the container and of its image.
    url
        Address of the service.
    identity
        Identity of the served bundle.
    made_key
        The key created for it, or None if keys were given.
    ready_s
        Seconds from its start until it was ready.
    """

    name: str
    image: str
    url: str
    identity: str
    made_key: str | None = field(repr=False)
    ready_s: float


def plan_local(request: LocalRequest, tool: ContainerTool) -> list[str]:
    """Check what can be checked without running anything, and return the command.

    Raises
    ------
    BundleError, UsageError, MachineError
        As in `run_local`.
    """
    bundle = open_bundle(request.bundle)
    bundle.require_frames()
    _keys(request)
    image = _image(request, bundle)
    mounted = False
    if tool.succeeds("image", "inspect", image):
        inside = _label(image, tool)
        _refuse_other(inside, image, request, bundle)
        mounted = not inside
    elif request.image is None:
        logger.info("image %s does not exist here: it would be built first", image)
    else:
        logger.warning("image %s does not exist here: it would be fetched first, which was not tried", image)
    return _command(request, image, bundle, tool, _port(request), mounted=mounted)


def run_local(request: LocalRequest, tool: ContainerTool) -> LocalContainer:
    """Run the service in a container and return when it is ready and serves the right bundle.

    Raises
    ------
    BundleError
        The bundle is damaged or does not accept frames, or the image holds another one.
    UsageError
        A name, limit or key is invalid, or a container of that name exists.
    MachineError
        The port is taken, or the container does not become ready; the message then ends with the last lines of its log.
    """
    bundle = open_bundle(request.bundle)
    bundle.require_frames()
    keys, made = _keys(request)
    image = _image(request, bundle)
    if tool.succeeds("container", "inspect", request.name):
        raise UsageError(
            f"container {request.name!r}",
            "already exists",
            f"Remove it with: {stop_command(tool, request.name)} - or choose another --name.",
        )
    port = _port(request)
    inside = _identity_inside(request, image, tool)
    _refuse_other(inside, image, request, bundle)
    command = _command(request, image, bundle, tool, port, mounted=not inside)
    begun, url = time.monotonic(), f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        # Identifies the container made here, even if another one has since taken the name.
        made_here = Path(folder, "container")
        try:
            tool.output("run", "--cidfile", str(made_here), *command[2:], environment={KEYS_VARIABLE: keys})
            _wait(request, made_here.read_text(encoding="ascii").strip(), tool, url)
            served = served_identity(url, keys.split(":")[1].split(",")[0])
            if served != bundle.identity:
                raise BundleError(
                    f"image {image}",
                    f"serves bundle {served[:12]} instead of {bundle.identity[:12]}",
                    "Build it again.",
                )
        except BaseException:
            if made_here.exists():
                # It holds nothing that could be lost.
                tool.succeeds("rm", "--force", made_here.read_text(encoding="ascii").strip())
            raise
    return LocalContainer(request.name, image, url, served, made, time.monotonic() - begun)


def stop_local(name: str, tool: ContainerTool) -> None:
    """Stop a container in an orderly way, kill it after `GRACE_S` seconds, and remove it.

    Raises
    ------
    MachineError
        The tool fails.
    """
    tool.output("stop", "-t", str(GRACE_S), name)
    tool.output("rm", name)


def stop_command(tool: ContainerTool, name: str) -> str:
    """The command line that does the same."""
    return f"{tool.name} stop -t {GRACE_S} {name} && {tool.name} rm {name}"


def _command(
    request: LocalRequest, image: str, bundle: Bundle, tool: ContainerTool, port: int, *, mounted: bool
) -> list[str]:
    if not _MEMORY.fullmatch(request.memory):
        raise UsageError(f"memory {request.memory!r}", "is not a valid amount", "Write it as 512m or 2g.")
    words = [tool.name, "run", "--detach", "--name", check_container_name(request.name)]
    words += ["--publish", f"127.0.0.1:{port}:{INSIDE_PORT}"]
    # The tool takes the value from its own environment, so that keys are on no command line.
    words += ["--env", KEYS_VARIABLE]
    words += ["--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=256m", "--cap-drop", "all"]
    words += ["--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", request.memory]
    inside = []
    if request.threads is not None:
        words += ["--cpus", str(request.threads)]
        inside += ["--threads", str(request.threads)]
    if mounted:
        words += ["--volume", f"{bundle.path.resolve()}:/bundle:ro"]
    if request.archive is not None:
        words += ["--volume", f"{check_container_name(request.archive)}:/archive"]
        inside += ["--archive", "/archive"]
    return [*words, image, *inside]


def _image(request: LocalRequest, bundle: Bundle) -> str:
    return str(ImageName.parse(request.image)) if request.image else default_tag(bundle)


def _identity_inside(request: LocalRequest, image: str, tool: ContainerTool) -> str:
    """Identity of the bundle in an image, '' if it has none; a missing image is fetched or built."""
    if not tool.succeeds("image", "inspect", image):
        if request.image is None:
            build_image(ImageRequest(request.bundle), tool)
        else:
            tool.stream("pull", image)
    return _label(image, tool)


def _refuse_other(inside: str, image: str, request: LocalRequest, bundle: Bundle) -> None:
    """Refuse an image that holds another bundle; one that holds none gets the bundle mounted."""
    if inside not in ("", bundle.identity):
        raise BundleError(
            f"image {image}",
            f"holds bundle {inside[:12]}, but {request.bundle} is {bundle.identity[:12]}",
            f"Build it again: {command_line('deploy', 'docker', request.bundle, '--tag', image)}",
        )


def _label(image: str, tool: ContainerTool) -> str:
    label = f'{{{{ index .Config.Labels "{IDENTITY_LABEL}" }}}}'
    return tool.output("image", "inspect", "--format", label, image).replace("<no value>", "")


def _keys(request: LocalRequest) -> tuple[str, str | None]:
    """Keys in the form of GLIOMAP_KEYS, and the key created if there are none."""
    if request.keys is not None:
        return keys_as_variable(request.keys), None
    if read_keys(None, os.environ):
        return os.environ[KEYS_VARIABLE], None
    made = secrets.token_urlsafe(32)
    return f"local:{made}", made


def _port(request: LocalRequest) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", request.port))
        except OSError as error:
            raise MachineError(
                f"127.0.0.1:{request.port}",
                f"cannot listen on this address ({error.strerror})",
                "Choose another --port.",
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _wait(request: LocalRequest, container: str, tool: ContainerTool, url: str) -> None:
    until = time.monotonic() + request.wait_s
    while not answers(f"{url}/health/ready"):
        state = tool.output("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", container).split()
        late = time.monotonic() > until
        if state[0] == "true" and not late:
            time.sleep(0.1)
            continue
        fault = f"is not ready after {request.wait_s:g} s" if late else f"ended with exit code {state[1]}"
        log = tool.output("logs", "--tail", "20", container, errors_too=True)
        raise MachineError(f"container {request.name!r}", fault, f"Its last output:\n{log or '  none'}")
