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
"""Domain of ONNX's tree operators; a graph without trees does not import it."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path
        Folder or .zip.
    manifest
        The bundle's description of itself.
    identity
        SHA-256 (hexadecimal) of manifest.json, which holds the hashes of all other files.
    cube_graph, frame_graph
        ONNX bytes; `frame_graph` is None if the bundle has none.
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
        """The camera whose frames it accepts; None if it accepts cubes only."""
        return None if self.manifest.sensor is None else self.manifest.sensor.build()

    @property
    def caution(self) -> str | None:
        """What viewers of its maps must know about the model; None if no caution is known."""
        training = self.manifest.training
        if training is None or not training.synthetic:
            return None
        return "the model has learned from synthetic patients only: its maps say nothing about people"

    @property
    def caption(self) -> str:
        """Caption that states the origin of its images."""
        told = f"bundle {self.manifest.name} ({self.identity[:12]})"
        return told if self.caution is None else f"{told}, trained on synthetic patients"

    def require_frames(self) -> None:
        """Reject a bundle that accepts cubes only: cameras send frames.

        Raises
        ------
        BundleError
            The bundle has no frame graph.
        """
        if self.frame_graph is None:
            raise BundleError(
                self.path,
                f"has no frame.onnx ({self.manifest.no_frame}), and a service needs frames",
                "Make a bundle with --sensor.",
            )

    @property
    def has_trees(self) -> bool:
        """Whether its graphs use operators of `ML_DOMAIN`, which not every backend supports."""
        try:
            return ML_DOMAIN in read_graph_header(self.cube_graph, self.path / CUBE_GRAPH).opsets
        except BundleError:
            # Not a graph at all: loading it reports that.
            return False


def open_bundle(path: str | Path, sensor: MosaicSensor | None = None) -> Bundle:
    """Open a bundle after checking its hashes, version and shapes, and that it fits `sensor`.

    Raises
    ------
    BundleError
        `path` is not a bundle, or the bundle is damaged, incomplete or of a newer format, refers to files outside itself,
        or was made for another sensor.
    """
    path = Path(path)
    bundle = _checked(path, read_files(path))
    if sensor is not None:
        _check_sensor(bundle, sensor)
    return bundle


def copy_bundle(path: str | Path, target: str | Path) -> Bundle:
    """Copy the bundle at `path` to `target` (a folder or a .zip), after checking the exact bytes that are written.

    Raises
    ------
    BundleError
        As in `open_bundle`.
    OutputExistsError
        `target` already exists.
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
    """Write a bundle: a folder, or an archive if the name ends in .zip.

    This function makes the card and the hashes, and replaces `manifest.files`.

    Parameters
    ----------
    path
        The output.
    manifest
        The bundle's description of itself.
    cube_graph, frame_graph
        ONNX; without a frame graph, `no_frame` in the manifest states why.
    overwrite
        Replace an earlier bundle at `path`.

    Raises
    ------
    OutputExistsError
        `path` already exists and `overwrite` is False.
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
    # Through JSON, so that the written text passes the same validation as in a reader.
    text = manifest.model_copy(update={"files": records}).to_bytes()
    checked = parse_manifest(text, path / MANIFEST)
    for kind, record in checked.graphs.items():
        _check_graph(path / f"{kind}.onnx", record, parts[f"{kind}.onnx"])
    identity = hashlib.sha256(text).hexdigest()
    write_files(path, {**parts, MANIFEST: text, HASH: hash_file(identity)}, overwrite=overwrite)
    return Bundle(path, checked, identity, cube_graph, frame_graph, parts[CARD].decode("utf-8"))


def hash_file(identity: str) -> bytes:
    """Content of manifest.sha256, in the format that `sha256sum -c` reads."""
    return f"{identity}  {MANIFEST}\n".encode("ascii")


def _check_files(path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    wanted = {CARD, *(f"{kind}.onnx" for kind in manifest.graphs)}
    if set(manifest.files) != wanted:
        raise BundleError(path / MANIFEST, f"names files {sorted(manifest.files)}, expected {sorted(wanted)}", FRESH)
    for name, record in manifest.files.items():
        if name not in files:
            raise BundleError(path, f"lacks {name}, which its manifest names", FRESH)
        if len(files[name]) != record.bytes or hashlib.sha256(files[name]).hexdigest() != record.sha256:
            raise BundleError(
                path,
                f"{name} is damaged: {len(files[name])} bytes, and its size or hash differs from the manifest",
                FRESH,
            )
    extra = sorted(set(files) - set(manifest.files) - {MANIFEST, HASH})
    if extra:
        raise BundleError(path, f"holds {', '.join(extra)}, which its manifest does not name", "Remove it.")


def _check_graph(origin: Path, record: GraphRecord, content: bytes) -> None:
    """Reject a graph whose interface differs from the manifest."""
    header = read_graph_header(content, origin)
    if header.external:
        raise BundleError(origin, "refers to weights in other files", FRESH)
    # Any other domain contains fused or vendor operators.
    known = {"": record.opset, "ai.onnx": record.opset, ML_DOMAIN: ML_OPSET}
    strange = any(version != known.get(domain) for domain, version in header.opsets.items())
    if strange or not {"", "ai.onnx"} & set(header.opsets):
        raise BundleError(origin, f"uses operator sets {header.opsets}, expected {record.opset}", FRESH)
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
            f"takes {bands} bands, sensor {sensor.name!r} delivers {given}",
            "Use a bundle that was trained for this camera.",
        )
    if known is not None and known.fingerprint != sensor.fingerprint():
        raise BundleError(
            bundle.path,
            f"is for sensor {known.name!r}; the calibration of {sensor.name!r} differs from it",
            "Use a bundle that was trained for this camera.",
        )
