"""The pixels that a planned training learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gliomap._progress import Track
from gliomap.errors import StudyError
from gliomap.learning import LabelledCube, PatchSource, check_bands, check_labels
from gliomap.workflows._plan import TrainingPlan

__all__ = ["TrainingPixels", "read_pixels"]


@dataclass(frozen=True, eq=False)
class TrainingPixels:
    """Pixels to train and validate on.

    Attributes
    ----------
    training, validation
        `validation` is None where no patient validates.
    used
        Role → class name → pixels.
    masked
        Role → labelled pixels whose spectrum is invalid.
    wavelengths_nm
        Of the bands; None where unknown.
    cubes, class_names
        What they are made of.
    """

    training: PatchSource
    validation: PatchSource | None
    used: Mapping[str, Mapping[str, int]]
    masked: Mapping[str, int]
    wavelengths_nm: tuple[float, ...] | None
    cubes: tuple[LabelledCube, ...]
    class_names: tuple[str, ...]

    def everything(self) -> PatchSource:
        """Training and validation pixels together."""
        return PatchSource(self.cubes, self.training.window, class_names=self.class_names)


def read_pixels(plan: TrainingPlan, track: Track) -> TrainingPixels:
    """Read the cubes of all training and validation captures; those of the test stay closed.

    Raises
    ------
    ModelError
        Labels that nothing can be learned from.
    StudyError, CubeError, CaptureError, SensorError
        Captures that cannot be used, or validation patients without a valid labelled pixel.
    """
    names = plan.classes.names
    roles = {capture: role for role in ("train", "validation") for capture in plan.split.captures_of(role)}
    cubes: dict[str, LabelledCube] = {}
    wavelengths: tuple[float, ...] | None = None
    for capture in track(roles, "reading cubes", len(roles)):
        cube = plan.study.cube(capture, plan.sensor)
        codes = plan.study.codes(capture)
        cubes[capture] = LabelledCube.from_cube(capture, plan.split.patients[capture], cube, codes, plan.classes)
        if cube.wavelengths_nm is not None:
            wavelengths = tuple(float(value) for value in cube.wavelengths_nm)
    check_bands(list(cubes.values()))
    sources = {
        role: PatchSource(
            [cubes[capture] for capture in plan.split.captures_of(role)], plan.kind.window, class_names=names
        )
        for role in ("train", "validation")
        if plan.split.captures_of(role)
    }
    check_labels(sources["train"], len(names))
    if "validation" in sources and len(sources["validation"]) == 0:
        raise StudyError(
            f"validation captures {', '.join(plan.split.validation)}",
            "hold no valid labelled pixel",
            "Name other validation patients (--validation-patient).",
        )
    used = {
        role: dict(zip(names, map(int, source.class_counts(len(names))), strict=True))
        for role, source in sources.items()
    }
    masked = {role: sum(plan.counts(role).values()) - len(source) for role, source in sources.items()}
    # Sorted: the same patients give the same training, whoever of them validated first.
    together = tuple(cubes[capture] for capture in sorted(cubes))
    return TrainingPixels(sources["train"], sources.get("validation"), used, masked, wavelengths, together, names)
