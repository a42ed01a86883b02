"""The training loop: seeded, repeatable, interruptible."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from gliomap._progress import Track, silent
from gliomap._text import counted
from gliomap.errors import ModelError, RunError
from gliomap.learning._checkpoint import read_checkpoint, restore_adam, write_checkpoint
from gliomap.learning._config import TrainingConfig
from gliomap.learning._history import EpochRecord, History, Observer, no_observer
from gliomap.learning._model import BATCH, check_labels, check_sizes
from gliomap.learning._patches import PatchSource
from gliomap.learning._stratified import stratified_batches

__all__ = ["WEIGHT_LIMIT", "PatchModule", "class_weights", "repeatable", "train_network"]

logger = logging.getLogger(__name__)

WEIGHT_LIMIT = 10.0
"""Highest class weight; without a limit, a class of a few pixels would dominate every step it is in."""

FINAL_RATE = 0.01
"""Share of the learning rate at which the cosine schedule ends."""


class PatchModule(nn.Module):
    """Base of trainable modules, which map patches (N, B, w, w) to logits (N, C).

    Raises
    ------
    ModelError
        There are fewer than one band or two classes.
    """

    name: ClassVar[str]
    window: ClassVar[int]

    def __init__(self, n_bands: int, n_classes: int) -> None:
        super().__init__()
        check_sizes(self.name, n_bands, n_classes)
        self.n_bands = n_bands
        self.n_classes = n_classes


def train_network(
    network: PatchModule,
    training: PatchSource,
    validation: PatchSource | None,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    observer: Observer = no_observer,
    track: Track = silent,
) -> History:
    """Train a network with Adam and cross-entropy; it ends with the weights of the best epoch, if one is chosen.

    Parameters
    ----------
    network
        The untrained network.
    training, validation
        Labelled pixels; `validation` holds those of other patients, or is None. An empty source counts as None.
    config
        Training settings.
    checkpoint
        File to which the state is written every `config.checkpoint_every` epochs; if it exists, training
        continues from it.
    observer
        Called after each epoch.
    track
        Shows progress by epoch.

    Raises
    ------
    ModelError
        Nothing can be learned from the labels, or the loss is not finite.
    RunError
        The checkpoint is damaged or belongs to another training run.
    """
    notes = check_labels(training, network.n_classes)
    _check_fit(network, training)
    watched = validation if validation is not None and len(validation) else None
    with repeatable(config.seed, config.threads):
        session = _Session(network, training, watched, config)
        if checkpoint is not None and checkpoint.exists():
            session.resume(checkpoint)
        first, stopped = len(session.records) + 1, session.verdict()
        if stopped is None:
            for epoch in track(range(first, config.epochs + 1), f"training {network.name}", config.epochs - first + 1):
                record = session.epoch(epoch)
                observer(record)
                stopped = session.verdict()
                if checkpoint is not None and (epoch % config.checkpoint_every == 0 or stopped):
                    session.save(checkpoint)
                if stopped:
                    break
        session.keep_best()
    return History(tuple(session.records), session.best_epoch, stopped or "", notes)


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Make torch deterministic on `threads` threads with a seeded generator; restore everything afterwards."""
    were = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
    )
    try:
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(were[0], warn_only=were[1])
        torch.set_num_threads(were[2])


def class_weights(counts: npt.NDArray[np.int64], kind: str) -> npt.NDArray[np.float32]:
    """Weight of each class in the loss, (C,) float32.

    'balanced': N / (classes present · N_c), at most 10, and 0 for an absent class; 'none': 1.
    """
    if kind == "none":
        return np.ones(counts.size, np.float32)
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, np.minimum(weights, WEIGHT_LIMIT), 0).astype(np.float32)


@dataclass
class _Best:
    """The best epoch so far."""

    epoch: int
    score: tuple[float, float]
    weights: dict[str, Tensor]


class _Session:
    """A training run in progress."""

    def __init__(
        self, network: PatchModule, training: PatchSource, validation: PatchSource | None, config: TrainingConfig
    ) -> None:
        self.network = network
        self.training = training
        self.validation = validation
        self.config = config
        self.records: list[EpochRecord] = []
        self.best: _Best | None = None
        counts = training.class_counts(network.n_classes)
        self.weights = torch.from_numpy(class_weights(counts, config.class_weights))
        self.targets = torch.from_numpy(training.labels.astype(np.int64) - 1)
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.steps = -(-len(training) // config.batch_size)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept."""
        return self.best.epoch if self._selects and self.best else len(self.records)

    @property
    def _selects(self) -> bool:
        return self.validation is not None and self.config.patience is not None

    def epoch(self, number: int) -> EpochRecord:
        """Train one epoch, validate it and record it."""
        started = time.perf_counter()
        # Seeded by the epoch, so that a resumed training run draws the same as an uninterrupted one.
        generator = np.random.default_rng([self.config.seed, number])
        torch.manual_seed(int(generator.integers(2**31)))
        self.network.train()
        loss_sum, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
        batches = stratified_batches(self.training.labels, self.config.batch_size, generator)
        for step, which in enumerate(batches):
            rate = self._rate((number - 1) * self.steps + step)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            targets = self.targets[torch.from_numpy(which)]
            logits = self.network(torch.from_numpy(self.training.windows(which)))
            loss = functional.cross_entropy(logits, targets, self.weights)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            loss_sum += loss.detach() * which.size
            right += (logits.detach().argmax(dim=1) == targets).sum()
        mean_loss = float(loss_sum) / len(self.training)
        if not math.isfinite(mean_loss):
            raise ModelError(
                f"training of {self.network.name}",
                f"the loss of epoch {number} is {mean_loss}",
                "Lower the learning rate, or check the spectra with `gliomap study check`.",
            )
        validated = _validate(self.network, self.validation, self.weights) if self.validation else (None, None, None)
        record = EpochRecord(
            number, time.perf_counter() - started, rate, mean_loss, float(right) / len(self.training), *validated
        )
        self.records.append(record)
        self._remember(record)
        return record

    def verdict(self) -> str | None:
        """Why training is over; None if it is not."""
        done = len(self.records)
        if self._selects and self.best and done - self.best.epoch >= (self.config.patience or done + 1):
            return f"no gain on the validation patients for {counted(self.config.patience or 0, 'epoch')}"
        if done < self.config.epochs:
            return None
        return "the only epoch done" if done == 1 else f"all {done} epochs done"

    def keep_best(self) -> None:
        """Load the weights of the best epoch into the network, if one is chosen."""
        if self._selects and self.best:
            self.network.load_state_dict(self.best.weights)
        self.network.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        best = self.best
        state = self._identity() | {
            "records": [asdict(record) for record in self.records],
            "best": None if best is None else {"epoch": best.epoch, "score": best.score},
        }
        write_checkpoint(path, self.network, self.optimiser, {} if best is None else best.weights, state)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same training run."""
        groups, state = read_checkpoint(path)
        identity = self._identity()
        differing = [name for name, value in identity.items() if state.get(name) != value]
        if differing:
            raise RunError(
                path,
                f"belongs to a training run that differs in {' and '.join(differing)}",
                "Resume with the settings and data of that run, or train afresh.",
            )
        self.network.load_state_dict(groups["weights"])
        restore_adam(self.network, self.optimiser, groups["adam"])
        self.records = [EpochRecord(**record) for record in state["records"]]
        if state["best"] is not None:
            self.best = _Best(state["best"]["epoch"], tuple(state["best"]["score"]), groups["best"])
        logger.info("resuming after epoch %d of %d", len(self.records), self.config.epochs)

    def _identity(self) -> dict[str, Any]:
        return {
            "settings": {k: v for k, v in self.config.as_dict().items() if k not in ("checkpoint_every", "preset")},
            "training data": self.training.fingerprint(),
            "validation data": self.validation.fingerprint() if self.validation else None,
            "model": [self.network.name, self.network.n_bands, self.network.n_classes],
        }

    def _rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        done = step / (self.steps * self.config.epochs)
        return self.config.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2)

    def _remember(self, record: EpochRecord) -> None:
        recall, loss = record.validation_macro_recall, record.validation_loss
        if recall is None or loss is None or record.epoch < min(self.config.min_epochs, self.config.epochs):
            return
        score = (recall, -loss) if self.config.monitor == "macro_recall" else (-loss, recall)
        if self.best is None or score > self.best.score:
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = _Best(record.epoch, score, weights)


def _validate(network: PatchModule, source: PatchSource, weights: Tensor) -> tuple[float, float, float]:
    """Weighted loss, accuracy and mean recall over the classes that occur."""
    network.eval()
    labels = source.labels.astype(np.int64) - 1
    with torch.inference_mode():
        logits = torch.cat([network(torch.from_numpy(source.windows(which))) for which in source.batches(BATCH)])
        losses = functional.cross_entropy(logits, torch.from_numpy(labels), weights, reduction="none")
    predicted = logits.argmax(dim=1).numpy()
    right = predicted == labels
    recalls = [float(right[labels == value].mean()) for value in np.unique(labels)]
    # Classes absent from training have weight 0; if all were absent, the loss would be 0/0.
    total = float(weights[torch.from_numpy(labels)].sum())
    return float(losses.sum()) / total if total else 0.0, float(right.mean()), float(np.mean(recalls))


def _check_fit(network: PatchModule, source: PatchSource) -> None:
    if (source.n_bands, source.window) != (network.n_bands, network.window):
        raise ModelError(
            f"{network.name}",
            f"takes {network.n_bands} bands and windows of {network.window}, "
            f"but receives {source.n_bands} and {source.window}",
            "Build the model for the bands of the study.",
        )
