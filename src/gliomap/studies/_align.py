"""Alignment of a cube with its ground-truth map: the thesis's maps are cropped by hand around the brain."""

from __future__ import annotations

from pathlib import Path

from gliomap.errors import StudyError
from gliomap.preprocessing import HyperCube
from gliomap.studies._arrays import map_shape
from gliomap.studies._settings import Crop

__all__ = ["aligned", "placed"]


def aligned(cube: HyperCube, crop: Crop | None, ground_truth: Path, capture_id: str) -> HyperCube:
    """The part of a cube that its map covers; without a map, the part given by its crop.

    Parameters
    ----------
    cube
        Either already the size of the map, or full-size.
    crop
        Where the map lies in the full-size cube; None if study.toml does not state it.
    ground_truth
        The map's file; it need not exist.
    capture_id
        Name of the capture in messages.

    Raises
    ------
    StudyError
        Cube and map differ in size, and the crop is unknown or does not fit them.
    """
    window = placed((cube.height, cube.width), crop, ground_truth, capture_id)
    return cube if window is None else cube.cropped(window.row, window.column, window.height, window.width)


def placed(
    have: tuple[int, int], crop: Crop | None, ground_truth: Path, capture_id: str, sensor: str | None = None
) -> Crop | None:
    """Where the map lies in a cube of this (height, width); None if it covers all of it.

    Parameters
    ----------
    crop, ground_truth, capture_id
        See `aligned`.
    sensor
        Name of the sensor that gives the cube its size, if the cube is still to be made from frames.

    Raises
    ------
    StudyError
        As in `aligned`.
    """
    unmapped = have if crop is None else crop.shape
    target = map_shape(ground_truth) if ground_truth.exists() else unmapped
    if have == target:
        return None
    made, other = ("", "") if sensor is None else (f" of sensor {sensor!r}", ", or name the right sensor")
    sizes = f"its cube{made} has {have[0]}×{have[1]} pixels and its map {target[0]}×{target[1]}"
    if crop is None:
        raise StudyError(
            f"capture {capture_id}",
            f"{sizes}, and no crop is known",
            f"State in study.toml where the map lies in the cube: [captures.{capture_id}]"
            f" crop = {{row = …, column = …, height = {target[0]}, width = {target[1]}}}"
            f" (gliomap.studies.find_crop searches for it){other}.",
        )
    if crop.shape != target or not crop.fits(have):
        raise StudyError(
            f"capture {capture_id}",
            f"{sizes}, and the crop in study.toml ({crop}) does not fit them",
            "Correct the crop.",
        )
    return crop
