"""`gliomap preprocess`, with good frames and every kind of bad one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cli.conftest import Run
from cli.scenes import Files, write_capture
from gliomap.captures import read_frame, write_frame
from gliomap.preprocessing import load_npz
from gliomap.sensors import resized, write_sensor_toml
from golden import formula_frames
from support import shared


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_capture(tmp_path)


def test_a_capture_becomes_a_cube_file(installed: Run, files: Files) -> None:
    out = files.folder / "cube.npz"
    result = installed("preprocess", *files.flags, "--sensor", files.sensor, "-o", out)
    assert (result.code, result.err) == (0, "")
    assert str(out) in result.out
    with np.load(out) as archive:
        assert archive["cube"].dtype == np.float32
        assert archive["cube"].shape == (8, 12, 25)
        assert archive["wavelengths"].shape == (25,)
        assert archive["mask"].dtype == np.bool_
        assert archive["reasons"].dtype == np.uint8
        brightness = np.sqrt((archive["cube"] ** 2).mean(axis=2))
    np.testing.assert_allclose(brightness, 1, atol=1e-5)


@pytest.mark.shared
def test_formula_frames_give_the_golden_spectra(installed: Run, tmp_path: Path) -> None:
    golden = np.load(shared("data", "golden", "golden_dev.npz"))
    frames = formula_frames(1088, 2048)
    assert [int(frame.sum()) for frame in frames] == golden["checksum"].tolist()
    paths = [tmp_path / f"{role}.tif" for role in ("raw", "white", "dark")]
    for path, frame in zip(paths, frames, strict=True):
        tifffile.imwrite(path, frame)
    flags = [word for role, path in zip(("--raw", "--white", "--dark"), paths, strict=True) for word in (role, path)]
    result = installed("preprocess", *flags, "--sensor", "nemesis", "-o", tmp_path / "cube.npz", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["shape"] == [217, 409, 25]
    cube = load_npz(tmp_path / "cube.npz")
    np.testing.assert_allclose(cube.data[golden["rows"], golden["cols"]], golden["spectra"], atol=1e-4)


@pytest.mark.parametrize("name", ["cube.mat", "CUBE.MAT", "cube.npz"])
def test_a_cube_instead_of_a_frame_is_recognised_by_name(gliomap: Run, files: Files, name: str) -> None:
    cube = files.raw.rename(files.folder / name)
    flags = [cube if flag == str(files.raw) else flag for flag in files.flags]
    result = gliomap("preprocess", *flags, "--sensor", files.sensor, "-o", files.folder / "c.npz")
    assert result.code == 2
    assert f"{cube}: is a cube file, not a frame. Give the camera's TIFF file." in result.err
    assert "gliomap classify BUNDLE --cube FILE" in result.err


def test_json_counts_invalid_pixels_by_reason(gliomap: Run, files: Files) -> None:
    raw = read_frame(files.raw).data.copy()
    raw[2, 3] = files.camera.saturation
    write_frame(files.raw, raw)
    out = files.folder / "c.npz"
    told = json.loads(gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", out, "--json").out)
    assert told["file"] == str(out)
    assert told["invalid"] == {"saturated": 1}
    assert told["valid_pixels"] == 8 * 12 - 1


def test_pixels_where_white_equals_dark_are_masked_with_a_warning(gliomap: Run, files: Files) -> None:
    white, dark = read_frame(files.white).data.copy(), read_frame(files.dark).data
    white[:5, :10] = dark[:5, :10]
    write_frame(files.white, white)
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", files.folder / "c.npz")
    assert result.code == 0
    assert "2 dark" in result.out
    assert "white.tif" in result.err, "the warning names the file"
    cube = load_npz(files.folder / "c.npz")
    assert np.isfinite(cube.data).all()
    assert not cube.mask[0, :2].any()
    assert (cube.data[0, :2] == 0).all()


def test_an_existing_cube_is_kept_unless_overwriting(gliomap: Run, files: Files) -> None:
    out = files.folder / "cube.npz"
    out.write_bytes(b"precious")
    arguments = ["preprocess", *files.flags, "--sensor", files.sensor, "-o", out]
    result = gliomap(*arguments)
    assert result.code == 2
    assert f"{out}: already exists" in result.err
    assert "--overwrite" in result.err
    assert out.read_bytes() == b"precious"
    assert gliomap(*arguments, "--overwrite").code == 0
    assert load_npz(out).data.shape == (8, 12, 25)


def test_dry_run_writes_nothing(gliomap: Run, files: Files) -> None:
    before = sorted(files.folder.iterdir())
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", files.folder / "c.npz", "--dry-run")
    assert (result.code, result.out.startswith("Would write")) == (0, True)
    assert sorted(files.folder.iterdir()) == before


def test_normalisation_and_correction_can_be_switched_off(gliomap: Run, files: Files) -> None:
    out = files.folder / "c.npz"
    result = gliomap(
        "preprocess", *files.flags, "--sensor", files.sensor, "-o", out, "--normalisation", "none", "--no-correction"
    )
    assert result.code == 0
    cube = load_npz(out)
    assert cube.units == "reflectance, not spectrally corrected"
    assert 0 < float(cube.data.min()) < float(cube.data.max()) < 1


def test_exposures_scale_reflectance(gliomap: Run, files: Files) -> None:
    def cube(name: str, *more: str) -> np.ndarray:
        out = files.folder / name
        flags = [*files.flags, "--white-dark", files.dark, "--sensor", files.sensor, "--normalisation", "none"]
        result = gliomap("preprocess", *flags, "-o", out, *more)
        assert result.code == 0, result.err
        return load_npz(out).data

    np.testing.assert_allclose(cube("a.npz", "--exposures", "20,40,20,40"), 2 * cube("b.npz"), rtol=1e-5)


def test_a_second_dark_is_subtracted_from_the_white(gliomap: Run, files: Files) -> None:
    white, own = files.folder / "brighter.tif", files.folder / "own.tif"
    for path, of in ((white, files.white), (own, files.dark)):
        write_frame(path, read_frame(of).data + np.uint16(9))
    flags = ["--sensor", files.sensor, "-o"]
    plain, both = files.folder / "plain.npz", files.folder / "both.npz"
    assert gliomap("preprocess", *files.flags, *flags, plain).code == 0
    darks = ["--dark", files.dark, "--white-dark", own]
    assert gliomap("preprocess", "--raw", files.raw, "--white", white, *darks, *flags, both).code == 0
    assert np.array_equal(load_npz(both).data, load_npz(plain).data)


@pytest.mark.parametrize("text", ["40", "40,12", "a,b,c", "40,12,40,1,1", "40,-1,40", "nan,1,1"])
def test_bad_exposures_are_refused(gliomap: Run, files: Files, text: str) -> None:
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "--exposures", text)
    assert result.code == 2
    assert "expos" in result.err


def test_a_dark_of_another_exposure_is_refused_for_a_camera_with_offset(gliomap: Run, files: Files) -> None:
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "--exposures", "40,12,40")
    assert result.code == 2
    assert "12 ms" in result.err
    assert "Record a dark" in result.err


def test_frames_in_the_high_bits_give_the_same_cube(gliomap: Run, files: Files) -> None:
    plain, shifted = files.folder / "a.npz", files.folder / "b.npz"
    assert gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", plain).code == 0
    for path in (files.raw, files.white, files.dark):
        write_frame(path, read_frame(path).data << 6)
    assert gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", shifted).code == 0
    assert plain.read_bytes() == shifted.read_bytes()
    result = gliomap(
        "preprocess", *files.flags, "--sensor", files.sensor, "-o", files.folder / "c.npz", "--lsb-aligned"
    )
    assert result.code == 2
    assert "10 bits" in result.err


class TestUsage:
    def test_without_arguments_the_required_options_are_named(self, gliomap: Run) -> None:
        result = gliomap("preprocess")
        assert result.code == 2
        assert "--raw, --white, --dark" in result.err

    def test_a_missing_reference_is_named(self, gliomap: Run, files: Files) -> None:
        result = gliomap("preprocess", "--raw", files.raw, "--white", files.white, "--sensor", "nemesis")
        assert result.code == 2
        assert "--dark not given" in result.err

    def test_a_missing_sensor_points_to_the_list_of_sensors(self, gliomap: Run, files: Files) -> None:
        result = gliomap("preprocess", *files.flags)
        assert result.code == 2
        assert "gliomap sensor list" in result.err

    def test_an_output_name_with_another_extension_is_refused(self, gliomap: Run, files: Files) -> None:
        out = files.folder / "cube.mat"
        result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", out)
        assert (result.code, out.exists()) == (2, False)
        assert result.err == f"error: {out}: is not a valid name for a cube. Use a name that ends in .npz.\n"

    def test_an_unknown_sensor_is_refused_with_the_known_names(self, gliomap: Run, files: Files) -> None:
        result = gliomap("preprocess", *files.flags, "--sensor", "hasselblad")
        assert result.code == 2
        assert "hasselblad" in result.err
        assert "nemesis" in result.err

    def test_a_study_and_frames_cannot_be_combined(self, gliomap: Run, files: Files) -> None:
        result = gliomap("preprocess", files.folder, *files.flags)
        assert result.code == 2
        assert "cannot be combined with a study" in result.err

    def test_a_folder_that_is_not_a_study_is_refused(self, gliomap: Run, files: Files) -> None:
        result = gliomap("preprocess", files.folder)
        assert result.code == 2
        assert str(files.folder) in result.err


def huge_header(path: Path) -> None:
    """A little-endian TIFF whose header declares 60,000 × 60,000 pixels and holds none."""
    entries = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 60_000), (279, 4, 1, 0xFFFFFFF0)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", 0))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def other_type(path: Path) -> None:
    tifffile.imwrite(path, read_frame(path).data.astype(np.float32))


def three_channels(path: Path) -> None:
    tifffile.imwrite(path, np.repeat(read_frame(path).data[..., None], 3, axis=2), photometric="rgb")


def many_pages(path: Path) -> None:
    tifffile.imwrite(path, np.stack([read_frame(path).data] * 3), photometric="minisblack")


def another_size(path: Path) -> None:
    tifffile.imwrite(path, read_frame(path).data[:-5])


BAD_FRAMES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, ""),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "truncated": (truncated, ""),
    "a picture of another kind": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500)), "TIFF"),
    "a huge header": (huge_header, "60000"),
    "wrong type": (other_type, "float32"),
    "three channels": (three_channels, "3"),
    "many pages": (many_pages, "3 pages"),
    "another size": (another_size, "×"),
}


@pytest.mark.parametrize("role", ["raw", "white", "dark"])
@pytest.mark.parametrize("fault", BAD_FRAMES)
def test_a_bad_frame_is_named_and_nothing_is_written(gliomap: Run, files: Files, role: str, fault: str) -> None:
    path: Path = getattr(files, role)
    spoil, told = BAD_FRAMES[fault]
    spoil(path)
    before = sorted(files.folder.iterdir())
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", files.folder / "cube.npz")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {path}: ")
    assert told in result.err.replace(",", "").replace("_", "")
    assert sorted(files.folder.iterdir()) == before


REFERENCES: dict[str, tuple[Callable[[Files], object], str, str]] = {
    "swapped": (
        lambda files: _exchange(files.white, files.dark),
        "look swapped: the white's mean is 23, the dark's 668",
        "Swap the two files",
    ),
    "white equal to dark everywhere": (
        lambda files: files.white.write_bytes(files.dark.read_bytes()),
        "is less than 2% of full scale above the dark at 100.0% of its pixels (means 23 and 23)",
        "Record the white",
    ),
    "a saturated white": (
        lambda files: write_frame(files.white, np.full(files.camera.frame_shape, 1023, np.uint16)),
        "100.0% of its pixels are saturated (at 1023 or more)",
        "Shorten the exposure of the white",
    ),
    "raw is the white": (
        lambda files: files.raw.write_bytes(files.white.read_bytes()),
        "identical to a reference",
        "raw frame of the scene",
    ),
}


def _exchange(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.mark.parametrize("fault", REFERENCES)
def test_unusable_references_are_refused_with_numbers_and_a_remedy(gliomap: Run, files: Files, fault: str) -> None:
    spoil, told, remedy = REFERENCES[fault]
    spoil(files)
    result = gliomap("preprocess", *files.flags, "--sensor", files.sensor, "-o", files.folder / "cube.npz")
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert remedy in result.err
    assert not (files.folder / "cube.npz").exists()


def test_frames_of_another_camera_are_refused(gliomap: Run, files: Files) -> None:
    other = files.folder / "other.toml"
    write_sensor_toml(resized(files.camera, 9, 12), other)
    result = gliomap("preprocess", *files.flags, "--sensor", other)
    assert result.code == 2
    assert str(files.raw) in result.err
