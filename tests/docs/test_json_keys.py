"""What `--json` prints has the keys that docs/reference/cli.md names."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.pages import named, sections
from gliomap.cli import run
from gliomap.evaluation import EvaluationRecord
from gliomap.phantom import make_phantom
from gliomap.sensors import get_sensor, resized, write_sensor_toml
from gliomap.workflows import ClassificationResult

pytestmark = pytest.mark.slow

PAGE = sections("reference/cli.md")

COMMANDS = {
    "phantom": "phantom other --patients 1 --dry-run",
    "sensor import": "sensor import camera.toml --name small",
    "sensor list": "sensor list",
    "sensor show": "sensor show camera.toml",
    "study check": "study check study",
    "study show": "study show study -o sheet.png",
    "preprocess": "preprocess --raw study/tif/ID0001C01.tif --white study/tif/ID0001CW01.tif"
    " --dark study/tif/ID0001CD01.tif --sensor camera.toml",
    "preprocess study": "preprocess study --dry-run",
    "train dry run": "train study --model lda --dry-run",
    "train": "train study --model lda -o run",
    "study split": "study split study --protocol lopo -o splits.json",
    "train list": "train --model list",
    "train folds dry run": "train study --model lda --protocol lopo --dry-run",
    "train folds": "train study --model lda --split splits.json -o folds",
    "evaluate": "evaluate run",
    "sanity": "evaluate run --oracle",
    "report": "report run",
    "bundle create": "bundle create run",
    "bundle show": "bundle show run/bundle",
    "bundle verify": "bundle verify run/bundle",
    "runs list": "runs list run",
    "runs show": "runs show run",
    "runs compare": "runs compare run",
    "runs export": "runs export run",
    "runs sync": "runs sync run --tracking sqlite:///store.db",
    "models register": "models register run --name map --tracking sqlite:///store.db",
    "models promote": "models promote map/1 --tracking sqlite:///store.db",
    "models list": "models list --tracking sqlite:///store.db",
    "models show": "models show map@champion --tracking sqlite:///store.db",
    "classify": "classify run/bundle --study study --capture ID0003C01 -o result",
}
"""A session, in order."""


@dataclass(frozen=True)
class Session:
    """A folder in which the commands ran, and what each printed."""

    folder: Path
    printed: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """All commands, one after the other, on three small synthetic patients."""
    folder = tmp_path_factory.mktemp("session")
    camera = resized(get_sensor("generic-nir-5x5"), 48, 72)
    write_sensor_toml(camera, folder / "camera.toml")
    make_phantom(folder / "study", patients=3, difficulty="easy", sensor=camera, label_fraction=0.4)
    (folder / "study" / "datasets" / "ID0001C01_dataset.mat").unlink()
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLIOMAP_SENSORS", str(folder / "sensors"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        for name, command in COMMANDS.items():
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                assert run([*command.split(), "--json", "--quiet"]) == 0, command
            printed[name] = json.loads(out.getvalue())
    return Session(folder, printed)


def told(verb: str, which: int = 0) -> set[str]:
    """Keys that the page names for a verb, in the JSON line number `which`."""
    lines = re.findall(r"^JSON[^:]*: (.+?\.)$", PAGE[verb].text, re.M | re.S)
    return set(named(re.sub(r"\([^)]*\)|\(\[.*?\)\)", "", lines[which])))


@pytest.mark.parametrize(
    ("name", "verb", "which"),
    [
        ("phantom", "phantom", 0),
        ("sensor import", "sensor import", 0),
        ("report", "report", 0),
        ("study check", "study check", 0),
        ("study show", "study show", 0),
        ("preprocess", "preprocess", 0),
        ("preprocess study", "preprocess", 1),
        ("study split", "study split", 0),
        ("train folds", "train", 3),
        ("train folds dry run", "train", 4),
        ("train list", "train", 2),
        ("train", "train", 0),
        ("train dry run", "train", 1),
        ("bundle create", "bundle create", 0),
        ("bundle show", "bundle show", 0),
        ("bundle verify", "bundle verify", 0),
        *((verb, verb, 0) for verb in COMMANDS if verb.startswith(("runs ", "models "))),
    ],
)
def test_a_verb_prints_the_keys_that_the_page_names(session: Session, name: str, verb: str, which: int) -> None:
    assert told(verb, which) == set(session.printed[name])


def test_listed_runs_and_models_have_the_keys_that_the_page_names(session: Session) -> None:
    for verb, key in (("runs list", "runs"), ("runs sync", "runs")):
        (keys,) = re.findall(rf"`{key}` \(each with ([^)]*)\)", " ".join(PAGE[verb].text.split()))
        assert [set(one) for one in session.printed[verb][key]] == [set(named(keys))]
    assert [set(one) for one in session.printed["models list"]["models"]] == [told("models register") - {"new"}]


def test_a_listed_and_a_shown_sensor_have_the_keys_of_an_imported_one(session: Session) -> None:
    keys = told("sensor import") - {"file"}
    assert set(session.printed["sensor list"]["sensors"][0]) == keys
    assert set(session.printed["sensor show"]) == keys | {"bands", "plot"}


def test_findings_have_the_keys_that_the_page_names(session: Session) -> None:
    (keys,) = re.findall(r"`findings` \(each with ([^)]*)\)", " ".join(PAGE["study check"].text.split()))
    findings = session.printed["study check"]["findings"]
    assert findings
    assert all(set(finding) == set(named(keys)) for finding in findings)


def test_evaluate_and_classify_print_the_keys_of_their_files(session: Session) -> None:
    assert set(session.printed["evaluate"]) == {"folder", *EvaluationRecord.model_fields}
    assert set(session.printed["classify"]) == {"folder", *ClassificationResult.model_fields}


def test_a_run_folder_has_the_files_that_the_page_names(session: Session) -> None:
    names = {name for row in sections("reference/files.md")["Run folder"].rows() for name in named(row[0])}
    found = {path.name + "/" * path.is_dir() for path in (session.folder / "run").iterdir()}
    assert found == names - {"checkpoint.safetensors", "checkpoint-refit.safetensors", ".lock"}


def test_a_run_of_several_folds_has_the_files_that_the_page_names(session: Session) -> None:
    names = {name for row in sections("reference/files.md")["Runs of several folds"].rows() for name in named(row[0])}
    found = {path.name for path in (session.folder / "folds").iterdir()}
    assert found == {name.split("/")[0] for name in names} - {"evaluation", "sanity", "bundle"}


def test_a_bundle_has_the_files_that_the_page_names(session: Session) -> None:
    names = {named(row[0])[0] for row in sections("reference/files.md")["Bundle"].rows()}
    assert names == {path.name for path in (session.folder / "run" / "bundle").iterdir()}


def test_a_result_folder_has_the_files_that_the_page_names(session: Session) -> None:
    names = {named(row[0])[0] for row in sections("reference/files.md")["Classification"].rows()}
    assert names == {path.name for path in (session.folder / "result").iterdir()}
    assert set(session.printed["classify"]["files"].values()) | {"result.json"} == names
