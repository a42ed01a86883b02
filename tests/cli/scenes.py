"""A small capture as files, for tests that need no patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gliomap.captures import write_frame
from gliomap.sensors import MosaicSensor, get_sensor, resized, write_sensor_toml
from golden import formula_frames


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
