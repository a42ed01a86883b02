"""Reports of real runs: what a report states must be true of its run."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.report.test_pdf import pdf_or_skip
from gliomap.cli import run as command
from gliomap.errors import RunError
from gliomap.evaluation.report import ReportedRun
from gliomap.sensors import get_sensor, write_sensor_toml
from gliomap.studies import StudySettings, write_study_toml
from gliomap.workflows import draw_folds, evaluate, open_run, report, reported_run, train
from workflows.conftest import write_study


@pytest.mark.parametrize(
    ("options", "divided_by"),
    [
        ({"protocol": "holdout", "test_patients": ["ID0002"]}, None),
        ({"protocol": "holdout", "test_patients": ["ID0002"], "sensor": "generic-nir-5x5"}, None),
        ({"protocol": "holdout", "test_patients": ["ID0002"], "sensor": "camera.toml"}, None),
        ({"protocol": "kfold-patient", "folds": 3, "seed": 3, "final": False}, None),
        ({"seed": 2}, {"protocol": "pooled", "folds": 3, "seed": 5}),
    ],
    ids=[
        "holdout",
        "camera that the study does not name",
        "camera in a file",
        "kfold-patient",
        "split of another seed",
    ],
)
def test_the_commands_of_a_report_reproduce_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, divided_by: dict | None
) -> None:
    study = write_study(tmp_path / "study", ("ID0001C01", "ID0002C01", "ID0003C01"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if options.get("sensor") == "camera.toml":
        write_sensor_toml(replace(get_sensor("generic-nir-5x5"), name="own"), elsewhere / "camera.toml")
        options = {**options, "sensor": elsewhere / "camera.toml"}
    if divided_by is not None:
        options = {**options, "split": elsewhere / "splits.json"}
        draw_folds(study, divided_by).save(options["split"])
    run = open_run(train(study, model="svm-linear", out=tmp_path / "first", **options))
    evaluate(run.path, sensor=options.get("sensor"))
    shutil.copytree(study, elsewhere / "study")
    monkeypatch.chdir(elsewhere)
    lines = reported_run(run.path).commands
    assert max(map(len, lines)) < 90, "the page would break a longer line, perhaps within an option"
    values = ("--model", "--protocol", "--seed", "--sensor", "--split", "-o")
    assert not [line for line in lines if line.removesuffix(" \\").endswith(values)], "an option without its value"
    written = " ".join(line.removesuffix("\\") for line in lines)
    assert str(study) not in written
    for line in written.split("&&"):
        words = shlex.split(line)
        assert words[0] == "gliomap"
        assert command([*words[1:], "--quiet"]) == 0
    again = open_run(elsewhere / "first")
    assert again.record.split_fingerprint == run.record.split_fingerprint
    assert again.record.sensor == run.record.sensor
    weights = [
        {path.relative_to(one.path): path.read_bytes() for path in one.path.rglob("model.safetensors")}
        for one in (run, again)
    ]
    assert weights[0] == weights[1]
    assert (elsewhere / "first" / "report.html").is_file()


def test_commands_name_the_file_of_folds_drawn_for_another_model(tmp_path: Path) -> None:
    """LDA needs no validation patients: without the file it would get other folds."""
    study = write_study(tmp_path / "study", ("ID0001C01", "ID0002C01", "ID0003C01"))
    first = train(study, model="svm-linear", protocol="lopo", final=False)
    run = train(study, model="lda", split=first / "splits.json", final=False, out=tmp_path / "run")
    evaluate(run)
    assert "--split splits.json" in " ".join(reported_run(run).commands)
    assert "--split" not in " ".join(reported_run_of(first).commands)


def reported_run_of(run: Path) -> ReportedRun:
    evaluate(run)
    return reported_run(run)


@pytest.mark.parametrize(
    "division", [{"protocol": "lopo", "final": False}, {"protocol": "double-cv", "folds": 2}], ids=["lopo", "double-cv"]
)
def test_ignored_labels_and_training_times_cover_all_folds(study: Path, division: dict[str, object]) -> None:
    """Only records of folds have labels outside the classes, and double cross-validation tests only half of its folds."""
    path = train(study, model="lda", **division)
    run, shown = open_run(path), reported_run_of(path)
    assert dict(shown.study)["Labels outside the classes"] == "code 310: 5 pixels"
    alone = reported_run_of(path / "folds" / run.record.chosen[0])
    assert dict(alone.study)["Labels outside the classes"] == "code 310: 5 pixels"
    seconds = [run.fold(name).record.seconds for name in run.record.folds]
    assert len(seconds) == 4
    assert dict(shown.times)["Training, all folds"] == f"{sum(seconds):.1f} s"
    assert dict(alone.times)["Training"] == f"{run.fold(run.record.chosen[0]).record.seconds:.1f} s"


@pytest.mark.parametrize(
    ("model", "told"), [("lda", "all patients; no patient"), ("svm-linear", "all patients except ID000")]
)
def test_the_report_says_which_patients_did_not_train_the_final_model(study: Path, model: str, told: str) -> None:
    shown = reported_run_of(train(study, model=model, protocol="lopo"))
    assert told in dict(shown.model)["Kept for use"]


@pytest.mark.parametrize(("patients", "stops"), [(2, False), (3, True)])
def test_early_stopping_is_mentioned_only_with_validation_patients(tmp_path: Path, patients: int, stops: bool) -> None:
    study = write_study(tmp_path / "study", tuple(f"ID000{number}C01" for number in range(1, patients + 1)))
    run = train(study, model="fourlayer", overrides={"epochs": 2}, out=tmp_path / "run")
    evaluate(run)
    training = dict(reported_run(run).model)["Training"]
    assert ("at most 2 epochs" in training, "validation patients" in training) == (stops, stops)


def test_a_phantom_is_recognised_by_its_study_and_not_by_its_name(tmp_path: Path) -> None:
    told = {}
    for name, synthetic in (("phantom limb", None), ("glioma", True)):
        study = write_study(tmp_path / name / "study", ("ID0001C01", "ID0002C01"))
        write_study_toml(study, StudySettings(name=name, synthetic=synthetic))
        run = train(study, model="lda")
        evaluate(run)
        told[name] = report([run]).html.read_text()
    assert "synthetic patient" not in told["phantom limb"]
    assert "trained on 1 synthetic patient and tested on 1 synthetic patient" in told["glioma"]
    assert "The patients are synthetic." in told["glioma"]


def test_a_name_that_ends_in_pdf_gives_the_pdf_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pdf_or_skip()
    study = write_study(tmp_path / "study", ("ID0001C01", "ID0002C01"))
    run, out = train(study, model="lda"), tmp_path / "out"
    evaluate(run)
    assert command(["report", str(run), "-o", str(out / "report.pdf"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["html"], told["pdf"]) == (None, str(out / "report.pdf"))
    assert [path.name for path in out.iterdir()] == ["report.pdf"]
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert command(["report", str(run), "-o", str(out / "report.pdf")]) == 2, "the file already exists"
    assert command(["report", str(run), "-o", str(out / "report.doc")]) == 2
    assert (
        "is not a valid name for a page or a PDF. Use a name that ends in .html or .htm or .pdf"
        in capsys.readouterr().err
    )
    assert command(["report", str(run), "-o", str(out / "both.html"), "--pdf"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["both.html", "both.pdf", "report.pdf"]


def test_a_damaged_map_is_refused_by_name(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", ("ID0001C01", "ID0002C01"))
    run = train(study, model="lda")
    evaluate(run)
    path = run / "evaluation" / "maps" / "ID0002C01.npz"
    with np.load(path) as kept:
        whole = dict(kept)

    def refused(**changes: object) -> str:
        np.savez(path, **{name: array for name, array in (whole | changes).items() if array is not None})
        with pytest.raises(RunError, match=r"ID0002C01\.npz.*Evaluate the run again") as caught:
            reported_run(run)
        return caught.value.fault

    assert "is not a map" in refused(truth=None)
    assert "do not fit" in refused(rgb=whole["rgb"][1:])
    assert "not of the run's 5 classes" in refused(labels=np.full_like(whole["labels"], 6))
    assert "not a finite number" in refused(confidence=np.full_like(whole["confidence"], np.nan))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match="is not a map"):
        reported_run(run)
