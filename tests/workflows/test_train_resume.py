"""A training that is killed or interrupted resumes to exactly the same result."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from gliomap._files import put_in_place
from gliomap.errors import OutputExistsError, RunError
from gliomap.workflows import open_run, train

OPTIONS = {"test_patients": ["ID0003"], "overrides": {"epochs": 8, "batch_size": 64, "checkpoint_every": 2}}

# This training pauses after the fifth epoch, between two checkpoints, until it is killed.
SCRIPT = """
import sys
from gliomap.workflows import train
def told(record):
    print(record.epoch, flush=True)
    if record.epoch == 5:
        sys.stdin.read()
train(sys.argv[1], observer=told, **eval(sys.argv[2]))
"""


@contextmanager
def training(study, options):
    """A process that trains up to its fifth epoch and prints each one; it is killed when the block ends."""
    words = [sys.executable, "-c", SCRIPT, str(study), repr(options)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def unfinished(study):
    return [path.name for path in (study / "runs").glob("running_*")]


def test_a_training_ended_by_kill_9_resumes_to_the_same_weights(study):
    expected = train(study, out=study / "uninterrupted", **OPTIONS)
    with training(study, OPTIONS) as process:
        assert [int(process.stdout.readline()) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert process.returncode == -signal.SIGKILL
    assert unfinished(study) == ["running_conv2d_holdout_ID0003_1"]
    with pytest.raises(RunError, match=r"not finished.*--resume"):
        open_run(study / "runs" / "running_conv2d_holdout_ID0003_1")

    heard = []
    folder = train(study, resume=True, observer=heard.append, **OPTIONS)
    assert folder.name == "conv2d_holdout_ID0003_1"
    assert [record.epoch for record in heard] == [5, 6, 7, 8]
    assert (folder / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert open_run(folder).history().best_epoch == open_run(expected).history().best_epoch
    assert unfinished(study) == []
    assert not (folder / "checkpoint.safetensors").exists()


def interrupt(at):
    def observe(record):
        if record.epoch == at:
            raise KeyboardInterrupt

    return observe


def test_a_training_resumes_if_the_study_names_the_same_camera(study):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), sensor="generic-nir-5x5", **OPTIONS)
    (study / "study.toml").write_text('sensor = "generic-nir-5x5"\n', encoding="utf-8")
    folder = train(study, resume=True, **OPTIONS)
    assert open_run(folder).record.sensor.name == "generic-nir-5x5"
    assert unfinished(study) == []


def test_ctrl_c_keeps_the_training_and_says_how_to_resume(study, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), **OPTIONS)
    assert unfinished(study) == ["running_conv2d_holdout_ID0003_1"]
    assert "--resume" in caplog.text
    assert train(study, resume=True, **OPTIONS).name == "conv2d_holdout_ID0003_1"


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing(study, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(1), **OPTIONS)
    assert unfinished(study) == []
    assert "nothing was kept" in caplog.text
    with pytest.raises(RunError, match="no unfinished training"):
        train(study, resume=True, **OPTIONS)


def test_ctrl_c_while_retraining_resumes_to_the_same_weights(study):
    options = {**OPTIONS, "overrides": OPTIONS["overrides"] | {"checkpoint_every": 1}}
    expected = train(study, out=study / "uninterrupted", **options)
    trainings = []

    def track(items, description, total=None):
        del total
        trainings.append(description.startswith("training"))
        for number, item in enumerate(items):
            if sum(trainings) == 2 and number == 3:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        train(study, track=track, **options)
    heard = []
    folder = train(study, resume=True, observer=heard.append, **options)
    assert heard == []
    assert (folder / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert [r.train_loss for r in open_run(folder).history().refit] == [
        r.train_loss for r in open_run(expected).history().refit
    ]
    history, record = open_run(folder).history(), open_run(folder).record
    epochs = sum(epoch.seconds for epoch in (*history.epochs, *history.refit))
    assert record.times.training >= round(epochs, 3), "the epochs of the interrupted process should be included"
    assert record.seconds >= record.times.training
    assert sorted(path.name for path in folder.iterdir()) == [
        "epochs.jsonl",
        "history.json",
        "model.safetensors",
        "run.json",
        "split.json",
    ]


def test_resume_names_what_differs(study):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), **OPTIONS)
    with pytest.raises(RunError, match="running_conv2d_holdout_ID0003_1 differs in split, settings"):
        train(study, resume=True, seed=5, **OPTIONS)
    path = study / "GroundTruthMaps" / "SNAPgtID0001C01_cropped_Pre-processed.mat"
    path.write_bytes((study / "GroundTruthMaps" / "SNAPgtID0002C01_cropped_Pre-processed.mat").read_bytes())
    with pytest.raises(RunError, match="differs in study"):
        train(study, resume=True, **OPTIONS)


def test_without_resume_a_new_run_begins_beside_the_unfinished_one(study):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), **OPTIONS)
    assert train(study, **OPTIONS).name == "conv2d_holdout_ID0003_2"
    assert unfinished(study) == ["running_conv2d_holdout_ID0003_1"]


def test_a_training_with_a_named_output_can_be_resumed(study, tmp_path):
    out = tmp_path / "mine"
    with pytest.raises(KeyboardInterrupt):
        train(study, out=out, observer=interrupt(4), **OPTIONS)
    assert not out.exists()
    with pytest.raises(OutputExistsError, match=r"unfinished training.*--resume"):
        train(study, out=out, **OPTIONS)
    assert train(study, out=out, resume=True, **OPTIONS) == out
    assert open_run(out).record.name == "mine"


def test_two_processes_do_not_train_in_one_folder(study):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), **OPTIONS)
    with training(study, OPTIONS | {"resume": True}) as process:
        # The process has read its checkpoint of epoch 2 and holds the folder.
        assert process.stdout.readline() == "3\n"
        with pytest.raises(RunError, match="another process"):
            train(study, resume=True, **OPTIONS)
    assert train(study, resume=True, **OPTIONS).name == "conv2d_holdout_ID0003_1"


def test_a_finished_training_is_locked_until_it_has_its_name(study, monkeypatch):
    """Otherwise a process that resumes it just then, and is stopped, would delete the finished model."""

    def meanwhile(running, final):
        with pytest.raises((RunError, KeyboardInterrupt), match="another process"):
            train(study, resume=True, observer=interrupt(1), **OPTIONS)
        put_in_place(running, final)

    monkeypatch.setattr("gliomap.tracking._folder.put_in_place", meanwhile)
    run = train(study, **OPTIONS)
    assert open_run(run).model()
    assert not [path.name for path in run.iterdir() if path.name == ".lock" or path.name.startswith("checkpoint")]


def test_a_name_is_not_reused_if_another_training_ends_meanwhile(study, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(study, observer=interrupt(4), **OPTIONS)
    mkdir, ended = Path.mkdir, iter(range(1))

    def after_the_other_has_ended(path, *given, **more):
        if path.name == "running_conv2d_holdout_ID0003_1":
            for _ in ended:
                path.rename(path.with_name("conv2d_holdout_ID0003_1"))
        mkdir(path, *given, **more)

    monkeypatch.setattr(Path, "mkdir", after_the_other_has_ended)
    assert train(study, **OPTIONS).name == "conv2d_holdout_ID0003_2"
    assert unfinished(study) == []


FULL = """
import resource, sys
from gliomap.errors import machine_error
from gliomap.workflows import train
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    train(sys.argv[1], **eval(sys.argv[2]))
except OSError as error:
    sys.exit(0 if machine_error(error) else 1)
sys.exit(2)
"""


@pytest.mark.parametrize("limit", [20_000, 60_000], ids=["the record fits", "the weights fit"])
def test_a_full_disk_is_a_machine_error_and_leaves_nothing(study, limit):
    # The checkpoint, of about 180 kB, does not fit.
    subprocess.run([sys.executable, "-c", FULL, str(study), repr(OPTIONS), str(limit)], check=True)
    assert list((study / "runs").iterdir()) == []
