"""The pixels from which a planned training learns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track, silent
from gliomap.errors import StudyError
from gliomap.learning import LabelledCube, PatchSource, check_bands, check_labels, pixel_parts
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import MosaicSensor
from gliomap.studies import Split, Study
from gliomap.taxonomy import ClassSet
from gliomap.workflows._plan import TrainingPlan

__all__ = ["CachedCube", "TrainingPixels", "read_cube", "read_pixels", "role_pixels"]


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CachedCube:
    """A capture as training sees it, with its wavelengths (nm), if known, and the units of its values."""

    cube: LabelledCube
    wavelengths_nm: tuple[float, ...] | None
    units: str


@dataclass(frozen=True, eq=False)
class TrainingPixels:
    """Pixels to train and validate on.

    Attributes
    ----------
    training, validation
        `validation` is None if no patient validates.
    used
        Role → class name → pixels; for the test only if the split divides pixels.
    masked
        Role → labelled pixels whose spectrum is invalid.
    wavelengths_nm
        Wavelengths of the bands; None if unknown.
    cubes, pixels, class_names
        The cubes, the pixels that train or validate as bool (H, W) per cube, and the names of the classes.
    doubts
        What a reader of the result should know about these pixels.
    """

    training: PatchSource
    validation: PatchSource | None
    used: Mapping[str, Mapping[str, int]]
    masked: Mapping[str, int]
    wavelengths_nm: tuple[float, ...] | None
    cubes: tuple[LabelledCube, ...]
    pixels: tuple[npt.NDArray[np.bool_], ...]
    class_names: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def everything(self) -> PatchSource:
        """Training and validation pixels together."""
        return PatchSource(self.cubes, self.training.window, pixels=self.pixels, class_names=self.class_names)


def read_pixels(
    plan: TrainingPlan, track: Track = silent, cache: MutableMapping[str, CachedCube] | None = None
) -> TrainingPixels:
    """Read the cubes of all training and validation captures; those of the test are not opened.

    Parameters
    ----------
    cache
        Cubes that were read for other folds of the same study; newly read ones are added.

    Raises
    ------
    ModelError
        Nothing can be learned from the labels.
    StudyError, CubeError, CaptureError, SensorError
        The captures cannot be used, or the validation patients have no valid labelled pixel.
    """
    names, split = plan.classes.names, plan.split
    roles = [role for role in ("train", "validation") if split.captures_of(role)]
    captures = sorted({capture for role in roles for capture in split.captures_of(role)})
    known = {} if cache is None else cache
    missing = [capture for capture in captures if capture not in known]
    for capture in track(missing, "reading cubes", len(missing)):
        known[capture] = read_cube(plan.study, capture, split.patients[capture], plan.sensor, plan.classes)
    cubes = {capture: known[capture].cube for capture in captures}
    strange = [capture for capture in captures if known[capture].units != plan.study.preprocessing.units]
    doubts = (_doubt(strange, plan.study),) if strange else ()
    if not set(strange).isdisjoint(missing):  # logged once, not in every fold
        logger.warning(*doubts)
    wavelengths = next((known[one].wavelengths_nm for one in captures if known[one].wavelengths_nm is not None), None)
    check_bands(list(cubes.values()))
    wanted = {role: role_pixels(split, cubes, role) for role in roles}
    sources = {
        role: PatchSource(
            [cubes[capture] for capture in split.captures_of(role)],
            plan.kind.window,
            pixels=[wanted[role][capture] for capture in split.captures_of(role)],
            class_names=names,
        )
        for role in roles
    }
    check_labels(sources["train"], len(names))
    if "validation" in sources and len(sources["validation"]) == 0:
        raise StudyError(
            f"validation captures {', '.join(plan.split.validation)}",
            "contain no valid labelled pixel",
            "Name other validation patients (--validation-patient).",
        )
    used = {role: _counted(cubes, wanted[role], names) for role in roles}
    if split.pixels is not None:
        used["test"] = _counted(cubes, role_pixels(split, cubes, "test"), names)
    masked = (
        {role: sum(plan.counts(role).values()) - len(source) for role, source in sources.items()}
        if split.pixels is None
        else {}
    )
    # Sorted: the same patients give the same training, whichever of them validated first.
    together = tuple(cubes[capture] for capture in captures)
    either = tuple(np.any([chosen[one] for chosen in wanted.values() if one in chosen], axis=0) for one in captures)
    return TrainingPixels(
        sources["train"], sources.get("validation"), used, masked, wavelengths, together, either, names, doubts
    )


def _counted(
    cubes: Mapping[str, LabelledCube], chosen: Mapping[str, npt.NDArray[np.bool_]], names: Sequence[str]
) -> dict[str, int]:
    """Class name → chosen pixels."""
    labels = np.concatenate([cubes[capture].classes[pixels] for capture, pixels in chosen.items()])
    counts = np.bincount(labels, minlength=len(names) + 1)[1:]
    return dict(zip(names, map(int, counts), strict=True))


def _doubt(captures: Sequence[str], study: Study) -> str:
    few = ", ".join(captures[:3]) + (f" and {len(captures) - 3} more" if len(captures) > 3 else "")
    return (
        f"the spectra of {few} are not normalised by {study.preprocessing.normalisation!r}, the setting of study.toml or its"
        " default: a bundle would prepare frames differently from these cubes; see `gliomap study check`"
    )


def read_cube(
    study: Study,
    capture: str,
    patient: str,
    sensor: MosaicSensor | None,
    classes: ClassSet,
    config: PreprocessingConfig | None = None,
) -> CachedCube:
    """One capture with its classes."""
    cube = study.cube(capture, sensor, config)
    labelled = LabelledCube.from_cube(capture, patient, cube, study.codes(capture), classes)
    waves = cube.wavelengths_nm
    return CachedCube(labelled, None if waves is None else tuple(float(value) for value in waves), cube.units)


def role_pixels(split: Split, cubes: Mapping[str, LabelledCube], role: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Capture → bool (H, W), the labelled pixels that train, validate or test.

    These are all labelled pixels of a capture, unless the split divides pixels. Then `cubes` must hold all captures of the
    split, because pixels are divided over all of them together.
    """
    captures = split.captures_of(role)
    if split.pixels is None:
        return {capture: cubes[capture].classes > 0 for capture in captures}
    together = [cubes[capture].classes for capture in sorted(split.patients)]
    labels = np.concatenate([classes[classes > 0] for classes in together])
    parts = pixel_parts(labels, split.pixels.count, unit=split.pixels.unit, seed=split.seed)
    mine = np.isin(parts, split.pixels.of_role(role))
    result, first = {}, 0
    for capture, classes in zip(sorted(split.patients), together, strict=True):
        chosen = classes > 0
        count = int(np.count_nonzero(chosen))
        chosen[chosen] = mine[first : first + count]
        first += count
        result[capture] = chosen
    return {capture: result[capture] for capture in captures}
