"""Whatever the bytes are, opening gives a bundle or a BundleError."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.makers import small_bundle, small_sensor
from gliomap.bundles import open_bundle
from gliomap.bundles._manifest import parse_manifest
from gliomap.bundles._onnx_header import read_graph_header
from gliomap.errors import BundleError


@cache
def archive_bytes() -> bytes:
    with TemporaryDirectory() as folder:
        return small_bundle(Path(folder) / "bundle.zip", sensor=small_sensor()).path.read_bytes()


@cache
def part(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive_bytes())) as archive:
        return archive.read(name)


def garbled(content: bytes, place: float, value: int, cut: float) -> bytes:
    """One byte replaced, and the end cut off."""
    changed = bytearray(content)
    changed[int(place * (len(changed) - 1))] = value
    return bytes(changed[: int(cut * len(changed))])


places = st.floats(0, 1)
values = st.integers(0, 255)
cuts = st.one_of(st.just(1.0), st.floats(0, 1))


@given(places, values, cuts)
@settings(max_examples=50)
def test_a_garbled_archive_opens_intact_or_is_refused(place: float, value: int, cut: float) -> None:
    content = garbled(archive_bytes(), place, value, cut)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(content)
        try:
            opened = open_bundle(path)
        except BundleError:
            return
    # Some bytes of an archive (times, attributes) are not content; a change of those leaves the graphs intact.
    assert opened.cube_graph == part("cube.onnx")


@given(places, values, cuts)
@settings(max_examples=50)
def test_a_garbled_graph_raises_nothing_but_a_bundle_error(place: float, value: int, cut: float) -> None:
    with suppress(BundleError):
        read_graph_header(garbled(part("frame.onnx"), place, value, cut), "graph")


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_arbitrary_bytes_never_give_a_graph_with_outputs(content: bytes) -> None:
    with suppress(BundleError):
        assert read_graph_header(content, "graph").outputs == ()


@given(places, values, cuts)
@settings(max_examples=50)
def test_a_garbled_manifest_is_parsed_or_refused(place: float, value: int, cut: float) -> None:
    content = garbled(part("manifest.json"), place, value, cut)
    try:
        manifest = parse_manifest(content, "manifest")
    except BundleError:
        return
    assert manifest.format_version == 3
