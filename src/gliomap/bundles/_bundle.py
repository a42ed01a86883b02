"""Open, verify and write bundles."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gliomap.bundles._card import model_card
from gliomap.bundles._container import CARD, CUBE_GRAPH, FRAME_GRAPH, FRESH, HASH, MANIFEST, read_files, write_files
from gliomap.bundles._manifest import FileRecord, GraphRecord, Manifest, parse_manifest
from gliomap.bundles._onnx_header import read_graph_header
from gliomap.errors import BundleError
from gliomap.preprocessing import chain_sensor
from gliomap.sensors import MosaicSensor

__all__ = ["ML_DOMAIN", "ML_OPSET", "Bundle", "copy_bundle", "open_bundle", "write_bundle"]

ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 1
"""ONNX's operators for trees; a graph without trees does not import them."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path
        Folder or .zip.
    manifest
        What it says about itself.
    identity
        SHA-256 (hexadecimal) of manifest.json, which holds the hashes of all other files.
    cube_graph, frame_graph
        ONNX bytes; the frame graph is None where the bundle has none.
    card
        The model card, Markdown.
    """

    path: Path
    manifest: Manifest
    identity: str
    cube_graph: bytes
    frame_graph: bytes | None
    card: str

    @property
    def sensor(self) -> MosaicSensor | None:
        """The camera it takes frames of, None where it takes cubes only."""
        return None if self.manifest.sensor is None else self.manifest.sensor.build()

    @property
    def caution(self) -> str | None:
        """What whoever sees a map of it must know of the model; None where nothing is known against it."""
        training = self.manifest.training
        if training is None or not training.synthetic:
            return None
        return "the model has learned from synthetic patients only: its maps say nothing about people"

    @property
    def caption(self) -> str:
        """What its pictures say of where they come from."""
        told = f"bundle {self.manifest.name} ({self.identity[:12]})"
        return told if self.caution is None else f"{told}, trained on synthetic patients"

    def require_frames(self) -> None:
        """Refuse to serve a bundle that takes cubes only: cameras send frames.

        Raises
        ------
        BundleError
            It has no frame graph.
        """
        if self.frame_graph is None:
            raise BundleError(
                self.path,
                f"has no frame.onnx ({self.manifest.no_frame}), and a service takes frames",
                "Make a bundle with --sensor.",
            )

    @property
    def has_trees(self) -> bool:
        """Whether its graphs have operators of `ML_DOMAIN`, which not every backend knows."""
        try:
            return ML_DOMAIN in read_graph_header(self.cube_graph, self.path / CUBE_GRAPH).opsets
        except BundleError:
            # No graph at all: whoever loads it says so.
            return False


def open_bundle(path: str | Path, sensor: MosaicSensor | None = None) -> Bundle:
    """Open a bundle, having checked its hashes, version, shapes and that it fits `sensor`.

    Raises
    ------
    BundleError
        It is no bundle, damaged, incomplete, of a newer format, points outside itself, or is of another sensor.
    """
    path = Path(path)
    bundle = _checked(path, read_files(path))
    if sensor is not None:
        _check_sensor(bundle, sensor)
    return bundle


def copy_bundle(path: str | Path, target: str | Path) -> Bundle:
    """Write the files of the bundle at `path` to `target` (a folder, or a .zip), having checked the very bytes written.

    Raises
    ------
    BundleError
        As of `open_bundle`.
    OutputExistsError
        `target` is there.
    """
    files = read_files(Path(path))
    bundle = _checked(Path(path), files)
    write_files(Path(target), files, overwrite=False)
    return bundle


def _checked(path: Path, files: dict[str, bytes]) -> Bundle:
    content = files[MANIFEST]
    identity = hashlib.sha256(content).hexdigest()
    if files[HASH] != hash_file(identity):
        raise BundleError(path, f"{MANIFEST} or {HASH} is damaged: the hash differs", FRESH)
    manifest = parse_manifest(content, path / MANIFEST)
    _check_files(path, manifest, files)
    for kind, record in manifest.graphs.items():
        _check_graph(path / f"{kind}.onnx", record, files[f"{kind}.onnx"])
    try:
        card = files[CARD].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(path / CARD, "is not UTF-8 text", FRESH) from error
    return Bundle(path, manifest, identity, files[CUBE_GRAPH], files.get(FRAME_GRAPH), card)


def write_bundle(
    path: str | Path,
    manifest: Manifest,
    cube_graph: bytes,
    frame_graph: bytes | None = None,
    *,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle: a folder, or an archive where the name ends in .zip.

    Card and hashes are made here; `manifest.files` is replaced.

    Parameters
    ----------
    path
        Where to.
    manifest
        What the bundle says about itself.
    cube_graph, frame_graph
        ONNX; without a frame graph the manifest says why in `no_frame`.
    overwrite
        Replace an earlier bundle at `path`.

    Raises
    ------
    OutputExistsError
        `path` is there and `overwrite` is False.
    BundleError
        The graphs do not have the inputs and outputs that the manifest names.
    """
    path = Path(path)
    parts = {CUBE_GRAPH: cube_graph, CARD: model_card(manifest).encode("utf-8")}
    if frame_graph is not None:
        parts[FRAME_GRAPH] = frame_graph
    records = {
        name: FileRecord(sha256=hashlib.sha256(part).hexdigest(), bytes=len(part)) for name, part in parts.items()
    }
    # Through JSON, so that what is written has been validated as a reader will.
    text = manifest.model_copy(update={"files": records}).to_bytes()
    checked = parse_manifest(text, path / MANIFEST)
    for kind, record in checked.graphs.items():
        _check_graph(path / f"{kind}.onnx", record, parts[f"{kind}.onnx"])
    identity = hashlib.sha256(text).hexdigest()
    write_files(path, {**parts, MANIFEST: text, HASH: hash_file(identity)}, overwrite=overwrite)
    return Bundle(path, checked, identity, cube_graph, frame_graph, parts[CARD].decode("utf-8"))


def hash_file(identity: str) -> bytes:
    """Content of manifest.sha256, as `sha256sum -c` reads it."""
    return f"{identity}  {MANIFEST}\n".encode("ascii")


def _check_files(path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    wanted = {CARD, *(f"{kind}.onnx" for kind in manifest.graphs)}
    if set(manifest.files) != wanted:
        raise BundleError(path / MANIFEST, f"names files {sorted(manifest.files)}, wanted {sorted(wanted)}", FRESH)
    for name, record in manifest.files.items():
        if name not in files:
            raise BundleError(path, f"lacks {name}, which its manifest names", FRESH)
        if len(files[name]) != record.bytes or hashlib.sha256(files[name]).hexdigest() != record.sha256:
            raise BundleError(path, f"{name} is damaged: {len(files[name])} bytes, its hash differs", FRESH)
    extra = sorted(set(files) - set(manifest.files) - {MANIFEST, HASH})
    if extra:
        raise BundleError(path, f"holds {', '.join(extra)}, which its manifest does not name", "Remove it.")


def _check_graph(origin: Path, record: GraphRecord, content: bytes) -> None:
    """Refuse a graph whose interface is not what the manifest says."""
    header = read_graph_header(content, origin)
    if header.external:
        raise BundleError(origin, "points at weights in other files", FRESH)
    # Further domains are fused or vendor operators.
    known = {"": record.opset, "ai.onnx": record.opset, ML_DOMAIN: ML_OPSET}
    strange = any(version != known.get(domain) for domain, version in header.opsets.items())
    if strange or not {"", "ai.onnx"} & set(header.opsets):
        raise BundleError(origin, f"uses operator sets {header.opsets}, wanted {record.opset}", FRESH)
    for what, wanted, found in (("input", record.inputs, header.inputs), ("output", record.outputs, header.outputs)):
        expected = [(tensor.name, tensor.dtype, tensor.shape) for tensor in wanted]
        given = [(tensor.name, tensor.dtype, tensor.shape) for tensor in found]
        if expected != given:
            raise BundleError(origin, f"its {what}s are {given}, the manifest says {expected}", FRESH)


def _check_sensor(bundle: Bundle, sensor: MosaicSensor) -> None:
    known, bands = bundle.manifest.sensor, bundle.manifest.model.n_bands
    given = chain_sensor(sensor, bundle.manifest.preprocessing).n_bands
    if given != bands:
        raise BundleError(
            bundle.path,
            f"takes {bands} bands, sensor {sensor.name!r} gives {given}",
            "Use a bundle that was trained for this camera.",
        )
    if known is not None and known.fingerprint != sensor.fingerprint():
        raise BundleError(
            bundle.path,
            f"is for sensor {known.name!r}; the calibration of {sensor.name!r} differs from it",
            "Use a bundle that was trained for this camera.",
        )
