"""The networks are those of the thesis, and all models have one interface."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file

from gliomap.errors import ModelError, UsageError
from gliomap.learning import (
    MODELS,
    Conv2DNet,
    DenseNetwork,
    FourLayerNet,
    PatchSource,
    TissueModel,
    TrainingConfig,
    build_model,
    load_model,
    model_from_tensors,
    model_kind,
    predict,
    predict_map,
    save_model,
)
from gliomap.learning.export import build_graphs
from gliomap.preprocessing import HyperCube, PreprocessingConfig
from support import shared

CONV2D = {
    "conv.0.weight": (16, 25, 2, 2),
    "conv.0.bias": (16,),
    "fc.0.weight": (64, 144),
    "fc.0.bias": (64,),
    "fc.2.weight": (5, 64),
    "fc.2.bias": (5,),
}
FOURLAYER = {
    "linear1.weight": (16, 25),
    "linear1.bias": (16,),
    "linear2.weight": (32, 16),
    "linear2.bias": (32,),
    "linear3.weight": (48, 32),
    "linear3.bias": (48,),
    "linear4.weight": (5, 48),
    "linear4.bias": (5,),
}
ONE_EPOCH = TrainingConfig(epochs=1, batch_size=64)


@pytest.fixture
def trained(make_cubes):
    """Each model after a short training."""

    def make(name: str) -> TissueModel:
        model = build_model(name, 25, 5, seed=3)
        model.fit(PatchSource(make_cubes(2), model.window), None, ONE_EPOCH)
        return model

    return make


def test_names_and_shapes_of_tensors_are_those_of_the_thesis():
    assert {name: value.shape for name, value in Conv2DNet(25, 5).tensors().items()} == CONV2D
    assert {name: value.shape for name, value in FourLayerNet(25, 5).tensors().items()} == FOURLAYER
    wide = FourLayerNet(25, 5, hidden=30).tensors()
    assert (wide["linear2.weight"].shape, wide["linear3.weight"].shape) == ((60, 30), (90, 60))


@pytest.mark.shared
def test_weights_of_the_original_can_be_loaded():
    model = load_model(shared("data", "golden", "golden_dev.safetensors"), "conv2d")
    assert {name: value.shape for name, value in model.tensors().items()} == CONV2D


def test_conv2d_computes_what_the_thesis_describes():
    network = Conv2DNet(25, 5)
    weights = network.tensors()
    patch = np.random.default_rng(0).normal(size=(25, 7, 7)).astype(np.float32)
    mixed = np.zeros((16, 6, 6))
    for row in range(6):
        for column in range(6):
            window = patch[:, row : row + 2, column : column + 2]
            mixed[:, row, column] = np.tensordot(weights["conv.0.weight"], window, 3) + weights["conv.0.bias"]
    pooled = np.maximum(mixed.reshape(16, 3, 2, 3, 2).max(axis=(2, 4)), 0)
    hidden = np.maximum(weights["fc.0.weight"] @ pooled.ravel() + weights["fc.0.bias"], 0)
    logits = weights["fc.2.weight"] @ hidden + weights["fc.2.bias"]
    with torch.inference_mode():
        found = network(torch.from_numpy(patch[np.newaxis])).numpy()[0]
    np.testing.assert_allclose(found, logits, atol=1e-5)


def test_fourlayer_takes_spectra_and_one_pixel_patches_alike():
    network = FourLayerNet(25, 5)
    spectra = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 25)).astype(np.float32))
    with torch.inference_mode():
        assert torch.equal(network(spectra), network(spectra[:, :, None, None]))


def dense_logits(classifier, data):
    if isinstance(classifier, DenseNetwork):
        return classifier.logits(data)
    graphs = build_graphs(classifier, None, PreprocessingConfig())
    session = onnxruntime.InferenceSession(graphs.cube, providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"cube": data})[0].transpose(1, 2, 0)
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


@pytest.mark.parametrize("name", list(MODELS))
def test_the_dense_form_agrees_with_prediction_patch_by_patch(trained, make_cubes, name):
    model = trained(name)
    data = make_cubes(1, shape=(12, 15), first=9)[0].data
    mask = np.ones(data.shape[:2], bool)
    mask[4, 5] = False
    cube = HyperCube(data * mask[..., np.newaxis], None, "reflectance", mask, np.where(mask, 0, 1).astype(np.uint8))
    by_patch = predict_map(model, cube)
    logits = dense_logits(model.dense(), cube.data)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    dense = powers / powers.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(by_patch[mask], dense[mask], atol=1e-5)
    assert not by_patch[4, 5].any()
    assert (model.dense().window, model.dense().n_classes) == (MODELS[name].window, 5)


@pytest.mark.parametrize("name", list(MODELS))
def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(trained, make_cubes, name):
    model = trained(name)
    source = PatchSource(make_cubes(1, first=5), model.window)
    whole, parts = predict(model, source), predict(model, source, batch_size=37)
    assert whole.dtype == np.float32
    assert whole.shape == (len(source), 5)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_windows_are_gathered_batch_by_batch(trained, make_cubes, monkeypatch):
    sizes = []
    gather = PatchSource.windows
    monkeypatch.setattr(PatchSource, "windows", lambda self, which: sizes.append(which.size) or gather(self, which))
    source = PatchSource(make_cubes(2), 7)
    predict(trained("conv2d"), source, batch_size=50)
    assert max(sizes) <= 64
    assert len(source) > 500


@pytest.mark.parametrize("name", list(MODELS))
def test_weights_survive_a_file(trained, make_cubes, tmp_path, name):
    model = trained(name)
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    again = load_model(path)
    assert (again.name, again.n_bands, again.n_classes) == (name, 25, 5)
    source = PatchSource(make_cubes(1), model.window)
    np.testing.assert_array_equal(predict(again, source), predict(model, source))
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_same_seed_builds_the_same_network():
    first, second, other = (build_model("conv2d", 25, 5, seed=seed).tensors() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["fc.0.weight"], other["fc.0.weight"])


def test_tensors_are_copied_into_and_out_of_a_model(trained):
    model = trained("fourlayer")
    tensors = model.tensors()
    again = model_from_tensors("fourlayer", tensors)
    tensors["linear1.weight"][:] = 0
    assert again.tensors()["linear1.weight"].any()
    assert model.tensors()["linear1.weight"].any()


def test_read_only_patches_are_accepted(trained):
    patches = np.zeros((2, 25, 7, 7), np.float32)
    patches.setflags(write=False)
    assert trained("conv2d").predict_proba(patches).shape == (2, 5)


def test_weights_of_another_model_are_refused(trained, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(trained("fourlayer"), path)
    for wrong in ("conv2d", "lda", "forest"):
        with pytest.raises(ModelError, match=r"linear1\.weight") as refused:
            load_model(path, wrong)
        assert refused.value.thing == str(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("fc.0.bias"), r"but the model takes .*fc\.0\.bias 64"),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "extra 3"),
        (lambda t: t.update({"fc.0.weight": np.zeros((64, 100), np.float32)}), "64×100.*64×144"),
        (lambda t: t["fc.2.bias"].__setitem__(1, np.nan), r"fc\.2\.bias.*1 of 5 values are NaN"),
        (lambda t: t.update({"conv.0.weight": np.zeros(3, np.float32)}), "4-dimensional"),
        (lambda t: t.clear(), "empty"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, told):
    tensors = Conv2DNet(25, 5).tensors()
    change(tensors)
    with pytest.raises(ModelError, match=told):
        model_from_tensors("conv2d", tensors)


def test_lda_weights_that_do_not_fit_are_refused():
    mean, weight, bias = np.zeros(25, np.float32), np.zeros((5, 25), np.float32), np.zeros(5, np.float32)
    for tensors in (
        {"weight": weight},
        {"weight": weight, "bias": bias},
        {"mean": mean, "weight": weight, "bias": bias[:4]},
        {"mean": mean, "weight": bias, "bias": bias},
    ):
        with pytest.raises(ModelError, match="but the model takes mean"):
            model_from_tensors("lda", tensors)
    with pytest.raises(ModelError, match="NaN or infinite"):
        model_from_tensors("lda", {"mean": mean, "weight": weight, "bias": np.full(5, np.inf, np.float32)})


def test_files_without_usable_weights_are_refused(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"\x80\x04garbage that is long enough for a header")
    with pytest.raises(ModelError, match="convert_legacy"):
        load_model(garbage, "conv2d")
    plain = tmp_path / "plain.safetensors"
    save_file(Conv2DNet(25, 5).tensors(), plain)
    with pytest.raises(ModelError, match="does not say which model"):
        load_model(plain)
    assert load_model(plain, "conv2d").n_bands == 25
    whole = tmp_path / "integers.safetensors"
    save_file({"weight": np.zeros((5, 25), np.int64)}, whole)
    with pytest.raises(ModelError, match="int64"):
        load_model(whole, "lda")


@pytest.mark.parametrize("cut", [0, 5, 100, 3000])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "model.safetensors"
    save_model(Conv2DNet(25, 5), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize("name", list(MODELS))
def test_patches_of_another_camera_are_refused(trained, name):
    model = trained(name)
    with pytest.raises(ModelError, match=rf"\(3, 24, .*takes \(N, 25, {model.window}"):
        model.predict_proba(np.zeros((3, 24, model.window, model.window), np.float32))


def test_unknown_names_and_impossible_sizes_are_refused():
    with pytest.raises(ModelError, match="conv2d, fourlayer, lda"):
        model_kind("resnet")
    for name in MODELS:
        with pytest.raises(ModelError, match="1 classes"):
            build_model(name, 25, 1)
    with pytest.raises(ModelError, match="hidden"):
        build_model("fourlayer", 25, 5, hidden=0)
    for name in set(MODELS) - {"fourlayer"}:
        with pytest.raises(UsageError, match="hidden"):
            build_model(name, 25, 5, hidden=8)


def test_importing_the_packages_does_not_load_torch():
    told = "import gliomap.learning, gliomap.workflows, gliomap.cli, sys; "
    told += "sys.exit(bool({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_an_unknown_attribute_of_the_package_is_an_attribute_error():
    import gliomap.learning

    with pytest.raises(AttributeError, match="Conv3DNet"):
        _ = gliomap.learning.Conv3DNet
