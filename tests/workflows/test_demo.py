"""The demo, with three small, easy patients and two epochs."""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path

import pytest

import gliomap.workflows
import gliomap.workflows._demo as workflow
from gliomap.cli import run
from gliomap.errors import OutputExistsError, UsageError
from gliomap.sensors import get_sensor, resized
from gliomap.workflows import Demo, demo

SMALL = {
    "patients": 3,
    "difficulty": "easy",
    "sensor": resized(get_sensor("generic-nir-5x5"), 48, 72),
    "settings": {"epochs": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demo(tmp_path_factory.mktemp("demo") / "gliomap-demo", **SMALL)


def test_the_demo_writes_the_files_that_it_names(made: Demo) -> None:
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "bundle",
        "demo.json",
        "patients.png",
        "result",
        "run",
        "study",
    ]
    assert all(path.is_file() for path in (*made.pictures, made.sheet))
    assert made.pictures[0].name == f"Conv2DNet_{made.capture}_noCV_version_1.png"
    record = json.loads((made.folder / "demo.json").read_text())
    assert record["status"] == "done"
    assert set(record["seconds"]) == {"phantom", "train", "evaluate", "bundle", "classify"}
    assert all((made.folder / name).is_file() for name in record["pictures"])


def test_the_classified_patient_was_held_out(made: Demo) -> None:
    assert made.patient == "ID0003"
    assert list(made.evaluation.patients) == ["ID0003"]
    assert made.evaluation.same_patient == ()
    assert made.classification.result.input.kind == "study frame"
    assert made.classification.result.bundle.identity == json.loads((made.folder / "demo.json").read_text())["bundle"]


def test_the_bundle_holds_the_graph_that_was_tested(made: Demo) -> None:
    from gliomap.bundles import open_bundle

    manifest = open_bundle(made.bundle).manifest
    assert manifest.files["cube.onnx"].sha256 == made.evaluation.graph


def test_a_folder_that_is_not_a_demo_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(OutputExistsError):
        demo(tmp_path / "letters")
    (tmp_path / "letters" / "one.txt").touch()
    with pytest.raises(UsageError, match=r"holds no demo\.json, so it is not an earlier result"):
        demo(tmp_path / "letters", overwrite=True)
    assert (tmp_path / "letters").is_dir()


def test_an_earlier_demo_is_kept_unless_overwriting(
    made: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tmp_path / "demo"
    earlier.mkdir()
    for name in ("demo.json", "patients.png"):
        (earlier / name).write_bytes((made.folder / name).read_bytes())
    before = {path.name: path.read_bytes() for path in earlier.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(workflow, "_make", lambda *_: pytest.fail("began to make a demo"))
        with pytest.raises(OutputExistsError, match="already exists") as caught:
            demo(earlier, **SMALL)
    assert "--overwrite" in caught.value.remedy
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == before
    monkeypatch.setattr(workflow, "_make", lambda *_: made)
    demo(earlier, **SMALL, overwrite=True)
    assert [path.name for path in earlier.iterdir()] == ["demo.json"]
    assert list(tmp_path.iterdir()) == [earlier]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("thing", "fault", "Remedy.")])
def test_a_stopped_demo_leaves_nothing_but_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(workflow, "train", stop)
    with pytest.raises(type(error)):
        demo(tmp_path / "out", **SMALL)
    assert list(tmp_path.iterdir()) == []
    earlier = tmp_path / "out" / "demo.json"
    earlier.parent.mkdir()
    earlier.write_text("of yesterday")
    with pytest.raises(type(error)):
        demo(tmp_path / "out", **SMALL, overwrite=True)
    assert earlier.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [earlier.parent]


def test_the_command_says_where_the_pictures_are_and_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: Demo
) -> None:
    asked: dict[str, object] = {}

    def short(out: Path, **given: object) -> Demo:
        asked.update(given, out=out)
        logging.getLogger("gliomap.workflows._demo").info("1/5 as the real one does")
        return made

    monkeypatch.setattr(gliomap.workflows, "demo", short)
    assert run(["demo", "--out", str(tmp_path / "d"), "--threads", "1", "--overwrite"]) == 0
    assert (asked["out"], asked["threads"], asked["overwrite"]) == (tmp_path / "d", 1, True)
    told = capsys.readouterr()
    assert "1/5" in told.err
    for path in (made.pictures[0], made.sheet, made.result / "overlay.png", made.bundle):
        assert str(path) in told.out
    assert "not a medical device" in told.out
    assert "tumour: sensitivity" in told.out
    assert "healthy green, tumour red" in told.out
    assert "in 1 s" not in told.out
    assert run(["demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capture"] == made.capture


@pytest.mark.slow
def test_overwriting_replaces_an_earlier_demo(tmp_path: Path) -> None:
    make = functools.partial(demo, tmp_path / "d", **SMALL)
    first = make()
    (first.folder / "old").touch()
    second = make(overwrite=True)
    assert not (second.folder / "old").exists()
