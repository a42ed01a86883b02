"""Training is repeatable, can be interrupted, and knows when to stop."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from gliomap.errors import ModelError, RunError, UsageError
from gliomap.learning import (
    MODELS,
    LabelledCube,
    PatchSource,
    TrainingConfig,
    build_model,
    check_labels,
    predict,
    preset,
)
from gliomap.learning._loop import class_weights
from gliomap.learning._stratified import stratified_batches

QUICK = TrainingConfig(epochs=6, batch_size=64, patience=3, min_epochs=1, checkpoint_every=2)


def same(one, other):
    first, second = one.tensors(), other.tensors()
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture
def sides(make_cubes):
    """Two training patients and one validation patient."""

    def make(window: int = 7, noise: float = 0.6):
        return (
            PatchSource(make_cubes(2, noise=noise), window),
            PatchSource(make_cubes(1, noise=noise, first=9), window),
        )

    return make


@pytest.mark.parametrize("name", ["conv2d", "fourlayer"])
def test_training_twice_gives_identical_weights_and_losses(sides, name):
    first, second = build_model(name, 25, 5), build_model(name, 25, 5)
    histories = [model.fit(*sides(model.window), QUICK) for model in (first, second)]
    assert same(first, second)
    assert [r.train_loss for r in histories[0].epochs] == [r.train_loss for r in histories[1].epochs]
    other = build_model(name, 25, 5)
    other.fit(*sides(other.window), QUICK.with_overrides({"seed": 1}))
    assert not same(first, other)


def test_global_settings_of_torch_are_left_alone(sides):
    before = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    model = build_model("fourlayer", 25, 5, seed=4)
    model.fit(*sides(1), QUICK.with_overrides({"threads": 2, "epochs": 1}))
    after = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_learns_separable_classes(make_cubes, name):
    model = build_model(name, 25, 5)
    training, validation = (
        PatchSource(make_cubes(3), model.window),
        PatchSource(make_cubes(1, first=7), model.window),
    )
    history = model.fit(training, None, TrainingConfig(epochs=15, batch_size=64))
    accuracy = (predict(model, validation).argmax(axis=1) + 1 == validation.labels).mean()
    assert accuracy > 0.95
    assert history.epochs[-1].train_loss <= history.epochs[0].train_loss


def test_the_weights_of_the_best_epoch_are_kept(sides):
    training, validation = sides()
    model = build_model("conv2d", 25, 5)
    # A learning rate that is far too high makes the validation fluctuate.
    history = model.fit(training, validation, QUICK.with_overrides({"learning_rate": 0.05, "epochs": 12}))
    recalls = [record.validation_macro_recall for record in history.epochs]
    assert history.best_epoch == 1 + int(np.argmax(recalls))
    predicted = predict(model, validation).argmax(axis=1) + 1
    kept = np.mean([(predicted[validation.labels == k] == k).mean() for k in np.unique(validation.labels)])
    assert kept == pytest.approx(max(recalls), abs=1e-6)


def test_training_stops_when_validation_gains_nothing(sides):
    training, _ = sides()
    # Labels without any relation to the spectra cannot be learned.
    _, validation = sides()
    validation.labels[:] = np.random.default_rng(0).integers(1, 6, validation.labels.size)
    config = QUICK.with_overrides({"epochs": 60, "patience": 2})
    history = build_model("fourlayer", 25, 5).fit(
        PatchSource([LabelledCube("A", "A", np.zeros((9, 9, 25), np.float32), np.eye(9, dtype=np.uint8) + 1)], 1),
        sides(1)[1],
        config,
    )
    assert len(history.epochs) == history.best_epoch + 2 < 60
    assert history.stopped == "no gain on the validation patients for 2 epochs"
    watched = build_model("conv2d", 25, 5).fit(training, validation, config.with_overrides({"monitor": "loss"}))
    losses = [record.validation_loss for record in watched.epochs]
    assert watched.best_epoch == 1 + int(np.argmin(losses))


def test_early_epochs_do_not_count_as_the_best(sides):
    training, validation = sides()
    config = QUICK.with_overrides({"learning_rate": 0.05, "epochs": 12, "patience": 12, "monitor": "loss"})
    lucky = build_model("conv2d", 25, 5).fit(training, validation, config).best_epoch
    assert lucky < 12
    later = build_model("conv2d", 25, 5).fit(training, validation, config.with_overrides({"min_epochs": lucky + 1}))
    losses = [record.validation_loss for record in later.epochs]
    assert later.best_epoch == lucky + 1 + int(np.argmin(losses[lucky:]))
    assert int(np.argmin(losses)) == lucky - 1
    fewer = build_model("conv2d", 25, 5).fit(training, validation, QUICK.with_overrides({"epochs": 3, "min_epochs": 6}))
    assert fewer.best_epoch == 3


@pytest.mark.parametrize("validated", [True, False])
def test_without_patience_all_epochs_run_and_the_last_weights_are_kept(sides, validated):
    training, validation = sides()
    model = build_model("conv2d", 25, 5)
    last: dict[str, np.ndarray] = {}
    history = model.fit(
        training,
        validation if validated else None,
        QUICK.with_overrides({"patience": None}),
        observer=lambda _: last.update(model.tensors()),
    )
    assert (len(history.epochs), history.best_epoch, history.stopped) == (6, 6, "all 6 epochs done")
    assert all(np.array_equal(last[name], value) for name, value in model.tensors().items())
    assert (history.epochs[0].validation_loss is not None) == validated


def test_an_empty_validation_counts_as_none(sides):
    empty = PatchSource([LabelledCube("B", "B", np.zeros((3, 3, 25), np.float32), np.zeros((3, 3), np.uint8))], 7)
    history = build_model("conv2d", 25, 5).fit(sides()[0], empty, QUICK)
    assert len(history.epochs) == QUICK.epochs
    assert history.epochs[0].validation_accuracy is None


def test_untrained_validation_classes_count_in_recall_but_not_in_loss(make_cubes):
    training = PatchSource(make_cubes(2, classes=(1, 2)), 1)
    validation = PatchSource(make_cubes(1, classes=(3,), first=5), 1)
    record = build_model("fourlayer", 25, 5).fit(training, validation, QUICK).epochs[-1]
    assert record.validation_loss == 0
    assert record.validation_macro_recall == 0


def test_the_history_records_rates_and_both_sides_of_each_epoch(sides):
    seen = []
    history = build_model("conv2d", 25, 5).fit(*sides(), QUICK, observer=seen.append)
    assert seen == list(history.epochs)
    assert [record.epoch for record in seen] == list(range(1, len(seen) + 1))
    rates = [record.learning_rate for record in seen]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < QUICK.learning_rate
    for record in seen:
        assert math.isfinite(record.train_loss)
        assert 0 <= record.train_accuracy <= 1
        assert record.validation_macro_recall is not None


class Stop(KeyboardInterrupt):
    """Ctrl-C at a known point."""


def interrupt_after(epoch):
    def observe(record):
        if record.epoch == epoch:
            raise Stop

    return observe


@pytest.mark.parametrize("patience", [3, None])
@pytest.mark.parametrize("stopped_after", [2, 3, 5])
def test_a_resumed_training_gives_identical_weights_and_losses(sides, tmp_path, stopped_after, patience):
    config = QUICK.with_overrides({"patience": patience})
    whole = build_model("conv2d", 25, 5)
    expected = whole.fit(*sides(), config)

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        build_model("conv2d", 25, 5).fit(
            *sides(), config, checkpoint=checkpoint, observer=interrupt_after(stopped_after)
        )
    # The observer is called before the checkpoint is written, so that epoch is trained again.
    assert checkpoint.exists() == (stopped_after > 2)
    resumed, seen = build_model("conv2d", 25, 5), []
    history = resumed.fit(*sides(), config, checkpoint=checkpoint, observer=seen.append)
    assert same(resumed, whole)
    assert seen[0].epoch == (stopped_after - 1) // 2 * 2 + 1
    assert history.best_epoch == expected.best_epoch
    assert [r.train_loss for r in history.epochs] == [r.train_loss for r in expected.epochs]
    assert [r.validation_loss for r in history.epochs] == [r.validation_loss for r in expected.epochs]


def test_resuming_a_finished_training_changes_nothing(sides, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    first, second = build_model("fourlayer", 25, 5), build_model("fourlayer", 25, 5)
    expected = first.fit(*sides(1), QUICK, checkpoint=checkpoint)
    assert second.fit(*sides(1), QUICK, checkpoint=checkpoint) == expected
    assert same(first, second)


def test_a_checkpoint_of_another_training_is_refused(sides, make_cubes, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    training, validation = sides(1)
    build_model("fourlayer", 25, 5).fit(training, validation, QUICK, checkpoint=checkpoint)
    for other, told in (
        ((PatchSource(make_cubes(2, seed=9), 1), validation, QUICK), "training data"),
        ((training, None, QUICK), "validation data"),
        ((training, validation, QUICK.with_overrides({"epochs": 7})), "settings"),
    ):
        with pytest.raises(RunError, match=f"differs in {told}"):
            build_model("fourlayer", 25, 5).fit(*other, checkpoint=checkpoint)
    with pytest.raises(RunError, match="differs in model"):
        build_model("fourlayer", 25, 6).fit(training, validation, QUICK, checkpoint=checkpoint)


def test_a_checkpoint_is_plain_tensors_and_json(sides, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    build_model("fourlayer", 25, 5).fit(*sides(1), QUICK, checkpoint=checkpoint)
    with safe_open(checkpoint, framework="np") as stream:
        names, state = set(stream.keys()), json.loads(stream.metadata()["state"])
    assert {"weights/linear1.weight", "best/linear4.bias", "adam/linear2.bias/exp_avg_sq"} <= names
    assert len(state["records"]) in range(1, 7)


@pytest.mark.parametrize("damage", [lambda b: b[:50], lambda b: b[:0], lambda b: b[:400] + b"x" * (len(b) - 400)])
def test_a_damaged_checkpoint_is_refused(sides, tmp_path, damage):
    checkpoint = tmp_path / "checkpoint.safetensors"
    build_model("fourlayer", 25, 5).fit(*sides(1), QUICK, checkpoint=checkpoint)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(RunError, match="damaged"):
        build_model("fourlayer", 25, 5).fit(*sides(1), QUICK, checkpoint=checkpoint)


def with_labels(labels, names=()):
    labels = np.asarray([labels], np.uint8)
    data = np.random.default_rng(0).normal(size=(*labels.shape, 25)).astype(np.float32)
    return PatchSource([LabelledCube("ID0001C01", "ID0001", data, labels)], 1, class_names=names)


@pytest.mark.parametrize("name", [name for name, kind in MODELS.items() if kind.window == 1])
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0, 0, 0], "no valid labelled pixel"),
        ([2, 2, 0, 2], r"hold only class 2 \(3 pixels\)"),
        ([1, 1, 2, 2, 4], "class 4 has one labelled pixel"),
        ([1, 1, 6, 6], "1…6 for 5 classes"),
    ],
)
def test_unusable_labels_are_refused_naming_the_capture(name, labels, told):
    with pytest.raises(ModelError, match=f"ID0001C01.*{told}"):
        build_model(name, 25, 5).fit(with_labels(labels), None, QUICK)


def test_class_names_are_used_where_they_are_known():
    names = ("healthy", "tumour", "venous")
    with pytest.raises(ModelError, match="class 3 'venous' has one"):
        check_labels(with_labels([1, 1, 3], names), 3)
    notes = check_labels(with_labels([1] * 20 + [3] * 4, names), 3)
    assert notes == (
        "class 2 'tumour' has no training pixels: do not expect it in a map",
        "class 3 'venous' has only 4 training pixels",
    )


def test_a_source_with_other_bands_or_windows_is_refused(make_cubes):
    for source in (PatchSource(make_cubes(1, bands=20), 7), PatchSource(make_cubes(1), 1)):
        with pytest.raises(ModelError, match="takes 25 bands and windows of 7"):
            build_model("conv2d", 25, 5).fit(source, None, QUICK)


def test_a_training_that_diverges_is_stopped_with_advice():
    labels = np.tile([1, 2], 30)
    source = with_labels(labels)
    source._spectra[:] = np.sign(source._spectra) * np.float32(3e38)
    with pytest.raises(ModelError, match=r"loss of epoch \d+ is (nan|inf).*[Ll]ower the learning rate"):
        build_model("fourlayer", 25, 5).fit(source, None, QUICK)


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    size=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=50)
def test_batches_keep_the_class_shares_of_the_remaining_pixels(counts, size, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(1, len(counts) + 1), counts)).astype(np.uint8)
    batches = stratified_batches(labels, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(labels.size))
    assert [batch.size for batch in batches[:-1]] == [size] * (len(batches) - 1)
    left = np.array(counts)
    for batch in batches:
        taken = np.bincount(labels[batch], minlength=len(counts) + 1)[1:]
        assert np.all(np.abs(taken - left * batch.size / left.sum()) < 1)
        left = left - taken


def test_batches_are_drawn_again_each_time():
    labels = np.repeat([1, 2], 50).astype(np.uint8)
    generator = np.random.default_rng(0)
    first, second = (np.concatenate(stratified_batches(labels, 10, generator)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_balanced_weights_even_out_the_classes_up_to_a_limit():
    weights = class_weights(np.array([100, 300, 0, 1, 199]), "balanced")
    np.testing.assert_allclose(weights, [1.5, 0.5, 0, 10, 600 / (4 * 199)], rtol=1e-6)
    assert class_weights(np.array([5, 0]), "none").tolist() == [1, 1]


def test_the_thesis_preset_has_the_settings_of_the_thesis():
    thesis = preset("thesis")
    assert (thesis.batch_size, thesis.learning_rate, thesis.epochs) == (16, 0.001, 100)
    assert (thesis.schedule, thesis.class_weights, thesis.patience) == ("constant", "none", None)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"epochs": 0}, "'epochs'.*is 0.*1 or more"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"patience": 0}, "patience"),
        ({"schedule": "step"}, "cosine or constant"),
        ({"monitor": "accuracy"}, "macro_recall or loss"),
        ({"class_weights": "inverse"}, "balanced or none"),
        ({"seed": -1}, "seed"),
        ({"speed": 3}, "'speed'.*not known.*epochs"),
    ],
)
def test_invalid_settings_are_refused(overrides, told):
    with pytest.raises(UsageError, match=told):
        preset("default").with_overrides(overrides)


def test_an_unknown_preset_is_refused():
    with pytest.raises(UsageError, match="default, thesis"):
        preset("fast")
