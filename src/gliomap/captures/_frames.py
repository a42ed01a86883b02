"""Read one frame from a file into sensor values, however the camera's software aligned its bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.captures._checks import require_frame
from gliomap.captures._tiff import RawImage, parse_tiff, read_tiff, write_tiff
from gliomap.errors import CaptureError
from gliomap.sensors import MosaicSensor

__all__ = ["Frame", "oldest_time", "parse_frames", "read_frame", "read_frames", "write_frame"]

_CONTAINER_BITS = 16


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a mosaic sensor.

    Attributes
    ----------
    data
        uint16 (rows, columns), digital numbers in the low bits: 0 … 2^bit_depth − 1.
    taken_at
        The TIFF's DateTime: local time of the camera's computer, without a time zone; or None.
    msb_aligned
        The file held the values in the high bits of 16; they were shifted down.
    eight_bit
        The file had 8 bits for a sensor of more bits; values were scaled to the sensor's range.
    """

    data: npt.NDArray[np.uint16]
    taken_at: datetime | None
    msb_aligned: bool = False
    eight_bit: bool = False


def oldest_time(frames: Iterable[Frame]) -> datetime | None:
    """When the oldest of some frames was taken; None if the time of any is unknown."""
    times = [frame.taken_at for frame in frames]
    known = [time for time in times if time is not None]
    return min(known) if len(known) == len(times) else None


def read_frame(path: Path | str, sensor: MosaicSensor | None = None, *, msb_aligned: bool | None = None) -> Frame:
    """Read one frame from a TIFF file.

    Parameters
    ----------
    path
        Single-page greyscale TIFF of 8 or 16 bits.
    sensor
        The sensor against which shape and bit depth are checked. If None, values stay as they are.
    msb_aligned
        Whether values occupy the high bits of 16. None detects it: they do if every value is a multiple of
        2^(16 − bit depth) and the highest exceeds the bit depth.

    Returns
    -------
    Frame

    Raises
    ------
    CaptureError
        The file is missing, empty, truncated or damaged, has another type, channel count, page count or shape, or its
        values do not fit the sensor's bits.
    """
    return read_frames([Path(path)], sensor, msb_aligned=msb_aligned)[0]


def read_frames(
    paths: list[Path], sensor: MosaicSensor | None = None, *, msb_aligned: bool | None = None
) -> list[Frame]:
    """Read frames of one camera and session, which share one bit alignment.

    A dark frame alone may be too dim to reveal its bit alignment; brighter frames of the session reveal it.

    Parameters
    ----------
    paths
        TIFF files.
    sensor, msb_aligned
        See `read_frame`.

    Raises
    ------
    CaptureError
        As in `read_frame`, or the frames disagree.
    """
    return _frames(
        paths, [read_tiff(path, sensor.frame_shape if sensor else None) for path in paths], sensor, msb_aligned
    )


def parse_frames(
    contents: Mapping[str, bytes | npt.NDArray[np.uint16]], sensor: MosaicSensor, *, msb_aligned: bool | None = None
) -> dict[str, Frame]:
    """Parse frames given as TIFF bytes or as arrays, together, as `read_frames` does for files.

    Parameters
    ----------
    contents
        Name in messages ('raw', 'white', …) → the bytes of a TIFF file, or a uint16 array.

    Raises
    ------
    CaptureError
        As in `read_frame`.
    """
    images = []
    for name, content in contents.items():
        if isinstance(content, bytes):
            images.append(parse_tiff(content, Path(name), sensor.frame_shape))
        else:
            require_frame(content, sensor, name)
            images.append(RawImage(content, None))
    return dict(zip(contents, _frames([Path(name) for name in contents], images, sensor, msb_aligned), strict=True))


def _frames(
    paths: list[Path], images: list[RawImage], sensor: MosaicSensor | None, msb_aligned: bool | None
) -> list[Frame]:
    if sensor is None:
        if msb_aligned:
            raise CaptureError(
                paths[0], "cannot be shifted without a sensor", "Specify the sensor, which defines the bit depth."
            )
        return [Frame(image.data.astype(np.uint16), image.taken_at) for image in images]
    widths = {image.data.dtype.itemsize for image in images}
    if len(widths) > 1:
        listed = ", ".join(f"{p.name}: {i.data.dtype}" for p, i in zip(paths, images, strict=True))
        raise CaptureError(paths[0], f"and its companions differ in bit depth ({listed})", "Record all in one mode.")
    if widths == {1}:
        return [_spread(path, image, sensor) for path, image in zip(paths, images, strict=True)]
    aligned = _aligned(paths, images, sensor) if msb_aligned is None else msb_aligned
    return [_unshifted(path, image, sensor, aligned) for path, image in zip(paths, images, strict=True)]


def write_frame(
    path: Path | str, data: npt.NDArray[np.uint16] | npt.NDArray[np.uint8], taken_at: datetime | None = None
) -> None:
    """Write a frame as an uncompressed TIFF, atomically.

    Parameters
    ----------
    path
        Output; replaced if it exists.
    data
        uint8 or uint16 (rows, columns).
    taken_at
        Written as DateTime, in whole seconds; omitted if None, so that equal frames yield equal bytes.

    Raises
    ------
    CaptureError
        `data` has another type or shape.
    """
    if data.dtype not in (np.uint8, np.uint16) or data.ndim != 2 or not data.size:
        raise CaptureError(path, f"cannot hold {data.dtype} of shape {data.shape}", "Pass uint8 or uint16 (H, W).")
    write_tiff(Path(path), data, taken_at)


def _aligned(paths: list[Path], images: list[RawImage], sensor: MosaicSensor) -> bool:
    """Whether these frames are MSB-aligned; one unambiguous frame decides for all."""
    highest = [int(image.data.max()) for image in images]
    if sensor.bit_depth == _CONTAINER_BITS or max(highest, default=0) < 2**sensor.bit_depth:
        return False
    step = 1 << (_CONTAINER_BITS - sensor.bit_depth)
    for path, image, top in zip(paths, images, highest, strict=True):
        if int(np.bitwise_or.reduce(image.data, axis=None)) % step:
            brightest = paths[highest.index(max(highest))]
            raise CaptureError(
                path,
                f"has values up to {top} that are not multiples of {step}, and {brightest.name} reaches {max(highest)}: "
                f"together they fit neither the {sensor.bit_depth} low bits nor the {sensor.bit_depth} high bits of 16",
                "Check the sensor's name and the camera's pixel format.",
            )
    return True


def _unshifted(path: Path, image: RawImage, sensor: MosaicSensor, aligned: bool) -> Frame:
    data = image.data.astype(np.uint16, copy=False)
    shift = _CONTAINER_BITS - sensor.bit_depth
    if aligned and shift:
        if int(np.bitwise_or.reduce(data, axis=None)) % (1 << shift):
            raise CaptureError(
                path,
                f"is not MSB-aligned: not every value is a multiple of {1 << shift}",
                "Leave the alignment to automatic detection.",
            )
        return Frame(np.right_shift(data, np.uint16(shift)), image.taken_at, msb_aligned=True)
    top = int(data.max())
    if top >> sensor.bit_depth:
        raise CaptureError(
            path,
            f"has values up to {top}, but {sensor.bit_depth} bits end at {2**sensor.bit_depth - 1}",
            "Check the sensor's name and whether the frame is MSB-aligned.",
        )
    return Frame(data, image.taken_at)


def _spread(path: Path, image: RawImage, sensor: MosaicSensor) -> Frame:
    """Scale 8-bit values to the sensor's range; 255 maps to its highest value, so that saturation is preserved."""
    full = 2**sensor.bit_depth - 1
    if sensor.bit_depth <= 8:
        return _unshifted(path, image, sensor, aligned=False)
    table = np.round(np.arange(256) * (full / 255)).astype(np.uint16)
    return Frame(table[image.data], image.taken_at, eight_bit=True)
