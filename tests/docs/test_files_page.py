"""docs/reference/files.md names every key, variable and code, and no others."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from docs.pages import Section, named, sections
from gliomap.bundles import Manifest
from gliomap.evaluation import EvaluationRecord, EvaluationSummary, FalseTumour, Interval, Metrics, SanityRecord
from gliomap.learning import PRESETS, History, TrainingConfig
from gliomap.preprocessing import HyperCube, PreprocessingConfig, Reason, save_npz
from gliomap.sensors import get_sensor, read_sensor_toml
from gliomap.sensors._description import _Description as SensorDescription
from gliomap.serving.archive import CaseRecord
from gliomap.serving.archive._audit import AuditEntry
from gliomap.studies import Folds, Split, StudySettings, chain_of, list_mat, read_study_toml, write_capture_files
from gliomap.taxonomy import CODES, THESIS_CLASSES, ClassSet
from gliomap.workflows import RunRecord
from gliomap.workflows._result import ClassificationResult

FILES = sections("reference/files.md")

MODELS: dict[str, type] = {
    "study.toml": StudySettings,
    "Preprocessing": PreprocessingConfig,
    "Sensor description": SensorDescription,
    "run.json": RunRecord,
    "Training settings": TrainingConfig,
    "Classes": ClassSet,
    "history.json": History,
    "metrics.json": EvaluationRecord,
    "summary.json": EvaluationSummary,
    "Metrics": Metrics,
    "Interval": Interval,
    "False tumour": FalseTumour,
    "Sanity instruments": SanityRecord,
    "manifest.json": Manifest,
    "result.json": ClassificationResult,
    "case.json": CaseRecord,
    "audit.jsonl": AuditEntry,
}
"""Heading → what stands in the file, field by field."""

OWN_TABLE = {PreprocessingConfig, TrainingConfig, ClassSet, Metrics, Interval, FalseTumour}
"""Described once, under a heading of their own; other tables only point there."""


def fields_of(kind: Any) -> dict[str, Any] | None:
    """Field → type, of a pydantic model or a dataclass; None for anything else."""
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return None


def keys(kind: type) -> Iterator[str]:
    """Every key of a file as the page writes it: `a.b`, `list[].b`, `table.*.b`."""
    for name, annotation in (fields_of(kind) or {}).items():
        yield from (name + rest for rest in _below(annotation))


def _below(annotation: Any) -> Iterator[str]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _below(arguments[0])
    elif origin in (typing.Union, types.UnionType):
        yield from {rest for one in arguments if one is not type(None) for rest in _below(one)}
    elif origin in (dict, Mapping):
        yield from (f".*{rest}" for rest in _below(arguments[1]) if not rest.startswith(".*"))
        if any(rest.startswith(".*") for rest in _below(arguments[1])):
            yield ".*"
    elif origin in (tuple, list) and fields_of(arguments[0]) and arguments[0] not in OWN_TABLE:
        yield from (f"[].{key}" for key in keys(arguments[0]))
    elif annotation not in OWN_TABLE and fields_of(annotation):
        yield from (f".{key}" for key in keys(annotation))
    else:
        yield ""


@pytest.mark.parametrize("heading", MODELS)
def test_the_table_of_a_file_lists_exactly_its_keys(heading: str) -> None:
    assert FILES[heading].names() == set(keys(MODELS[heading]))


def test_the_table_of_split_json_lists_exactly_its_keys(tmp_path: Path) -> None:
    split = Split("holdout", ("ID0001C01",), (), ("ID0002C01",), 0, False, {"ID0001C01": "a", "ID0002C01": "b"}, {})
    split.save(tmp_path / "split.json")
    written = json.loads((tmp_path / "split.json").read_text())
    assert {name.removesuffix(".*") for name in FILES["split.json"].names()} == set(written)


def test_the_table_of_splits_json_lists_exactly_its_keys(tmp_path: Path) -> None:
    split = Split("lopo", ("ID0001C01",), (), ("ID0002C01",), 0, False, {"ID0001C01": "a", "ID0002C01": "b"}, {})
    Folds("lopo", {"b": split}).save(tmp_path / "splits.json")
    written = json.loads((tmp_path / "splits.json").read_text())
    assert {name.removesuffix(".*") for name in FILES["splits.json"].names()} == set(written)


def test_the_matlab_variables_are_those_that_are_written(tmp_path: Path) -> None:
    height, width, bands = 3, 4, 5
    mask = np.ones((height, width), bool)
    cube = HyperCube(np.ones((height, width, bands), np.float32), None, "", mask, np.zeros((height, width), np.uint8))
    codes = np.full((height, width), 101, np.uint16)
    chain = chain_of(get_sensor("nemesis"), PreprocessingConfig())
    write_capture_files(tmp_path, "ID0018C09", cube=cube, codes=codes, chain=chain)
    written = {
        (variable.name, variable.kind, variable.shape)
        for path in tmp_path.rglob("*.mat")
        for variable in list_mat(path)
    }
    sizes = {"H": height, "W": width, "B": bands, "N": height * width}
    told = {
        (named(variable)[0], kind, tuple(sizes.get(side) or int(side) for side in shape.split("×")))
        for variable, _, kind, shape in FILES["MATLAB files"].rows()
    }
    assert told == written


def test_the_arrays_of_a_cube_archive_are_those_that_are_written(tmp_path: Path) -> None:
    data = np.ones((2, 3, 4), np.float32)
    cube = HyperCube(data, np.arange(4.0), "reflectance", np.ones((2, 3), bool), np.zeros((2, 3), np.uint8))
    save_npz(cube, tmp_path / "cube.npz")
    with np.load(tmp_path / "cube.npz") as archive:
        written = {name: str(archive[name].dtype) for name in archive.files}
    rows = {named(name)[0]: kind for name, kind, _ in FILES["cube.npz"].rows()}
    assert set(rows) == set(written)
    assert {name: kind.split()[0] for name, kind in rows.items() if name != "units"} == {
        name: dtype for name, dtype in written.items() if name != "units"
    }


def test_the_bits_of_reasons_are_those_of_the_code() -> None:
    assert [(int(bit), named(name)[0]) for bit, name, _ in FILES["Reasons"].rows()] == [
        (int(reason), str(reason.name).lower()) for reason in Reason
    ]


def test_the_tissue_codes_are_those_of_the_taxonomy() -> None:
    codes, classes = FILES["Tissue codes"].tables()
    index = THESIS_CLASSES.code_to_class
    assert codes[1:] == [
        [str(code), name, THESIS_CLASSES.names[index[code] - 1] if code in index else ""]
        for code, name in CODES.items()
    ]
    assert classes[1:] == [
        [str(one.index), one.name, ", ".join(map(str, one.colour)), ", ".join(map(str, one.safe_colour))]
        for one in THESIS_CLASSES.classes
    ]


def test_the_presets_have_the_values_of_the_code() -> None:
    for name, default, thesis, _ in FILES["Training settings"].rows():
        for told, preset in ((default, "default"), (thesis, "thesis")):
            value = getattr(PRESETS[preset], named(name)[0])
            assert told == json.dumps(value).strip('"'), (name, preset)


def test_preprocessing_has_the_defaults_of_the_code() -> None:
    told = {named(name)[0]: named(default)[0] for name, default, _ in FILES["Preprocessing"].rows()}
    assert told == {name: json.dumps(value) for name, value in PreprocessingConfig().as_dict().items()}


def _example(section: Section) -> str:
    return section.text.split("```toml\n")[1].split("```")[0]


def test_the_example_of_study_toml_is_valid_and_uses_every_setting(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(_example(FILES["study.toml"]), encoding="utf-8")
    settings = read_study_toml(tmp_path)
    assert settings.captures["ID0018C09"].crop is not None
    assert all(getattr(settings, name) is not None for name in StudySettings.model_fields)


def test_the_example_of_a_sensor_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "sensor.toml"
    path.write_text(_example(FILES["Sensor description"]), encoding="utf-8")
    assert read_sensor_toml(path).cube_shape == (512, 640)
