"""`gliomap deploy docker`, `local` and `kubernetes`: what they run or write, and what they refuse first."""

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
    """The log of the calls of a fake podman that does all it is asked and has no image or container."""
    folder = tmp_path / "programs"
    calls = fake_tool(folder, "podman", 'case "$1 $2" in "image inspect"|"container inspect") exit 1;; esac')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    return calls


def words(calls: Path) -> list[list[str]]:
    return [shlex.split(line) for line in calls.read_text().splitlines()]


def only_queried(calls: Path) -> bool:
    """Whether the tool was only asked what exists, and not told to do anything."""
    return all(one[0] == "info" or one[:2] == ["image", "inspect"] for one in words(calls))


def test_a_dry_run_shows_the_build_command(gliomap: Run, podman: Path, bundle: Path, tmp_path: Path) -> None:
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
    assert only_queried(podman)
    plain = gliomap("deploy", "docker", bundle, "--tag", "lab/gliomap:1", "--pip-config", config, "--dry-run")
    assert shlex.split(plain.out) == command


def test_an_image_for_a_mounted_bundle_has_no_bundle_label(gliomap: Run, podman: Path, bundle: Path) -> None:
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
def test_bad_options_are_refused_before_a_build(
    gliomap: Run, podman: Path, bundle: Path, flags: list[str], fault: str
) -> None:
    told = gliomap("deploy", "docker", bundle, *flags)
    assert told.code == 2
    assert fault in told.err
    assert only_queried(podman)


@pytest.mark.parametrize("verb", ["docker", "local"])
def test_a_missing_or_damaged_bundle_is_refused(
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
    assert only_queried(podman)


@pytest.mark.parametrize("verb", ["docker", "local", "kubernetes"])
def test_a_bundle_without_a_frame_graph_is_refused(gliomap: Run, podman: Path, tmp_path: Path, verb: str) -> None:
    cubes_only = small_bundle(tmp_path / "cubes-only").path
    flags = ["--image", "lab/gliomap:1", "-o", tmp_path / "made"] if verb == "kubernetes" else ["--dry-run"]
    told = gliomap("deploy", verb, cubes_only, *flags)
    assert (told.code, "has no frame.onnx" in told.err) == (2, True)
    assert not (tmp_path / "made").exists()
    assert not podman.exists() or only_queried(podman)


@pytest.mark.parametrize("verb", ["docker", "local"])
def test_without_a_container_tool_installing_podman_is_advised(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = gliomap("deploy", verb, bundle)
    assert told.code == 3
    assert "Install Podman" in told.err


def test_a_dry_run_shows_the_run_command_but_no_key(gliomap: Run, podman: Path, bundle: Path, tmp_path: Path) -> None:
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
    assert only_queried(podman)


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
def test_bad_options_are_refused_before_a_run(
    gliomap: Run, podman: Path, bundle: Path, flags: list[str], code: int, fault: str
) -> None:
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, *flags, "--dry-run")
    assert told.code == code
    assert fault in told.err
    assert only_queried(podman)


@pytest.mark.parametrize("line", ["or-1 0123456789:abcdefg\n", "or-1 0123456789,abcdefg\n"])
def test_keys_that_the_environment_variable_cannot_hold_are_refused(
    gliomap: Run, podman: Path, bundle: Path, tmp_path: Path, line: str
) -> None:
    del podman
    keys = tmp_path / "keys.txt"
    keys.write_text(line)
    told = gliomap("deploy", "local", bundle, "--port", 0, "--keys", keys, "--dry-run")
    assert told.code == 2
    assert "has keys with" in told.err
    assert "0123456789" not in told.err


def test_a_port_in_use_is_refused_before_a_run(gliomap: Run, podman: Path, bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", port)
    assert told.code == 3
    assert f"127.0.0.1:{port}: cannot listen on this address" in told.err
    assert "run" not in [one[0] for one in words(podman)]


def test_the_bundle_is_mounted_into_an_image_without_one(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "programs", "podman")  # every image exists and has no label
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, "--dry-run")
    assert f"--volume {bundle.resolve()}:/bundle:ro" in told.out


@pytest.mark.parametrize(("flags", "told"), [(["--image", "g:1"], "fetched first"), ([], "built first")])
def test_a_dry_run_says_that_the_image_is_missing(
    gliomap: Run, podman: Path, bundle: Path, flags: list[str], told: str
) -> None:
    done = gliomap("deploy", "local", bundle, *flags, "--port", 0, "--dry-run", "--json")
    assert done.code == 0
    assert "does not exist here: it would be " + told in done.err
    assert json.loads(done.out)["command"][0] == "podman"
    assert only_queried(podman)


def test_a_dry_run_refuses_an_image_of_another_bundle(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "programs", "podman", "echo 0123456789abcdef")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    done = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0, "--dry-run")
    assert (done.code, "g:1: holds bundle 0123456789ab" in done.err) == (2, True)


def test_a_missing_image_is_pulled_if_named_and_built_otherwise(gliomap: Run, podman: Path, bundle: Path) -> None:
    gliomap("deploy", "local", bundle, "--image", "registry.example.org/g:1", "--port", 0)
    assert ["pull", "registry.example.org/g:1"] in words(podman)
    assert "build" not in [one[0] for one in words(podman)]
    gliomap("deploy", "local", bundle, "--port", 0)
    assert "build" in [one[0] for one in words(podman)]


def test_an_existing_container_is_refused_with_the_way_to_remove_it(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path / "programs", "podman")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    told = gliomap("deploy", "local", bundle, "--image", "g:1", "--port", 0)
    assert told.code == 2
    assert "podman stop -t 40 gliomap && podman rm gliomap" in told.err


@pytest.mark.parametrize("when", ["while it is made", "while it starts"])
def test_ending_the_command_early_removes_the_container(podman: Path, bundle: Path, when: str) -> None:
    """Otherwise a supervisor that restarts the command would always find the name taken."""
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


def test_a_container_that_another_deployment_made_first_is_kept(gliomap: Run, podman: Path, bundle: Path) -> None:
    """If two deployments use one name at once, the tool refuses the second, which must not remove the first."""
    answers = f"container) exit 1;; image) echo {open_bundle(bundle).identity};; run) exit 125;;"
    fake_tool(podman.parent, "podman", f'case "$1" in {answers} esac')
    told = gliomap("deploy", "local", bundle, "--port", "0")
    assert told.code == 3
    assert "run: failed" in told.err
    assert not any(one[0] in ("rm", "stop") for one in words(podman))


def test_manifests_are_written_and_their_commands_shown_in_order(gliomap: Run, bundle: Path, tmp_path: Path) -> None:
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
    assert told_in_order == sorted(told_in_order), "a Secret cannot be created before its namespace"
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
def test_bad_options_for_manifests_are_refused(
    gliomap: Run, bundle: Path, tmp_path: Path, flags: list[str], fault: str
) -> None:
    told = gliomap("deploy", "kubernetes", bundle, "-o", tmp_path / "manifests", *flags)
    assert told.code == 2
    assert fault in told.err
    assert not (tmp_path / "manifests").exists()


def test_an_image_name_without_a_tag_causes_a_warning(gliomap: Run, bundle: Path, tmp_path: Path) -> None:
    told = gliomap("deploy", "kubernetes", bundle, "--image", "lab/gliomap", "-o", tmp_path / "manifests")
    assert told.code == 0
    assert "can refer to another image later" in told.err


def test_without_yaml_the_extra_to_install_is_named(
    gliomap: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    told = gliomap("deploy", "kubernetes", bundle, "--image", "g:1", "-o", tmp_path / "manifests")
    assert told.code == 3
    assert "gliomap[deploy]" in told.err
