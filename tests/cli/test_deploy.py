"""`gliomap deploy docker` and `local`: what they run, and what they refuse before they run anything."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bundles.makers import small_bundle, small_sensor
from cli.conftest import Run
from deploy.fakes import fake_tool
from gliomap.bundles import open_bundle
from gliomap.deploy import BASE_IMAGE
from gliomap.serving import KEYS_VARIABLE


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that takes frames."""
    return small_bundle(tmp_path_factory.mktemp("deployed") / "bundle", sensor=small_sensor()).path


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A podman that does everything asked and knows no image or container; the file of its calls."""
    folder = tmp_path / "programs"
    calls = fake_tool(folder, "podman", 'case "$1 $2" in "image inspect"|"container inspect") exit 1;; esac')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    return calls


def words(calls: Path) -> list[list[str]]:
    return [shlex.split(line) for line in calls.read_text().splitlines()]


def only_asked(calls: Path) -> bool:
    """Whether the tool was asked for what is there, and for nothing else."""
    return all(one[0] == "info" or one[:2] == ["image", "inspect"] for one in words(calls))


def test_what_a_build_would_run(gliomap: Run, podman: Path, bundle: Path, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.touch()
    told = gliomap("deploy", "docker", bundle, "--tag", "lab/gliomap:1", "--pip-config", config, "--dry-run", "--json")
    assert told.code == 0
    command = json.loads(told.out)["command"]
    identity = open_bundle(bundle).identity
    assert command[:2] == ["podman", "build"]
    assert command[-1] == "CONTEXT"
    for word in ("lab/gliomap:1", f"--build-arg=BASE={BASE_IMAGE}", f"--label=org.gliomap.bundle.identity={identity}"):
        assert word in command
    assert f"--secret=id=pip.conf,src={config}" in command
    assert only_asked(podman)
    plain = gliomap("deploy", "docker", bundle, "--tag", "lab/gliomap:1", "--pip-config", config, "--dry-run")
    assert shlex.split(plain.out) == command


def test_an_image_without_its_bundle_is_not_labelled_with_it(gliomap: Run, podman: Path, bundle: Path) -> None:
    del podman
    told = gliomap("deploy", "docker", bundle, "--mounted", "--dry-run")
    assert "org.gliomap.bundle" not in told.out
    assert "localhost/gliomap:" in told.out


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--tag", "GlioMap"], "is not a valid image name"),
        (["--tag", "gliomap@sha256:" + "0" * 64], "contains a digest"),
        (["--base", "--privileged"], "is not a valid image name"),
        (["--pip-config", "absent.conf"], "is not a file"),
        (["--ca", "absent.pem"], "is not a file"),
        (["--tool", "nerdctl"], "'nerdctl'"),
    ],
)
def test_what_is_refused_before_a_build(gliomap: Run, podman: Path, bundle: Path, flags: list[str], fault: str) -> None:
    told = gliomap("deploy", "docker", bundle, *flags)
    assert told.code == 2
    assert fault in told.err
    assert only_asked(podman)


@pytest.mark.parametrize("verb", ["docker", "local"])
def test_a_bundle_that_is_not_there_or_damaged(
    gliomap: Run, podman: Path, bundle: Path, tmp_path: Path, verb: str
) -> None:
    assert "does not exist" in gliomap("deploy", verb, tmp_path / "nothing").err
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in bundle.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes() + (b"\0" if path.name == "cube.onnx" else b""))
    told = gliomap("deploy", verb, damaged)
    assert told.code == 2
    assert "cube.onnx is damaged" in told.err
    assert only_asked(podman)


@pytest.mark.parametrize("verb", ["docker", "local", "kubernetes"])
def test_a_bundle_that_no_service_could_serve(gliomap: Run, podman: Path, tmp_path: Path, verb: str) -> None:
    cubes_only = small_bundle(tmp_path / "cubes-only").path
    flags = ["--image", "lab/gliomap:1", "-o", tmp_path / "made"] if verb == "kubernetes" else ["--dry-run"]
    told = gliomap("deploy", verb, cubes_only, *flags)
    assert (told.code, "has no frame.onnx" in told.err) == (2, True)
    assert not (tmp_path / "made").exists()
    assert not podman.exists() or only_asked(podman)


@pytest.mark.parametrize("verb", ["docker", "local"])
def test_no_tool(gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = gliomap("deploy", verb, bundle)
    assert told.code == 3
    assert "Install Podman" in told.err


def test_what_a_container_would_be_run_with(gliomap: Run, podman: Path, bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("or-1 0123456789abcdef admin\n")
    told = gliomap(
        "deploy",
        "local",
        bundle,
        "--image",
        "g:1",
        "--port",
        0,
        "--keys",
        keys,
        "--threads",
        2,
        "--archive",
        "cases",
        "--dry-run",
    )
    assert told.code == 0, told.err
    for part in (
        "--publish 127.0.0.1:", ":8000 ", "--read-only", "--cap-drop all", "no-new-privileges", "--memory 2g", "--cpus 2",
        "--volume cases:/archive", "g:1 --threads 2 --archive /archive",
    ):  # fmt: skip
        assert part in told.out
    assert "0123456789abcdef" not in told.out
    assert only_asked(podman)


@pytest.mark.parametrize(
    ("flags", "code", "fault"),
    [
        (["--image", "a b"], 2, "is not a valid image name"),
        (["--name", "-x"], 2, "is not a valid container name"),
        (["--memory", "much"], 2, "is not a valid amount"),
        (["--archive", "../x"], 2, "is not a valid container name"),
        (["--keys", "absent.txt"], 2, "is not a readable file of keys"),
    ],
)
def test_what_is_refused_before_a_run(
    gliomap: Run, podman: Path, bundle: Path, flags: list[str], code: int, fault: str
) -> None:
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, *flags, "--dry-run")
    assert told.code == code
    assert fault in told.err
    assert only_asked(podman)


@pytest.mark.parametrize("line", ["or-1 0123456789:abcdefg\n", "or-1 0123456789,abcdefg\n"])
def test_keys_that_the_environment_cannot_carry(
    gliomap: Run, podman: Path, bundle: Path, tmp_path: Path, line: str
) -> None:
    del podman
    keys = tmp_path / "keys.txt"
    keys.write_text(line)
    told = gliomap("deploy", "local", bundle, "--port", 0, "--keys", keys, "--dry-run")
    assert told.code == 2
    assert "has keys with" in told.err
    assert "0123456789" not in told.err


def test_a_port_in_use(gliomap: Run, podman: Path, bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", port)
    assert told.code == 3
    assert f"127.0.0.1:{port}: cannot listen on this address" in told.err
    assert "run" not in [one[0] for one in words(podman)]


def test_an_image_without_a_bundle_would_get_it_mounted(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "programs", "podman")  # every image is there, and has no label
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, "--dry-run")
    assert f"--volume {bundle.resolve()}:/bundle:ro" in told.out


@pytest.mark.parametrize(("flags", "told"), [(["--image", "g:1"], "fetched first"), ([], "built first")])
def test_a_dry_run_tells_that_the_image_is_not_there(
    gliomap: Run, podman: Path, bundle: Path, flags: list[str], told: str
) -> None:
    done = gliomap("deploy", "local", bundle, *flags, "--port", 0, "--dry-run", "--json")
    assert done.code == 0
    assert "does not exist here: it would be " + told in done.err
    assert json.loads(done.out)["command"][0] == "podman"
    assert only_asked(podman)


def test_a_dry_run_refuses_an_image_of_another_bundle(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "programs", "podman", "echo 0123456789abcdef")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    done = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, "--dry-run")
    assert (done.code, "g:1: holds bundle 0123456789ab" in done.err) == (2, True)


def test_an_image_that_is_not_there_is_fetched_or_built(gliomap: Run, podman: Path, bundle: Path) -> None:
    gliomap("deploy", "local", bundle, "--image", "registry.example.org/g:1", "--port", 0)
    assert ["pull", "registry.example.org/g:1"] in words(podman)
    assert "build" not in [one[0] for one in words(podman)]
    gliomap("deploy", "local", bundle, "--port", 0)
    assert "build" in [one[0] for one in words(podman)]


def test_a_container_of_that_name(gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path / "programs", "podman")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0)
    assert told.code == 2
    assert "podman stop -t 40 gliomap && podman rm gliomap" in told.err


@pytest.mark.parametrize("when", ["while it is made", "while it starts"])
def test_who_ends_the_command_early_ends_the_container_too(podman: Path, bundle: Path, when: str) -> None:
    """A supervisor that started it again would find the name taken, for ever."""
    made = 'while [ "$1" != --cidfile ]; do shift; done; echo 0123abcd >"$2"'
    end = "kill -TERM $PPID; exec sleep 20"
    answers = {
        "container": "exit 1",
        "image": f"echo {open_bundle(bundle).identity}",
        "run": f"{made}; {end if when == 'while it is made' else ':'}",
        "inspect": end if when == "while it starts" else "echo true 0",
    }
    cases = " ".join(f"{word}) {does};;" for word, does in answers.items())
    fake_tool(podman.parent, "podman", f'case "$1" in {cases} esac')
    words = [sys.executable, "-m", "gliomap", "deploy", "local", str(bundle), "--port", "0", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert "rm --force 0123abcd" in podman.read_text()


def test_a_container_of_somebody_else_who_was_faster_stays(gliomap: Run, podman: Path, bundle: Path) -> None:
    """Of two that deploy under one name at once, the tool refuses the second."""
    answers = f"container) exit 1;; image) echo {open_bundle(bundle).identity};; run) exit 125;;"
    fake_tool(podman.parent, "podman", f'case "$1" in {answers} esac')
    told = gliomap("deploy", "local", bundle, "--port", "0")
    assert told.code == 3
    assert "run: failed" in told.err
    assert not any(one[0] in ("rm", "stop") for one in words(podman))


def test_manifests(gliomap: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "manifests"
    words = ["deploy", "kubernetes", bundle, "--image", "lab/gliomap:1", "-o", out, "--namespace", "theatre"]
    told = gliomap(*words, "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert found["create_namespace"] == ["kubectl", "create", "namespace", "theatre"]
    assert found["secret"] == shlex.split(
        "kubectl create secret generic gliomap-keys --namespace theatre --from-file=keys=keys.txt"
    )
    assert found["apply"] == ["kubectl", "apply", "--kustomize", str(out)]
    assert {path.name for path in out.iterdir()} == set(found["files"])
    assert gliomap(*words).code == 2
    again = gliomap(*words, "--overwrite", "--threads", 3)
    assert again.code == 0
    told_in_order = [again.out.index(f"kubectl {verb} ") for verb in ("create namespace", "create secret", "apply")]
    assert told_in_order == sorted(told_in_order), "a Secret cannot be made in a namespace that is not there"
    assert "cpu: '3'" in (out / "deployment.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--image", "GlioMap"], "is not a valid image name"),
        (["--image", "g:1", "--namespace", "Theatre"], "is not a name that Kubernetes accepts"),
        (["--image", "g:1", "--archive-claim", "cases"], "--replicas 1 --scale-on none"),
        (["--image", "g:1", "--scale-on", "luck"], "'luck'"),
        ([], "--image"),
    ],
)
def test_manifests_that_are_refused(gliomap: Run, bundle: Path, tmp_path: Path, flags: list[str], fault: str) -> None:
    told = gliomap("deploy", "kubernetes", bundle, "-o", tmp_path / "manifests", *flags)
    assert told.code == 2
    assert fault in told.err
    assert not (tmp_path / "manifests").exists()


def test_an_image_that_can_change_under_its_name_is_warned_of(gliomap: Run, bundle: Path, tmp_path: Path) -> None:
    told = gliomap("deploy", "kubernetes", bundle, "--image", "lab/gliomap", "-o", tmp_path / "manifests")
    assert told.code == 0
    assert "can refer to another image later" in told.err


def test_without_yaml(gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    told = gliomap("deploy", "kubernetes", bundle, "--image", "g:1", "-o", tmp_path / "manifests")
    assert told.code == 3
    assert "gliomap[deploy]" in told.err
