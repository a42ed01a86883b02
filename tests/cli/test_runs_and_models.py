"""`runs` and `models`: what they say of unfinished runs, of other studies, and of stores that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run


@pytest.mark.parametrize(
    "words",
    [
        ("models", "list"),
        ("models", "show", "glioma-map/1"),
        ("models", "promote", "glioma-map/1"),
        ("bundle", "show", "models:/glioma-map/1"),
        ("bundle", "verify", "models:/glioma-map/1"),
        ("serve", "models:/glioma-map/1"),
        ("classify", "models:/glioma-map/1", "--cube", "cube.npz"),
    ],
    ids=" ".join,
)
def test_who_only_reads_makes_no_store(gliomap: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    database = tmp_path / "below" / "nowhere.db"
    done = gliomap(*words, "--tracking", f"sqlite:///{database}")
    assert (done.code, done.out) == (2, "")
    assert f"tracking store sqlite:///{database}: is not there. Name another with --tracking URI" in done.err
    assert list(tmp_path.iterdir()) == []


def test_nor_beside_a_study_that_has_none(
    gliomap: Run, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = gliomap("classify", "models:/glioma-map/1", "--study", small_study, "--capture", "ID0001C01")
    assert (done.code, "mlflow.db: is not there" in done.err) == (2, True)
    assert not (small_study / "mlflow.db").exists()
