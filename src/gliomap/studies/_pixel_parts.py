"""Random division of labelled pixels across patients, for `pooled` and `double-cv`."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.errors import StudyError

__all__ = ["PixelParts"]


@dataclass(frozen=True)
class PixelParts:
    """How a protocol that mixes patients divides labelled pixels: the role of each random part.

    The split's seed and the labels determine each pixel's part (`gliomap.learning.pixel_parts`).

    Attributes
    ----------
    count
        Total number of parts.
    test, validation
        Disjoint parts for testing and validation; all others train.
    unit
        Number of pixels that stay together: 1, or the size of the thesis's stratified batches.

    Raises
    ------
    StudyError
        A part does not exist or has two roles, no part is left to train on, or `unit` is less than 1.
    """

    count: int
    test: tuple[int, ...]
    validation: tuple[int, ...] = ()
    unit: int = 1

    def __post_init__(self) -> None:
        named = [*self.test, *self.validation]
        if not set(named) < set(range(self.count)) or len(set(named)) < len(named) or self.unit < 1:
            raise StudyError(
                "pixel parts",
                f"{self.test} test and {self.validation} validate of {self.count}",
                "Assign each part one role, and leave some to train on.",
            )

    def of_role(self, role: str) -> tuple[int, ...]:
        """Parts of 'train', 'validation' or 'test'."""
        train = tuple(part for part in range(self.count) if part not in {*self.test, *self.validation})
        return {"train": train, "validation": self.validation, "test": self.test}[role]
