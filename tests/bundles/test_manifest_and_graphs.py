"""Manifest, graphs and sensor of a bundle agree; otherwise it is neither written nor opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bundles.makers import linear_network, small_bundle, small_manifest, small_sensor
from gliomap.bundles import Bundle, SensorInfo, open_bundle, write_bundle
from gliomap.bundles._manifest import cube_graph_record, frame_graph_record, parse_manifest
from gliomap.errors import BundleError
from gliomap.sensors import MosaicSensor
from gliomap.taxonomy import ClassSet, TissueClass


def rewrite(bundle: Bundle, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and update its hash."""
    manifest = bundle.path / "manifest.json"
    table = json.loads(manifest.read_text())
    change(table)
    content = json.dumps(table).encode()
    manifest.write_bytes(content)
    (bundle.path / "manifest.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  manifest.json\n")


def five_bands(table: dict[str, Any]) -> None:
    """Describe a model of five bands beside a sensor of four."""
    table["model"].update(n_bands=5)
    table["graphs"].update(cube=cube_graph_record(5, 5).model_dump(mode="json"))
    table.update(wavelengths_nm=None)


def test_a_newer_format_is_refused_with_advice_to_update(bundle: Bundle) -> None:
    rewrite(bundle, lambda table: table.update(format_version=4))
    with pytest.raises(BundleError, match=r"format version 4.*Update GlioMap"):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.update(format_version="1"), "format version"),
        (lambda table: table.update(format_version=True), "format version True"),
        (lambda table: table.update(format_version=0), "format version 0"),
        (lambda table: table.update(format_version=1), "file: inputs or outputs of the frame graph"),
        (lambda table: table.update(surprise=1), "surprise"),
        (lambda table: table.pop("classes"), "classes"),
        (lambda table: table["graphs"].pop("cube"), "cube"),
        (lambda table: table["graphs"]["cube"]["outputs"][0].update(dtype="uint16"), "cube graph"),
        (lambda table: table["graphs"]["frame"]["inputs"][0].update(shape=[3, 3]), "frame graph"),
        (lambda table: table.update(format_version=2), "file: inputs or outputs of the frame graph"),
        (lambda table: table["model"].update(n_bands=5), "4 wavelengths for 5 bands"),
        (five_bands, "sensor 'small' delivers 4 bands, the model takes 5"),
        (lambda table: table["sensor"].update(saturation=1000), "fingerprint"),
        (lambda table: table["sensor"]["correction"].pop(), "3 wavelengths"),
        (lambda table: table["sensor"]["correction"][0].pop(), "differ in length"),
        (lambda table: table["classes"]["classes"][0].update(codes=[1]), "taxonomy"),
        (lambda table: table["preprocessing"].update(normalisation="magic"), "normalisation"),
        (lambda table: table["files"].pop("card.md"), "names files"),
        (lambda table: table.update(sensor=None), "contradict"),
        (lambda table: table.update(no_frame="the sensor is not known"), "contradict"),
    ],
)
def test_an_invalid_or_contradictory_manifest_is_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], None], fault: str
) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=fault):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    ("version", "frame", "scale", "made"),
    [
        (1, (20, 25), (4, 9, 11), (9, 11)),
        (2, ("frame_rows", 25), (4, "rows", 11), ("rows", 11)),
        (3, ("frame_rows", 25), (4, "rows", 11), ("map_rows", 11)),
    ],
)
def test_the_shapes_of_a_frame_graph_by_format_version(
    sensor: MosaicSensor, version: int, frame: tuple[object, ...], scale: tuple[object, ...], made: tuple[object, ...]
) -> None:
    graph = frame_graph_record(sensor, 5, version)
    assert [one.shape for one in graph.inputs] == [frame, frame, frame, scale]
    assert [one.shape for one in graph.outputs] == [made, made, (5, *made)]


@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, True), (255, True), (256, False)])
def test_a_model_has_1_to_255_classes(tmp_path: Path, count: int, fits: bool) -> None:
    """The labels are uint8, and 0 is no class."""
    one = TissueClass(1, "some", (), (0, 0, 0), (0, 0, 0))
    classes = ClassSet("many", tuple(replace(one, index=index) for index in range(1, count + 1)))
    changes = {"classes": classes, "graphs": {"cube": cube_graph_record(4, count)}}
    content = small_bundle(tmp_path / "bundle").manifest.model_copy(update=changes).to_bytes()
    with nullcontext() if fits else pytest.raises(BundleError, match=f"{count} classes do not fit labels of uint8"):
        assert len(parse_manifest(content, "manifest.json").classes) == count


def test_a_manifest_is_sorted_and_indented_json_in_utf_8(tmp_path: Path) -> None:
    manifest = small_bundle(tmp_path / "bundle").manifest.model_copy(update={"name": "Großhirn"})
    text = manifest.to_bytes().decode("utf-8")
    assert '\n  "name": "Großhirn",\n' in text
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_graph_whose_inputs_differ_from_the_manifest_is_not_written(tmp_path: Path) -> None:
    from gliomap.learning.export import build_graphs
    from gliomap.preprocessing import PreprocessingConfig

    config = PreprocessingConfig()
    right, wrong = (build_graphs(linear_network(bands), None, config) for bands in (4, 6))
    manifest = small_manifest(right, linear_network(4), None, config)
    with pytest.raises(BundleError, match="inputs are"):
        write_bundle(tmp_path / "bundle", manifest, wrong.cube)
    assert not list(tmp_path.iterdir())


def elsewhere(name: str) -> onnx.TensorProto:
    """A tensor whose values are stored in an external file."""
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[5], data_location=1)
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


@pytest.mark.parametrize(
    "place",
    ["initializer", "initializer without a mark", "constant", "list", "loop", "loops", "loop in a function", "sparse"],
)
def test_a_graph_with_weights_in_another_file_is_refused(tmp_path: Path, place: str) -> None:
    """No hash covers that file, and a backend would read it even for a graph nested inside a node."""
    whole = small_bundle(tmp_path / "bundle")
    model = onnx.load_from_string(whole.cube_graph)
    if place.startswith("initializer"):
        model.graph.initializer.append(elsewhere("more"))
        if place != "initializer":
            model.graph.initializer[-1].ClearField("data_location")
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(elsewhere("more"))
    elif place == "constant":
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["more"], value=elsewhere("more")))
    elif place == "list":
        model.graph.node.append(onnx.helper.make_node("Own", [], ["more"], values=[elsewhere("more")]))
    else:
        body = onnx.helper.make_graph([], "body", [], [], [elsewhere("more")])
        # Numeric attributes come before the graph, as in the nodes of a forest.
        node = onnx.helper.make_node("Scan", [], ["more"], a=[1, 300, -2], b=[0.5, 2.0], body=body)
        if place == "loops":
            node = onnx.helper.make_node("Own", [], ["more"], bodies=[body])
        if place in ("loop", "loops"):
            model.graph.node.append(node)
        else:
            model.functions.append(onnx.helper.make_function("own", "f", [], [], [node], []))
    with pytest.raises(BundleError, match="refers to weights in other files"):
        write_bundle(tmp_path / "other", whole.manifest, model.SerializeToString())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", [b"\xff" * 11, b"\x3b", b"\x3a\x05", b"\x38\x05", b"no graph"])
def test_bytes_that_are_not_a_graph_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        write_bundle(tmp_path / "other", small_bundle(tmp_path / "bundle").manifest, content)


@pytest.mark.parametrize(
    "opsets",
    [[("", 17)], [("", 19)], [("", 18), ("com.microsoft", 1)], [("", 18), ("ai.onnx.ml", 3)], [("ai.onnx.ml", 1)], []],
    ids=str,
)
def test_a_graph_with_other_operator_sets_is_refused(tmp_path: Path, opsets: list[tuple[str, int]]) -> None:
    """The results of another version, or of a vendor's own operators, were never tested."""
    whole = small_bundle(tmp_path / "bundle")
    model = onnx.load_from_string(whole.cube_graph)
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in opsets)
    with pytest.raises(BundleError, match="uses operator sets"):
        write_bundle(tmp_path / "other", whole.manifest, model.SerializeToString())
    assert not (tmp_path / "other").exists()


def test_a_sensor_with_another_number_of_bands_is_refused(bundle: Bundle) -> None:
    from gliomap.sensors import get_sensor

    with pytest.raises(BundleError, match="takes 4 bands, sensor 'nemesis' delivers 25"):
        open_bundle(bundle.path, get_sensor("nemesis"))


def test_another_calibration_of_the_sensor_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="calibration"):
        open_bundle(bundle.path, small_sensor(offset=(0, 0)))


def test_a_bundled_sensor_keeps_its_channels_without_peaks() -> None:
    """A bundle carries no peaks, so its own uncorrected wavelengths are nominal; the manifest has those of training."""
    trained = replace(small_sensor(), band_of_position=(2, 0, 3, 1), peaks_nm=np.array([852.0, 661.0, 949.0, 748.0]))
    carried = SensorInfo.of(trained).build()
    assert carried.fingerprint() == trained.fingerprint() == replace(trained, peaks_nm=None).fingerprint()
    plain, own = trained.uncorrected(), carried.uncorrected()
    assert np.array_equal(own.band_matrix(), plain.band_matrix())
    assert plain.wavelengths_nm.tolist() == [661, 748, 852, 949]
    assert (plain.wavelengths_nominal, own.wavelengths_nominal) == (False, True)
