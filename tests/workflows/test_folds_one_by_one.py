"""Folds that are trained one by one, or after an interruption, become one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gliomap.errors import OutputExistsError, RunError
from gliomap.workflows import (
    evaluate,
    open_run,
    plan_protocol,
    run_plan,
    train,
)
from workflows.conftest import write_study

ALL = ("ID0001", "ID0002", "ID0003", "ID0004")


APART = {
    "model": "fourlayer",
    "protocol": "kfold-patient",
    "folds": 4,
    "hidden": 4,
    "overrides": {"epochs": 2},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fold of a study, and the model on all patients, each a run of its own beside the study."""
    root = tmp_path_factory.mktemp("cluster")
    plan = plan_protocol(write_study(root / "study"), APART)
    for name in (*plan.plans, "final"):
        run_plan(plan.only(name), out=root / "parts" / name)
    return root / "parts"


class TestGathered:
    """Folds that were trained one by one, as on a cluster, become one run."""

    def test_gathered_folds_are_not_trained_again(self, parts: Path, tmp_path: Path) -> None:
        plan = plan_protocol(parts.parent / "study", APART)
        run = run_plan(plan, out=tmp_path / "run", trained=parts)
        for name in (*plan.plans, "final"):
            assert (run / "folds" / name / "run.json").read_bytes() == (parts / name / "run.json").read_bytes()
        assert evaluate(run).record.patients.keys() == set(ALL)

    @pytest.mark.parametrize(
        ("other", "differing"), [({"hidden": 5}, "model"), ({"overrides": {"epochs": 3}}, "settings")]
    )
    def test_folds_of_another_model_or_other_settings_are_refused(
        self, parts: Path, tmp_path: Path, other: dict[str, object], differing: str
    ) -> None:
        plan = plan_protocol(parts.parent / "study", {**APART, **other})
        with pytest.raises(RunError, match=f"differs from this training in {differing}"):
            run_plan(plan, out=tmp_path / "run", trained=parts)
        assert not list(tmp_path.iterdir())

    def test_folds_of_another_split_are_refused(self, parts: Path, tmp_path: Path) -> None:
        plan = plan_protocol(parts.parent / "study", {**APART, "seed": 1})
        with pytest.raises(RunError, match="not a fold of this training"):
            run_plan(plan, out=tmp_path / "run", trained=parts)


def train_two_folds(study: Path) -> None:
    """Start leave-one-patient-out training and interrupt it before the third fold."""

    def stopping(items: Iterable[object], description: str, *_: object) -> Iterator[object]:
        for number, item in enumerate(items):
            if description == "training folds" and number == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        train(study, model="lda", protocol="lopo", track=stopping)


class TestInterrupted:
    def test_finished_folds_are_not_trained_again(self, study: Path) -> None:
        train_two_folds(study)
        running = study / "runs" / "running_lda_lopo_1"
        assert {path.name for path in (running / "folds").iterdir()} == {"ID0001", "ID0002"}
        before = {path: path.stat().st_mtime_ns for path in running.rglob("model.safetensors")}
        # A process that was killed may also leave the folder of a fold without a record.
        (running / "folds" / "running_ID0003").mkdir()
        run = train(study, model="lda", protocol="lopo", resume=True)
        after = {path.relative_to(run): path.stat().st_mtime_ns for path in run.rglob("model.safetensors")}
        assert len(after) == 5
        for path, time in before.items():
            assert after[path.relative_to(running)] == time
        assert not running.exists()

    def test_a_fold_under_the_name_of_another_is_refused(self, study: Path) -> None:
        """Its model would be tested on patients that it was trained on."""
        train_two_folds(study)
        folds = study / "runs" / "running_lda_lopo_1" / "folds"
        (folds / "ID0001").rename(folds / "ID0003")
        with pytest.raises(RunError, match="ID0003: has another split than this training"):
            train(study, model="lda", protocol="lopo", resume=True)

    def test_an_interrupted_network_resumes_inside_its_fold(self, study: Path) -> None:
        options = {
            "model": "fourlayer",
            "protocol": "lopo",
            "final": False,
            "overrides": {"epochs": 3, "checkpoint_every": 1, "patience": None},
        }
        straight = train(study, **options)
        seen = []

        def stop(record: object) -> None:
            seen.append(record)
            if len(seen) == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(study, observer=stop, **options)
        resumed = train(study, resume=True, **options)
        for patient in ALL:
            weights = [(run / "folds" / patient / "model.safetensors").read_bytes() for run in (straight, resumed)]
            assert weights[0] == weights[1]
        whole, parts = open_run(resumed), [open_run(resumed).fold(patient) for patient in ALL]
        assert whole.record.seconds >= round(sum(one.record.seconds for one in parts), 3)
        # Measured once for all folds; 0 seconds in each fold would be wrong.
        assert [one.record.times.loading_arguments for one in (whole, *parts) if one.record.times][1:] == [None] * 4
        assert whole.record.times is not None
        assert whole.record.times.loading_arguments is not None

    def test_an_interruption_before_the_first_fold_leaves_nothing(self, study: Path) -> None:
        def stopping(items: Iterable[object], description: str, *_: object) -> Iterator[object]:
            if description == "training folds":
                raise KeyboardInterrupt
            yield from items

        with pytest.raises(KeyboardInterrupt):
            train(study, model="lda", protocol="lopo", track=stopping)
        assert list((study / "runs").iterdir()) == []

    def test_a_finished_run_is_not_replaced(self, study: Path, tmp_path: Path) -> None:
        train(study, model="lda", protocol="pooled", out=tmp_path / "run")
        with pytest.raises(OutputExistsError):
            train(study, model="lda", protocol="pooled", out=tmp_path / "run")
