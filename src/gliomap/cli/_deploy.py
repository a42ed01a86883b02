"""`gliomap deploy docker`, `local` and `kubernetes`."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gliomap._text import command_line
from gliomap.cli._app import app
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliomap.deploy import BuiltImage, ClusterRequest, ContainerTool, ImageRequest, LocalContainer

deploy_app = group(app, "deploy", "Carry a bundle to where frames are: container, cluster.")

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, folder or .zip.")]


ToolChoice = Annotated[
    Literal["podman", "docker"] | None,
    typer.Option("--tool", help="What builds and runs images; whichever answers if not given."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print what would be run, run nothing.")]


@verb(
    deploy_app,
    "docker",
    within="deploy",
    examples=(
        "gliomap deploy docker bundle --tag gliomap:or-2",
        "gliomap deploy docker bundle --tag gliomap:empty --mounted",
        "gliomap deploy docker bundle --pip-config pip.conf --dry-run",
    ),
)
def docker(
    ui: Ui,
    bundle: BundlePath,
    tag: Annotated[
        str | None, typer.Option("--tag", "-t", metavar="IMAGE", help="Name of the image; made up if not given.")
    ] = None,
    mounted: Annotated[
        bool, typer.Option("--mounted", help="Leave the bundle out: it is mounted when the image runs.")
    ] = False,
    base: Annotated[
        str, typer.Option("--base", metavar="IMAGE", help="Python 3.11 to build on; pin it with @sha256:….")
    ] = "docker.io/library/python:3.11-slim-bookworm",
    pip_config: Annotated[
        Path | None, typer.Option("--pip-config", metavar="FILE", help="pip.conf for the time of the build.")
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option("--ca", metavar="PEM", help="Authorities that pip trusts in the build.")
    ] = None,
    build_option: Annotated[
        list[str] | None, typer.Option("--build-option", metavar="OPTION", help="For the tool's build, as it is.")
    ] = None,
    tool: ToolChoice = None,
    dry_run: DryRun = False,
) -> None:
    """Build a container image of the service with Docker or Podman.

    It is made of this installation and needs no checkout. It runs as nobody's
    user, on a read-only file system, without torch and without a compiler.
    """
    from gliomap.deploy import ImageRequest, build_image, find_tool, plan_image

    request = ImageRequest(bundle, tag, not mounted, base, pip_config, certificates, tuple(build_option or ()))
    chosen = find_tool(tool)
    if dry_run:
        _planned(ui, plan_image(request, chosen)[0])
        return
    ui.say(f"building with {chosen.name}")
    _tell_image(ui, build_image(request, chosen), request, chosen)


@verb(
    deploy_app,
    "local",
    within="deploy",
    examples=(
        "gliomap deploy local bundle",
        "gliomap deploy local bundle --image gliomap:or-2 --port 9000 --keys keys.txt",
        "gliomap deploy local bundle --detach --archive cases --json",
    ),
)
def local(
    ui: Ui,
    bundle: BundlePath,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="Of `deploy docker`; built if not given.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Of the container.")] = "gliomap",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="On this machine alone; 0 takes a free one.")
    ] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="Who may ask: lines NAME KEY [admin]. Or GLIOMAP_KEYS; else made."),
    ] = None,
    memory: Annotated[str, typer.Option("--memory", metavar="AMOUNT", help="Limit: 512m, 2g.")] = "2g",
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="VOLUME", help="Keep what is answered in a volume.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", min=1, max=86_400, help="Longest time until it is ready.")
    ] = 60.0,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Let it run; else Ctrl-C stops it.")] = False,
    tool: ToolChoice = None,
    dry_run: DryRun = False,
) -> None:
    """Run the service in a container, for this machine alone.

    Its file system is read-only, it has no capabilities, and every client needs a
    key: yours, or one that is made and shown once. What it serves is compared with
    BUNDLE; an image that holds another model is stopped.
    """
    from gliomap.deploy import LocalRequest, find_tool, plan_local, run_local, stop_command, stop_local

    request = LocalRequest(bundle, image, name, port, keys, memory, ui.threads, archive, wait)
    chosen = find_tool(tool)
    if dry_run:
        _planned(ui, plan_local(request, chosen))
        return
    ui.say(f"starting with {chosen.name}")
    # Whoever ends this command ends the container too, be it a person or a supervisor, and while it starts as well.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running = run_local(request, chosen)
        try:
            _tell(ui, running, chosen, stop_command(chosen, name), detach)
            if not detach:
                chosen.stream("logs", "--follow", name)
        finally:
            if not detach:
                ui.say("stopping: what has begun is finished")
                stop_local(name, chosen)
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(ui: Ui, running: LocalContainer, tool: ContainerTool, stop: str, detached: bool) -> None:
    if ui.as_json:
        ui.result(
            {
                "url": running.url,
                "key": running.made_key,
                "name": running.name,
                "image": running.image,
                "identity": running.identity,
                "ready_s": round(running.ready_s, 2),
                "stop": stop,
                "tool": tool.name,
            }
        )
        return
    ui.text(f"service: {running.url} (its page: {running.url}/docs), ready after {running.ready_s:.1f} s")
    ui.text(f"bundle:  {running.identity[:12]}")
    if running.made_key is not None:
        ui.text(f"key:     {running.made_key} (shown once; for clients: export GLIOMAP_KEY=KEY)")
    ui.text(f"stop:    {stop if detached else 'Ctrl-C'}")


@verb(
    deploy_app,
    "kubernetes",
    within="deploy",
    writes=True,
    examples=(
        "gliomap deploy kubernetes bundle --image registry.example.org/gliomap:or-2 \\\n      -o manifests",
        "gliomap deploy kubernetes bundle --image lab/gliomap:empty \\\n      --bundle-claim bundles --namespace theatre -o manifests",
        "gliomap deploy kubernetes bundle --image gliomap:or-2 --kserve -o manifests",
    ),
)
def kubernetes(
    ui: Ui,
    bundle: BundlePath,
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="Of `deploy docker`, as the cluster's registry has it.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the manifests.")],
    name: Annotated[str, typer.Option("--name", help="Of every object.")] = "gliomap",
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="Make it and use it; kubectl's own if not given.")
    ] = None,
    keys_secret: Annotated[
        str, typer.Option("--keys-secret", metavar="NAME", help="Secret with a file of keys under 'keys'.")
    ] = "gliomap-keys",
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", min=1, help="Pods at least.")] = 2,
    most: Annotated[
        int, typer.Option("--max-replicas", metavar="N", min=1, help="Pods at most, where they scale.")
    ] = 6,
    scale_on: Annotated[
        Literal["cpu", "queue", "none"], typer.Option("--scale-on", help="What more pods are started for.")
    ] = "cpu",
    memory: Annotated[str, typer.Option("--memory", metavar="AMOUNT", help="Limit of a pod.")] = "2Gi",
    bundle_claim: Annotated[
        str | None,
        typer.Option("--bundle-claim", metavar="NAME", help="Volume claim with the bundle; else in the image."),
    ] = None,
    archive_claim: Annotated[
        str | None, typer.Option("--archive-claim", metavar="NAME", help="Volume claim for an archive; then one pod.")
    ] = None,
    kserve: Annotated[bool, typer.Option("--kserve", help="An InferenceService for KServe.")] = False,
) -> None:
    """Write Kubernetes manifests for `kubectl apply -k`.

    Pods run as nobody's user on a read-only file system, may ask nobody for
    anything, and start only with the very BUNDLE. Keys stay in a Secret of yours.
    --threads N gives each pod N processors, 2 if not given.
    """
    from gliomap.deploy import ClusterRequest, ImageName, render_kubernetes

    request = ClusterRequest(
        image=ImageName.parse(image),
        name=name,
        namespace=namespace,
        keys_secret=keys_secret,
        replicas=replicas,
        most=most,
        scale_on=scale_on,
        threads=ui.threads or 2,
        memory=memory,
        bundle_claim=bundle_claim,
        archive_claim=archive_claim,
        kserve=kserve,
    )
    if request.image.moves:
        ui.say(f"warning: {image} can mean another image tomorrow; name a tag, or better a digest")
    files = render_kubernetes(request, bundle, out, overwrite=ui.overwrite)
    _tell_manifests(ui, files, out, request)


def _tell_manifests(ui: Ui, files: Sequence[Path], out: Path, request: ClusterRequest) -> None:
    into = [] if request.namespace is None else ["--namespace", request.namespace]
    space = None if request.namespace is None else ["kubectl", "create", "namespace", request.namespace]
    secret = ["kubectl", "create", "secret", "generic", request.keys_secret, *into, "--from-file=keys=keys.txt"]
    apply = ["kubectl", "apply", "--kustomize", str(out)]
    if ui.as_json:
        names = [path.name for path in files]
        ui.result({"folder": str(out), "files": names, "create_namespace": space, "secret": secret, "apply": apply})
        return
    ui.text(f"Written to {out}: {', '.join(path.name for path in files)}")
    if space is not None:
        ui.text(f"Namespace, once:  {shlex.join(space)}")
    ui.text(f"Keys, once:       {shlex.join(secret)}", f"Then:             {shlex.join(apply)}")


def _tell_image(ui: Ui, built: BuiltImage, request: ImageRequest, tool: ContainerTool) -> None:
    if ui.as_json:
        ui.result(
            {
                "image": built.name,
                "id": built.id,
                "identity": built.identity,
                "baked": request.baked,
                "bytes": built.bytes,
                "bytes_of_base": built.bytes_of_base,
                "tool": tool.name,
            }
        )
        return
    ui.facts(
        [
            ("image", built.name),
            ("bundle", f"{built.identity[:12]}, {'inside' if request.baked else 'to be mounted at /bundle'}"),
            (
                "size",
                f"{built.bytes / 1e6:.0f} MB, {(built.bytes - built.bytes_of_base) / 1e6:.0f} of them on the base",
            ),
        ]
    )
    ui.text(f"Run it: {command_line('deploy', 'local', request.bundle, '--image', built.name)}")


def _planned(ui: Ui, command: list[str]) -> None:
    if ui.as_json:
        ui.result({"command": command})
    else:
        ui.text(shlex.join(command))
