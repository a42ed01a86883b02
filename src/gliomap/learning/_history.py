"""The history of a training run: one record per epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["EpochRecord", "History", "Observer", "no_observer"]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch
        1, 2, …
    seconds
        Wall time, including validation.
    learning_rate
        Learning rate at the end of the epoch.
    train_loss, train_accuracy
        Cross-entropy, weighted as in training, and share of correctly classified pixels. Each pixel counts as it was
        classified during the epoch, so the first epochs look worse than the network at their end. For a model fitted
        in one step, both are those of the fitted model, unweighted.
    validation_loss, validation_accuracy, validation_macro_recall
        The same on the validation patients after the epoch, and the mean recall over the classes
        they have; None without validation.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_macro_recall: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A whole training run.

    Attributes
    ----------
    epochs
        The epochs in order.
    best_epoch
        The epoch whose weights were kept, or the number of epochs for the second training on all patients.
    stopped
        Why training ended, as text for readers.
    notes
        What a reader of the result should know, such as classes without training pixels.
    refit
        The second training, on training and validation patients together; empty if there was none.
    """

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: str
    notes: tuple[str, ...] = ()
    refit: tuple[EpochRecord, ...] = ()

    @property
    def validated(self) -> bool:
        """Whether the epochs were scored on validation patients, so that one of them is the best."""
        return any(record.validation_loss is not None for record in self.epochs)


Observer = Callable[[EpochRecord], None]
"""Called after each epoch, for example to mirror a training run elsewhere."""


def no_observer(record: EpochRecord) -> None:
    """An observer that does nothing."""
    del record
