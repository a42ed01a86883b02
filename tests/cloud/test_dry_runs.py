"""Every verb with `--dry-run`: prints YAML that azure-ai-ml's loaders accept, and sends nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundles.makers import small_bundle, small_sensor, window_network
from cli.conftest import Run
from cloud.conftest import write_config
from gliomap.cli._verb import EXAMPLES
from support import PROJECT

VERBS = {
    "check": ("check", ["workspace", "compute"]),
    "upload": ("upload {study} --to nemesis", ["data"]),
    "dataset create": ("dataset create nemesis", ["data"] * 5),
    "dataset list": ("dataset list", []),
    "download": ("download nemesis:2 back", []),
    "train": ("train nemesis --model lda -o run", ["job"]),
    "train folds": ("train nemesis:1 --protocol kfold-patient --folds 3 -o run", ["job", "job"]),
    "train double": ("train nemesis:1 --protocol double-cv -o run", ["job", "job"]),
    "train lopo": ("train nemesis:1 --protocol lopo --patients 13 --trials 6 -o run", ["job", "job"]),
    "deploy": ("deploy {bundle} --endpoint brain", ["model", "online-endpoint", "online-deployment"]),
    "deploy kubernetes": (
        "deploy small:3 --endpoint brain --to kubernetes --compute aks --auth entra",
        ["online-endpoint", "online-deployment"],
    ),
    "undeploy": ("undeploy brain", []),
    "score": ("score brain --raw a.tif --white b.tif --dark c.tif", []),
    "metrics": ("metrics gliomap", []),
    "logs": ("logs mine", []),
}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config.json, where every connection is refused."""
    pytest.importorskip("azure.ai.ml")
    write_config(tmp_path / "config.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dry run reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_prints_yaml_that_az_ml_loads_and_sends_nothing(
    verb: str, offline: Path, gliomap: Run, small_study: Path
) -> None:
    bundle = small_bundle(offline / "bundle", network=window_network(), sensor=small_sensor()).path
    command, kinds = VERBS[verb]
    words = [word.format(study=small_study, bundle=bundle) for word in command.split()]
    done = gliomap("azure", *words, "--dry-run")
    assert done.code == 0, done.err
    assert "Nothing was sent" in done.err
    parts = done.out.split("\n---\n")
    assert all(part.startswith("# az ml ") for part in parts)
    found = [part for part in parts if yaml.safe_load(part) is not None]
    assert [part.split()[3] for part in found] == kinds
    for part, kind in zip(found, kinds, strict=True):
        assert loaded(kind, part, offline).name
        for path in local_paths(yaml.safe_load(part)):
            assert path.exists()


def loaded(kind: str, text: str, folder: Path) -> Any:
    """Load a document with azure-ai-ml's own loader, from a file as `az ml` does."""
    import azure.ai.ml as ml

    path = folder / "document.yml"
    path.write_text(text)
    return getattr(ml, f"load_{kind.replace('-', '_')}")(source=str(path))


def local_paths(content: Any) -> list[Path]:
    """Local folders of code that a document names."""
    if isinstance(content, dict):
        return [
            path
            for key, value in content.items()
            for path in ([Path(value)] if key == "code" and isinstance(value, str) else local_paths(value))
        ]
    return [path for one in content for path in local_paths(one)] if isinstance(content, list) else []


def test_a_bundle_without_a_frame_graph_is_refused(offline: Path, gliomap: Run) -> None:
    cubes_only = small_bundle(offline / "cubes-only").path
    told = gliomap("azure", "deploy", cubes_only, "--endpoint", "brain", "--dry-run")
    assert (told.code, "has no frame.onnx" in told.err) == (2, True)


def test_every_verb_is_covered_by_a_dry_run() -> None:
    verbs = {name.removeprefix("azure ") for name in EXAMPLES if name.startswith("azure ")}
    assert verbs <= {name if name.startswith("dataset") else name.split()[0] for name in VERBS}


@pytest.mark.parametrize("verb", ["train", "score"])
def test_overwrite_refuses_a_folder_that_is_not_an_earlier_result(verb: str, offline: Path, gliomap: Run) -> None:
    (offline / "patients").mkdir()
    (offline / "patients" / "ID0001.mat").touch()
    words = [word for word in VERBS[verb][0].split() if word not in ("-o", "run")]
    done = gliomap("azure", *words, "-o", offline / "patients", "--overwrite")
    assert done.code == 2
    assert "not an earlier result" in done.err
    assert (offline / "patients" / "ID0001.mat").exists()


def test_documents_with_a_missing_file_or_field_are_refused(offline: Path) -> None:
    from gliomap.deploy.azure import Document
    from gliomap.errors import AzureError, UsageError

    content = {"name": "a", "type": "uri_folder", "path": str(offline / "nowhere")}
    with pytest.raises(UsageError, match="does not exist"):
        Document("data", content).load()
    with pytest.raises(AzureError, match="refuses"):
        Document("job", {"type": "command", "name": "a"}).load()


def test_fold_names_follow_the_protocol_or_the_saved_folds(offline: Path, tmp_path: Path) -> None:
    from gliomap.deploy.azure import fold_names
    from gliomap.errors import UsageError
    from gliomap.studies import Folds, Split

    del offline
    none = {"split": None, "final": True}
    assert fold_names("holdout", None, 13, **none) == ()
    assert fold_names("pooled", 5, 13, **none) == ()
    assert fold_names("lopo", None, 3, **none) == ("1", "2", "3", "final")
    assert fold_names("kfold-patient", 3, 0, split=None, final=False) == ("1", "2", "3")
    assert len(fold_names("double-cv", None, 0, **none)) == 25
    with pytest.raises(UsageError, match="offers no choice of folds"):
        fold_names("lopo", 4, 3, **none)
    with pytest.raises(UsageError, match="--patients"):
        fold_names("lopo", None, 0, **none)
    patients = {"ID0001C01": "ID0001", "ID0002C01": "ID0002"}
    split = Split("lopo", ("ID0001C01",), (), ("ID0002C01",), 0, False, patients, {})
    Folds("lopo", {"ID0002": split, "again": split}).save(tmp_path / "folds.json")
    assert fold_names("holdout", None, 0, split=tmp_path / "folds.json", final=True) == ("1", "2", "final")
    with pytest.raises(UsageError, match="protocol pooled: is not that of"):
        fold_names("pooled", None, 0, split=tmp_path / "folds.json", final=True)


@pytest.mark.parametrize(("kind", "extras"), [("train", {"train", "track"}), ("score", {"serve"})])
def test_the_lock_pins_every_requirement_to_an_allowed_version(kind: str, extras: set[str]) -> None:
    from packaging.requirements import Requirement

    lines = (PROJECT / "src/gliomap/deploy/azure/locks" / f"{kind}.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [Requirement(one) for one in requires("gliomap") or ()]
    for one in wanted:
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
            name = one.name.lower().replace("_", "-")
            if name != "gliomap":
                assert one.specifier.contains(pins[name]), one
    more = {"train": "azureml-mlflow", "score": "azureml-inference-server-http"}
    assert more[kind] in pins


def test_only_the_azure_verbs_need_the_extra_and_they_name_it(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('azure', 'azureml'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import gliomap, gliomap.engine, gliomap.workflows, gliomap.serving, gliomap.deploy\n"
        "from gliomap.cli import run\n"
        "assert run(['azure', '--help']) == 0\n"
        "assert run(['azure', 'check']) == 3\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('azure', 'azureml')]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'pip install "gliomap[azure]"' in done.stderr
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(one.startswith("azure-ai-ml") for one in extras["azure"])
