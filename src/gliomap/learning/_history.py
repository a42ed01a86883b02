"""What a training told: one record per epoch."""

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
        Wall time, validation included.
    learning_rate
        At the end of the epoch.
    train_loss, train_accuracy
        Cross-entropy, weighted as the training is, and share of pixels right, each pixel as it was met during the
        epoch (so the first epochs look worse than the network that leaves them). Of a model that is fitted in one
        step: of the fitted model, not weighted.
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
    """A whole training.

    Attributes
    ----------
    epochs
        In order.
    best_epoch
        The epoch whose weights were kept, or whose number was trained again on all patients.
    stopped
        Why training ended, for people.
    notes
        What a reader of the result should know, such as classes without training pixels.
    refit
        The second training, on training and validation patients together; empty without one.
    """

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: str
    notes: tuple[str, ...] = ()
    refit: tuple[EpochRecord, ...] = ()

    @property
    def validated(self) -> bool:
        """Whether validation patients judged the epochs, so that one of them is the best."""
        return any(record.validation_loss is not None for record in self.epochs)


Observer = Callable[[EpochRecord], None]
"""Called after each epoch, for whoever mirrors a training elsewhere."""


def no_observer(record: EpochRecord) -> None:
    """An observer that does nothing."""
    del record
