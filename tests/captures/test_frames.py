"""Frames from TIFF files: what can be read, and how the rest is refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gliomap.captures import parse_frames, read_frame, read_frames, tiff_bytes, write_frame
from gliomap.errors import CaptureError, GlioMapError
from gliomap.sensors import get_sensor, resized
from support import little_memory

SENSOR = resized(get_sensor("nemesis"), 4, 6)
SHAPE = SENSOR.frame_shape


def frame(seed: int = 0, low: int = 20, high: int = 900) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(low, high, SHAPE).astype(np.uint16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ID0018C09.tif"


def test_a_frame_survives_writing_and_reading(path: Path) -> None:
    data, taken = frame(), datetime(2021, 5, 4, 13, 2, 1)
    write_frame(path, data, taken)
    read = read_frame(path, SENSOR)
    assert np.array_equal(read.data, data)
    assert read.data.dtype == np.uint16
    assert read.taken_at == taken
    assert not read.msb_aligned
    assert not read.eight_bit


def test_the_same_frame_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_frame(path, frame())
    write_frame(tmp_path / "again.tif", frame())
    assert path.read_bytes() == (tmp_path / "again.tif").read_bytes()
    assert read_frame(path).taken_at is None


def test_arrays_that_are_not_frames_are_not_written(path: Path) -> None:
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 2, 3), np.uint16), np.zeros((0, 2), np.uint16)):
        with pytest.raises(CaptureError, match="cannot hold"):
            write_frame(path, wrong)
    assert not path.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 3},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"imagej": True},
        {"extratags": [(274, 3, 1, 1, True)]},
        {"photometric": "cfa", "extratags": [(33421, 3, 2, (5, 5), True), (33422, 1, 25, bytes(25), True)]},
    ],
    ids=str,
)
def test_common_kinds_of_tiff_are_read(path: Path, options: dict[str, object]) -> None:
    data = frame()
    tifffile.imwrite(path, data, **options)
    read = read_frame(path, SENSOR)
    assert np.array_equal(read.data, data)
    assert read.data.dtype.isnative


def packed(path: Path, data: np.ndarray) -> bytes:
    """Write a TIFF with PackBits compression, MATLAB's default, and return its bytes."""
    Image.fromarray(data).save(path, compression="packbits")
    return path.read_bytes()


def test_a_packbits_file_is_read(path: Path) -> None:
    data = frame()
    data[:5] = 7
    packed(path, data)
    assert np.array_equal(read_frame(path, SENSOR).data, data)


def test_a_packbits_file_of_the_wrong_length_is_refused(path: Path) -> None:
    content = packed(path, frame())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[0], page.databytecounts[0]
    for filler, fault in ((b"\x80", "is truncated"), (b"\x81", "unpacks to more")):
        path.write_bytes(content[:start] + filler * length + content[start + length :])
        with pytest.raises(CaptureError, match=fault):
            read_frame(path, SENSOR)


@pytest.mark.parametrize("stamp", ["2021:05:04 13:02:01", "2021-05-04 13:02:01"])
def test_timestamps_with_colons_or_dashes_are_read(path: Path, stamp: str) -> None:
    tifffile.imwrite(path, frame(), metadata=None, extratags=[(306, 2, 20, stamp, True)])
    assert read_frame(path).taken_at == datetime(2021, 5, 4, 13, 2, 1)


def test_an_unreadable_timestamp_is_ignored(path: Path) -> None:
    tifffile.imwrite(path, frame(), metadata=None, extratags=[(306, 2, 20, "yesterday, at noon", True)])
    assert read_frame(path).taken_at is None


class TestRefused:
    def test_a_missing_file_or_a_folder(self, tmp_path: Path) -> None:
        for path, fault in ((tmp_path / "absent.tif", "does not exist"), (tmp_path, "is a folder")):
            with pytest.raises(CaptureError, match=fault):
                read_frame(path)

    def test_an_empty_file(self, path: Path) -> None:
        path.touch()
        with pytest.raises(CaptureError, match="is empty"):
            read_frame(path)

    def test_a_file_that_is_not_a_tiff(self, path: Path) -> None:
        path.write_text("This is a letter.", encoding="utf-8")
        with pytest.raises(CaptureError, match="not a readable TIFF"):
            read_frame(path)

    def test_a_truncated_file(self, path: Path) -> None:
        write_frame(path, frame())
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CaptureError, match=r"is truncated: it needs [\d,]+ bytes and has [\d,]+"):
            read_frame(path, SENSOR)

    def test_a_file_truncated_within_its_header(self, path: Path) -> None:
        write_frame(path, frame())
        path.write_bytes(path.read_bytes()[:30])
        with pytest.raises(CaptureError, match=r"ID0018C09\.tif"):
            read_frame(path, SENSOR)

    @pytest.mark.parametrize("sensor", [None, SENSOR])
    def test_a_huge_header_costs_no_memory(self, path: Path, sensor: object) -> None:
        write_frame(path, frame())
        content = path.read_bytes()
        for tag, side, huge in ((256, SHAPE[1], 4_000_000_000), (257, SHAPE[0], 3_000_000_000)):
            old = struct.pack("<HHII", tag, 4, 1, side)
            assert old in content
            content = content.replace(old, struct.pack("<HHII", tag, 4, 1, huge))
        path.write_bytes(content)
        with little_memory(), pytest.raises(CaptureError, match="3000000000×4000000000 pixels"):
            read_frame(path, SENSOR if sensor else None)

    def test_a_declared_size_larger_than_the_file(self, path: Path) -> None:
        write_frame(path, frame())
        content = path.read_bytes()
        old = struct.pack("<HHII", 257, 4, 1, SHAPE[0])
        assert old in content
        path.write_bytes(content.replace(old, struct.pack("<HHII", 257, 4, 1, 1000)))
        with pytest.raises(CaptureError, match=r"is truncated: 66,000 bytes of pixels are declared, 1,[\d]+ present"):
            read_frame(path)

    def test_a_file_larger_than_the_limit(self, path: Path) -> None:
        with path.open("wb") as stream:
            stream.truncate(513 * 2**20)
        with pytest.raises(CaptureError, match="larger than 512 MiB"):
            read_frame(path)

    def test_a_compression_bomb(self, path: Path) -> None:
        tifffile.imwrite(path, frame(), compression="zlib", metadata=None)
        content, strip = path.read_bytes(), zlib.compress(bytes(50_000_000), 9)
        with tifffile.TiffFile(path) as tiff:
            offset = tiff.pages.first.tags["StripOffsets"].valueoffset
            count = tiff.pages.first.tags["StripByteCounts"].valueoffset
        patched = bytearray(content + strip)
        struct.pack_into("<I", patched, offset, len(content))
        struct.pack_into("<I", patched, count, len(strip))
        path.write_bytes(bytes(patched))
        with pytest.raises(CaptureError, match="unpacks to more than its 1,518 bytes"):
            read_frame(path, SENSOR)

    @pytest.mark.parametrize("kind", ["int16", "uint32", "float32", "float64", "bool"])
    def test_an_unsupported_pixel_type(self, path: Path, kind: str) -> None:
        tifffile.imwrite(path, frame().astype(kind))
        with pytest.raises(CaptureError, match="not uint8 or uint16"):
            read_frame(path, SENSOR)

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_three_channels(self, path: Path, planar: str) -> None:
        data = np.zeros((*SHAPE, 3) if planar == "contig" else (3, *SHAPE), np.uint16)
        tifffile.imwrite(path, data, photometric="rgb", planarconfig=planar)
        with pytest.raises(CaptureError, match="has 3 channels"):
            read_frame(path, SENSOR)

    def test_several_pages(self, path: Path) -> None:
        tifffile.imwrite(path, np.stack([frame(), frame(1)]), photometric="minisblack")
        with pytest.raises(CaptureError, match="has 2 pages"):
            read_frame(path, SENSOR)

    def test_another_shape_names_both_shapes(self, path: Path) -> None:
        write_frame(path, frame()[:-1])
        with pytest.raises(CaptureError, match=r"is 22×33 pixels, the sensor's frame is 23×33"):
            read_frame(path, SENSOR)

    def test_inverted_grey(self, path: Path) -> None:
        tifffile.imwrite(path, frame(), photometric="miniswhite")
        with pytest.raises(CaptureError, match="inverted"):
            read_frame(path)

    @pytest.mark.parametrize("orientation", [3, 6])
    def test_a_rotated_frame(self, path: Path, orientation: int) -> None:
        tifffile.imwrite(path, frame(), extratags=[(274, 3, 1, orientation, True)])
        with pytest.raises(
            CaptureError, match=rf"turned or mirrored \(Orientation {orientation}\).*Save it as the camera"
        ):
            read_frame(path, SENSOR)

    def test_a_tiled_file(self, path: Path) -> None:
        tifffile.imwrite(path, frame(), tile=(16, 16))
        with pytest.raises(CaptureError, match="tiles"):
            read_frame(path)

    def test_values_beyond_the_bit_depth(self, path: Path) -> None:
        data = frame()
        data[3, 4] = 5001
        write_frame(path, data)
        with pytest.raises(CaptureError, match="5001"):
            read_frame(path, SENSOR)
        with pytest.raises(CaptureError, match="10 bits end at 1023"):
            read_frame(path, SENSOR, msb_aligned=False)
        assert read_frame(path).data[3, 4] == 5001  # without a sensor the bit depth is unknown


class TestBits:
    def test_msb_aligned_frames_are_detected_and_shifted(self, path: Path) -> None:
        write_frame(path, frame() << 6)
        read = read_frame(path, SENSOR)
        assert read.msb_aligned
        assert np.array_equal(read.data, frame())

    def test_a_dim_dark_takes_the_alignment_of_the_raw_frame(self, tmp_path: Path) -> None:
        dark = frame(1, 0, 12)
        write_frame(tmp_path / "raw.tif", frame() << 6)
        write_frame(tmp_path / "dark.tif", dark << 6)
        # Alone it could be either: 11 · 64 is a possible value of 10 low bits.
        assert not read_frame(tmp_path / "dark.tif", SENSOR).msb_aligned
        both = read_frames([tmp_path / "raw.tif", tmp_path / "dark.tif"], SENSOR)
        assert [read.msb_aligned for read in both] == [True, True]
        assert np.array_equal(both[1].data, dark)
        told = read_frame(tmp_path / "dark.tif", SENSOR, msb_aligned=True)
        assert np.array_equal(told.data, dark)

    def test_arrays_and_files_of_one_capture_share_their_alignment(self) -> None:
        raw, dark = frame(), frame(low=3, high=14)
        sent = parse_frames({"raw": tiff_bytes(raw << 6), "dark": dark << 6}, SENSOR)
        assert np.array_equal(sent["raw"].data, raw)
        assert np.array_equal(sent["dark"].data, dark)
        assert parse_frames({}, SENSOR) == {}
        with pytest.raises(CaptureError, match="dark: is uint16 of shape"):
            parse_frames({"raw": raw, "dark": dark[1:]}, SENSOR)
        with pytest.raises(CaptureError, match="differ in bit depth"):
            parse_frames({"raw": tiff_bytes((raw >> 2).astype(np.uint8)), "dark": dark}, SENSOR)

    def test_mixed_alignment_is_refused(self, tmp_path: Path) -> None:
        write_frame(tmp_path / "raw.tif", frame() << 6)
        write_frame(tmp_path / "white.tif", frame(1))
        fault = r"white\.tif: has values up to \d+ that .* and raw\.tif reaches \d{5}: .* neither the 10 low bits nor the 10 high"
        with pytest.raises(CaptureError, match=fault):
            read_frames([tmp_path / "raw.tif", tmp_path / "white.tif"], SENSOR)

    def test_the_msb_aligned_option_needs_a_sensor_and_must_fit_the_file(self, path: Path) -> None:
        write_frame(path, frame())
        with pytest.raises(CaptureError, match="not MSB-aligned"):
            read_frame(path, SENSOR, msb_aligned=True)
        with pytest.raises(CaptureError, match="without a sensor"):
            read_frame(path, msb_aligned=True)

    def test_eight_bit_frames_are_scaled_so_that_saturation_is_kept(self, path: Path) -> None:
        data = (frame() >> 2).astype(np.uint8)
        data[0, 0], data[0, 1] = 255, 0
        write_frame(path, data)
        read = read_frame(path, SENSOR)
        assert read.eight_bit
        assert (read.data[0, 0], read.data[0, 1]) == (1023, 0)
        assert np.abs(read.data / 1023 - data / 255).max() < 1e-3
        assert np.array_equal(read_frame(path).data, data)

    def test_frames_of_an_eight_bit_camera_are_not_scaled(self, path: Path) -> None:
        camera = replace(SENSOR, bit_depth=8, saturation=255)
        data = (frame() >> 2).astype(np.uint8)
        for stored in (data, data.astype(np.uint16)):
            write_frame(path, stored)
            read = read_frame(path, camera)
            assert np.array_equal(read.data, data)
            assert not read.eight_bit

    def test_mixed_bit_depths_are_refused(self, tmp_path: Path) -> None:
        write_frame(tmp_path / "raw.tif", frame())
        write_frame(tmp_path / "dark.tif", np.zeros(SHAPE, np.uint8))
        with pytest.raises(CaptureError, match=r"raw.tif: uint16, dark.tif: uint8"):
            read_frames([tmp_path / "raw.tif", tmp_path / "dark.tif"], SENSOR)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_garbled_files_raise_only_our_errors_and_log_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    path = tmp_path / "garbled.tif"
    options = data.draw(st.sampled_from([{}, {"compression": "zlib"}, {"rowsperstrip": 2}, {"bigtiff": True}]))
    tifffile.imwrite(path, frame(), **options)
    content = bytearray(path.read_bytes())
    del content[data.draw(st.integers(len(content) // 8, len(content))) :]
    near_header = st.integers(0, min(300, len(content) - 1))
    for position in data.draw(st.lists(near_header, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        read = read_frame(path, SENSOR)
    except GlioMapError:
        read = None
    assert read is None or read.data.shape == SHAPE
    assert not caplog.records
