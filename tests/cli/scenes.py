"""Small frames computed by a formula, for tests that need files but no patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.captures import write_frame
from gliomap.sensors import MosaicSensor, get_sensor, resized, write_sensor_toml

UInt16 = npt.NDArray[np.uint16]


def formula_frames(height: int, width: int) -> tuple[UInt16, UInt16, UInt16]:
    """Raw, white and dark frames as ../shared/data/golden/README.md defines them, with k = 0."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    m = (y % 5) * 5 + x % 5
    dark = 12 + (x * 7 + y * 13) % 23
    white = 430 + (x * x + 3 * y * y) % 311 + m * 7
    frac = ((x // 5) * 31 + (y // 5) * 17 + m * m * 7 + ((x // 40) * (y // 40)) * 11) % 1000
    raw = dark + ((white - dark) * (60 + frac * 85 // 100)) // 1000
    return raw.astype(np.uint16), white.astype(np.uint16), dark.astype(np.uint16)


@dataclass(frozen=True)
class Files:
    """One capture of a small sensor on disk."""

    folder: Path
    raw: Path
    white: Path
    dark: Path
    sensor: Path
    camera: MosaicSensor

    @property
    def flags(self) -> list[str]:
        """The options for raw, white and dark that `classify` takes."""
        return ["--raw", str(self.raw), "--white", str(self.white), "--dark", str(self.dark)]


def write_capture(folder: Path, tiles: tuple[int, int] = (8, 12)) -> Files:
    """Write raw.tif, white.tif, dark.tif and sensor.toml of a small `nemesis`."""
    camera = resized(get_sensor("nemesis"), *tiles)
    frames = formula_frames(*camera.frame_shape)
    paths = [folder / name for name in ("raw.tif", "white.tif", "dark.tif")]
    for path, frame in zip(paths, frames, strict=True):
        write_frame(path, frame)
    write_sensor_toml(camera, folder / "sensor.toml")
    return Files(folder, *paths, folder / "sensor.toml", camera)
