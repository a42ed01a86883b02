"""A run folder is opened only if it is complete and undamaged."""

from __future__ import annotations

import json
import shutil

import pytest

from gliomap.errors import ModelError, RunError, StudyError
from gliomap.workflows import open_run, train


@pytest.fixture
def run(study):
    return train(study, model="lda", test_patients=["ID0003"])


def test_paths_without_a_run_are_refused(study, tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        open_run(tmp_path / "none")
    with pytest.raises(RunError, match=r"holds no run\.json"):
        open_run(study)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RunError, match="does not exist"):
        open_run(file / "run")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.pop("study"), "study: Field required"),
        (lambda record: record.update(format=2), "format"),
        (lambda record: record.update(extra=1), "extra"),
        (lambda record: record["training"].update(epochs=0), "epochs"),
        (lambda record: record["classes"]["classes"].pop(0), "indices"),
        (lambda record: record["preprocessing"].update(normalisation="loud"), "normalisation"),
    ],
)
def test_a_damaged_record_is_refused(run, change, told):
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=told):
        open_run(run)


def test_a_folder_that_still_has_its_running_name_is_refused(run):
    """Its record is complete a moment before it is renamed, so a reader could open a folder that is about to move."""
    running = run.rename(run.with_name(f"running_{run.name}"))
    with pytest.raises(RunError, match="is not finished"):
        open_run(running)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_record_that_is_not_a_json_object_is_refused(run, content):
    (run / "run.json").write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        open_run(run)


def test_missing_and_damaged_parts_are_named(run):
    opened = open_run(run)
    (run / "history.json").write_text('{"epochs": 3}')
    with pytest.raises(RunError, match=r"history\.json.*damaged"):
        opened.history()
    (run / "history.json").unlink()
    with pytest.raises(RunError, match=r"history\.json.*does not exist"):
        opened.history()
    (run / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="does not exist"):
        opened.model()
    (run / "split.json").unlink()
    with pytest.raises(StudyError, match=r"split\.json"):
        opened.split()


def test_a_split_of_another_run_is_refused(study, run):
    other = train(study, model="lda", test_patients=["ID0001"])
    shutil.copy(other / "split.json", run / "split.json")
    with pytest.raises(RunError, match="not the split"):
        open_run(run).split()


def test_a_run_finds_its_study_after_both_were_moved_together(study, run, tmp_path):
    moved = tmp_path / "moved"
    study.rename(moved)
    opened = open_run(moved / "runs" / run.name)
    assert opened.study().root == moved
    alone = tmp_path / "alone"
    shutil.copytree(opened.path, alone)
    with pytest.raises(RunError, match="--study"):
        open_run(alone).study()
    assert open_run(alone).study(moved).root == moved
