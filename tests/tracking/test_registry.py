"""Bundles under names and versions: registered once, promoted on purpose, never replaced by another bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.makers import small_bundle, small_sensor
from gliomap.bundles import open_bundle
from gliomap.engine import Engine
from gliomap.errors import (
    BundleError,
    CaptureError,
    CubeError,
    ReferenceFrameError,
    RunError,
    TrackingError,
    UsageError,
)
from gliomap.studies import open_study
from gliomap.tracking import (
    ModelReference,
    Sender,
    Store,
    fetch_bundle,
    list_models,
    model_name,
    open_run,
    promote,
    register_bundle,
    register_run,
    show_version,
    store_of_study,
)
from gliomap.tracking.pyfunc import BundleModel
from gliomap.workflows import evaluate, make_bundle, train
from serving.servers import make_scene

NAME = "FourLayerNet_ID0003C01_noCV"


@pytest.fixture
def net(study: Path) -> Path:
    return study / "runs" / "net"


@pytest.fixture
def unevaluated(study: Path) -> Path:
    run = train(study, model="lda", test_patients=["ID0003"], out=study / "runs" / "lda")
    return make_bundle(run).path


def named(version: int | None = None, alias: str | None = None) -> ModelReference:
    return ModelReference(NAME, version, alias)


def test_a_run_is_registered_under_its_name_in_the_thesis(net: Path, store: Store) -> None:
    done = register_run(open_run(net), store)
    assert (done.name, done.version, done.aliases) == (NAME, 1, ())
    assert done.uri == f"models:/{NAME}/1"
    assert done.identity == open_bundle(net / "bundle").identity


def test_the_name_of_a_run_with_several_test_patients(study: Path) -> None:
    assert model_name(open_run(study / "runs" / "folds")) == "LDA_4-patients_lopo"


def test_registering_the_same_bundle_again_adds_no_version(net: Path, store: Store) -> None:
    first = register_run(open_run(net), store)
    again = register_run(open_run(net), store)
    assert again == first
    assert (first.new, again.new) == (True, False)
    assert register_bundle(net / "bundle", store, NAME) == first
    assert list_models(store) == [first]


def test_another_bundle_is_the_next_version(net: Path, unevaluated: Path, store: Store) -> None:
    register_run(open_run(net), store)
    second = register_bundle(unevaluated, store, NAME)
    assert second.version == 2
    assert [one.version for one in list_models(store)] == [2, 1]
    # Making the bundle again does not change the files of an earlier version.
    first = fetch_bundle(store, named(1))
    shutil.rmtree(net / "bundle")
    shutil.copytree(unevaluated, net / "bundle")
    assert register_run(open_run(net), store).version == 2
    shutil.rmtree(first)
    assert open_bundle(fetch_bundle(store, named(1))).identity != second.identity


def test_a_zipped_bundle_is_registered_like_a_folder(net: Path, store: Store, tmp_path: Path) -> None:
    packed = make_bundle(net, tmp_path / "packed.zip")
    done = register_bundle(packed.path, store, "packed")
    assert open_bundle(fetch_bundle(store, ModelReference("packed", 1))).identity == packed.identity == done.identity


def test_the_champion_is_the_version_promoted_last(net: Path, unevaluated: Path, store: Store, client: Any) -> None:
    register_run(open_run(net), store)
    register_bundle(unevaluated, store, NAME)
    first = promote(store, named(1))
    assert (first.before, first.version.version) == (None, 1)
    assert show_version(store, named(alias="champion")).version == 1
    again = promote(store, named(2), unevaluated=True)
    assert again.before == 1
    assert show_version(store, named(alias="champion")).version == 2
    assert client.get_registered_model(NAME).tags["gliomap.before.champion"] == "1"
    assert show_version(store, named()).version == 2, "the newest"
    promote(store, named(1), dry_run=True)
    assert show_version(store, named(alias="champion")).version == 2
    assert show_version(store, named(2)).aliases == ("champion",)


def test_an_unevaluated_bundle_is_not_promoted_by_default(unevaluated: Path, store: Store) -> None:
    register_bundle(unevaluated, store, NAME)
    with pytest.raises(BundleError, match="never evaluated"):
        promote(store, named(1))
    with pytest.raises(TrackingError, match="has no alias @champion"):
        show_version(store, named(alias="champion"))


def test_promotion_warns_of_figures_that_overstate(study: Path, net: Path, store: Store) -> None:
    run = train(study, model="lda", protocol="pooled", out=study / "runs" / "pooled")
    evaluate(run)
    register_bundle(make_bundle(run).path, store, NAME)
    register_run(open_run(net), store)
    told = promote(store, named(1), dry_run=True).caution
    assert told.startswith("the figures on its card are too high: 4 test patients also trained")
    assert promote(store, named(2)).caution == ""


@pytest.mark.parametrize("alias", ["latest", "v2", "two words", ""])
def test_invalid_aliases_are_refused(store: Store, alias: str) -> None:
    with pytest.raises(UsageError, match="is not a valid alias"):
        promote(store, named(1), alias)


def stored(store: Store) -> Path:
    """The registered bundle where the store keeps it."""
    (manifest,) = Path(store.artifacts.removeprefix("file://")).rglob("bundle/manifest.json")
    return manifest.parent


def test_an_altered_artifact_is_refused(net: Path, store: Store) -> None:
    register_run(open_run(net), store)
    graph = stored(store) / "cube.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    for use in (lambda: fetch_bundle(store, named(1)), lambda: promote(store, named(1))):
        with pytest.raises(BundleError, match=r"models:/.*/1: is damaged in the registry: .*hash differs"):
            use()
    Sender(store).send(net, again=True)
    assert fetch_bundle(store, named(1)).is_dir()


def test_another_intact_bundle_in_its_place_is_refused(net: Path, unevaluated: Path, store: Store) -> None:
    register_run(open_run(net), store)
    shutil.rmtree(stored(store))
    target = next(Path(store.artifacts.removeprefix("file://")).rglob("MLmodel")).parent / "bundle"
    shutil.copytree(unevaluated, target)
    with pytest.raises(BundleError, match="it was altered"):
        fetch_bundle(store, named(1))


def test_missing_artifacts_are_reported(net: Path, store: Store) -> None:
    register_run(open_run(net), store)
    shutil.rmtree(Path(store.artifacts.removeprefix("file://")))
    with pytest.raises(BundleError, match="no longer at "):
        fetch_bundle(store, named(1))


@pytest.mark.parametrize("copied", [False, True])
def test_a_moved_or_copied_study_keeps_its_models(
    net: Path, unevaluated: Path, store: Store, study: Path, copied: bool
) -> None:
    done = register_run(open_run(net), store)
    moved = study.with_name("moved 100%")
    if copied:
        shutil.copytree(study, moved)
        shutil.rmtree(study / "mlartifacts")
    else:
        study.rename(moved)
    there = store_of_study(moved)
    assert open_bundle(fetch_bundle(there, named(1))).identity == done.identity
    Sender(there).send(moved / unevaluated.parent.relative_to(study))
    assert not (study / "mlartifacts").exists()
    assert fetch_bundle(there, named(register_run(open_run(moved / net.relative_to(study)), there).version)).is_dir()


def test_a_bundle_is_fetched_once_and_a_damaged_copy_again(net: Path, store: Store) -> None:
    register_run(open_run(net), store)
    path = fetch_bundle(store, named(1))
    kept = stored(store).rename(stored(store).with_name("away"))
    assert fetch_bundle(store, named(1)) == path
    kept.rename(kept.with_name("bundle"))
    (path / "card.md").write_text("altered")
    assert open_bundle(fetch_bundle(store, named(1))).identity == path.name


def test_a_model_that_gliomap_did_not_register_is_refused(net: Path, store: Store, client: Any) -> None:
    client.create_registered_model(NAME)
    run = client.create_run(client.create_experiment("foreign", artifact_location=store.artifacts)).info
    client.create_model_version(NAME, f"{run.artifact_uri}/model", run.run_id)
    with pytest.raises(TrackingError, match="was not registered by GlioMap"):
        register_run(open_run(net), store)
    with pytest.raises(BundleError, match="is not a GlioMap bundle"):
        fetch_bundle(store, named(1))


def test_an_unknown_model_or_version_error_lists_what_exists(net: Path, store: Store) -> None:
    with pytest.raises(TrackingError, match="Models there: none"):
        show_version(store, named(1))
    register_run(open_run(net), store)
    with pytest.raises(TrackingError, match=r"has no version 7. It has versions 1\."):
        show_version(store, named(7))


def test_a_run_without_a_bundle_and_an_invalid_name_are_refused(study: Path, store: Store, net: Path) -> None:
    with pytest.raises(RunError, match="gliomap bundle create"):
        register_run(open_run(study / "runs" / "folds"), store)
    with pytest.raises(UsageError, match="contains a character that is not allowed"):
        register_run(open_run(net), store, "a/b")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("models:/net/3", ModelReference("net", 3)),
        ("models:/net@champion", ModelReference("net", None, "champion")),
        ("bundle", None),
        ("./models/net", None),
    ],
)
def test_model_references_are_distinguished_from_paths(text: str, wanted: ModelReference | None) -> None:
    assert ModelReference.parse(text) == wanted


@pytest.mark.parametrize("text", ["models:/net", "models:/net/latest", "models:net/1", "models:/net/1@champion"])
def test_a_reference_without_a_version_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no version"):
        ModelReference.parse(text)


class TestPyfunc:
    """The registered artifact through MLflow's own loader."""

    @pytest.fixture
    def loaded(self, net: Path, store: Store) -> Any:
        pyfunc = pytest.importorskip("mlflow.pyfunc")
        register_run(open_run(net), store)
        model = next(Path(store.artifacts.removeprefix("file://")).rglob("MLmodel")).parent
        assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]
        return pyfunc.load_model(str(model))

    def test_its_predictions_are_those_of_the_engine(self, loaded: Any, net: Path, study: Path) -> None:
        cube = open_study(study).cube("ID0003C01")
        found, wanted = loaded.predict(cube.data), Engine.open(net / "bundle").classify_cube(cube)
        np.testing.assert_array_equal(found["labels"], wanted.labels)
        np.testing.assert_array_equal(found["probabilities"], wanted.probabilities)

    def test_a_cube_of_another_shape_is_refused(self, loaded: Any) -> None:
        with pytest.raises(CubeError, match=r"has shape \(4, 4, 3\)"):
            loaded.predict(np.zeros((4, 4, 3), np.float32))

    def test_a_frame_without_its_references_is_refused(self, loaded: Any) -> None:
        with pytest.raises(CubeError, match="lacks white, dark"):
            loaded.predict({"raw": np.zeros((2, 2), np.uint16)})

    def test_swapped_references_and_a_reference_as_frame_are_refused(self, tmp_path: Path) -> None:
        scene = make_scene(small_sensor())
        model = BundleModel(str(small_bundle(tmp_path / "bundle", sensor=small_sensor()).path))
        frames = {"raw": scene.raw, "white": scene.white, "dark": scene.dark}
        assert model.predict(frames)["labels"].any()
        with pytest.raises(ReferenceFrameError, match="look swapped"):
            model.predict(frames | {"white": scene.dark, "dark": scene.white})
        with pytest.raises(CaptureError, match="identical to a reference"):
            model.predict(frames | {"raw": scene.white})

    def test_its_metadata_hold_the_identity_and_the_classes_of_the_bundle(self, loaded: Any, net: Path) -> None:
        assert loaded.metadata.metadata["bundle_identity"] == open_bundle(net / "bundle").identity
        assert loaded.metadata.metadata["classes"] == list(open_bundle(net / "bundle").manifest.classes.names) != []
