"""Frames as they are sent: bytes of TIFF files, plain numbers, arrays."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from bundles.makers import small_sensor
from gliomap.captures import tiff_bytes
from gliomap.errors import CaptureError
from gliomap.serving._bodies import FrameBytes, digest_of, frames_of

SENSOR = small_sensor()
RAW = np.random.default_rng(0).integers(0, 1024, SENSOR.frame_shape).astype(np.uint16)
RAW[0, :2] = 0, 1023


@pytest.mark.parametrize(
    "sent",
    [
        FrameBytes.guessed(tiff_bytes(RAW)),
        FrameBytes.guessed(bytearray(RAW.astype("<u2").tobytes())),
        FrameBytes(RAW.astype("<u2").tobytes(), "numbers", SENSOR.frame_shape),
        RAW,
        RAW.astype(np.int64),
        RAW.astype(">u2"),
    ],
    ids=["tiff", "numbers", "numbers with their shape", "array", "int64", "big-endian"],
)
def test_every_form_of_a_frame_is_read_as_the_same_numbers(sent: Any) -> None:
    found = frames_of({"raw": sent}, SENSOR)["raw"].data
    assert found.dtype == np.uint16
    assert found.dtype.isnative
    assert np.array_equal(found, RAW)


@pytest.mark.parametrize(
    "sent",
    [
        FrameBytes.guessed(bytearray(RAW.astype("<u2").tobytes())),
        RAW,
        RAW.astype(np.int64),
        RAW.astype(">u2"),
        np.asfortranarray(RAW),
    ],
    ids=["numbers", "array", "int64", "big-endian", "column-major"],
)
def test_the_digest_of_numbers_does_not_depend_on_their_form(sent: Any) -> None:
    """Numbers in JSON have no type, so the digest is that of the documented form: little-endian uint16, row by row."""
    assert digest_of(sent) == hashlib.sha256(RAW.astype("<u2").tobytes()).hexdigest()


def test_the_digest_of_a_file_is_that_of_its_bytes() -> None:
    file = tiff_bytes(RAW)
    assert digest_of(FrameBytes.guessed(file)) == hashlib.sha256(file).hexdigest()


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (RAW * 0.5, "is float64 of shape"),
        (RAW[None], r"is uint16 of shape \(1, "),
        (RAW.astype(np.int64) - 1, "has values from -1 to"),
        (RAW.astype(np.int64) + 65_535, "has values from .* to 6[56]"),
        (np.zeros((0, 0), np.int64), "is uint16 of shape 0×0"),
        (FrameBytes(RAW.tobytes()[:-1], "numbers"), "bytes; 20×25 uint16 numbers have 1,000"),
        (FrameBytes(RAW.tobytes(), "numbers", (25, 20)), "is uint16 of shape 25×20"),
    ],
    ids=["floats", "three dimensions", "negative", "too high", "empty", "cut off", "transposed"],
)
def test_invalid_frames_are_refused_by_name(sent: Any, fault: str) -> None:
    with pytest.raises(CaptureError, match=f"^raw: .*{fault}"):
        frames_of({"raw": sent}, SENSOR)
