"""Labelled pixels divided at random, patients mixed: what `pooled` and `double-cv` do."""

from __future__ import annotations

from dataclasses import dataclass

from gliomap.errors import StudyError

__all__ = ["PixelParts"]


@dataclass(frozen=True)
class PixelParts:
    """How a protocol that mixes patients divides labelled pixels: which of the random parts have which role.

    Which pixel is in which part follows from the split's seed and the labels (`gliomap.learning.pixel_parts`).

    Attributes
    ----------
    count
        Parts in all.
    test, validation
        Parts that test and that validate; all others train. Disjoint.
    unit
        Pixels that stay together: 1, or the size of the thesis's stratified batches.

    Raises
    ------
    StudyError
        A part that there is not or that has two roles, or none left to train on.
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
                "Give each part one role and leave some to train on.",
            )

    def of_role(self, role: str) -> tuple[int, ...]:
        """Parts of 'train', 'validation' or 'test'."""
        train = tuple(part for part in range(self.count) if part not in {*self.test, *self.validation})
        return {"train": train, "validation": self.validation, "test": self.test}[role]
