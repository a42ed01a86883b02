"""docs/reference/cli.md names every verb, option, default and choice of the command, and no others."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
import warnings
from collections.abc import Iterator
from enum import EnumType
from pathlib import PurePath
from typing import Any

import pytest
from typer.main import get_command

from docs.pages import named, page, sections
from gliomap.cli._main import app
from gliomap.errors import EXIT_CODES
from gliomap.serving._schemas import ClassifyAnswer
from gliomap.serving.archive import CaseRow, Verified
from gliomap.tracking._mlflow import _SETTINGS as SET_FOR_MLFLOW
from support import PROJECT

PAGE = sections("reference/cli.md")
SHARED = "Options of every verb"
AZURE = "Options of every verb of azure"


def verbs(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb by its full name, without the groups."""
    for word, inner in command.commands.items():
        full = f"{name} {word}".strip()
        if hasattr(inner, "commands"):
            yield from verbs(inner, full)
        else:
            yield full, inner


ROOT = get_command(app)
VERBS = dict(verbs(ROOT))


def options(command: Any) -> dict[str, Any]:
    """Option as it is typed → parameter."""
    return {
        spelling: parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }


def told_options(heading: str) -> dict[str, list[str]]:
    """Option → its row on the page."""
    return {
        spelling: row
        for row in PAGE[heading].rows()
        for words in named(row[0])
        for spelling in re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)
    }


def choices(verb: str) -> dict[str, list[str]]:
    """Parameter → its choices, if it has a fixed list of them."""
    *groups, word = verb.split()
    current = app
    for group in groups:
        current = next(one.typer_instance for one in current.registered_groups if one.name == group)
    function = next(one.callback for one in current.registered_commands if one.name == word)
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        for kind in _within(parameter.annotation):
            if isinstance(kind, EnumType):
                found[parameter.name] = [member.value for member in kind]
            elif typing.get_origin(kind) is typing.Literal:
                found[parameter.name] = list(typing.get_args(kind))
    return found


def _within(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in typing.get_args(annotation):
        yield from _within(inner)


def _fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


SHARED_OPTIONS = {"--json", "--quiet", "-q", "--threads", "--verbose"}


def test_the_page_has_a_section_for_each_verb_and_no_other() -> None:
    parts = page("reference/cli.md").split("\n## Verbs\n")
    assert len(parts) == 2
    assert sorted(re.findall(r"^### (.+)$", parts[1], re.M)) == sorted(VERBS)


def test_the_readme_lists_every_verb_and_no_other() -> None:
    listed = re.findall(r"^\| `gliomap ([\w ·-]+)` \|", (PROJECT / "README.md").read_text(encoding="utf-8"), re.M)
    told = {
        " ".join([*words[:-1], last]) for words in (entry.split() for entry in listed) for last in words[-1].split("·")
    }
    assert told == {re.sub("^azure dataset .*", "azure dataset", verb) for verb in VERBS}


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_a_verb_lists_exactly_its_options(verb: str) -> None:
    told_once = SHARED_OPTIONS | {"--overwrite"} | (set(told_options(AZURE)) if verb.startswith("azure ") else set())
    assert set(told_options(verb)) == set(options(VERBS[verb])) - told_once
    overwrites = "--overwrite" in options(VERBS[verb])
    assert overwrites == ("`--overwrite`" in PAGE[verb].text), (
        f"{verb}: the page describes --overwrite if, and only if, the verb has it"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_and_choices_are_those_of_the_verb(verb: str) -> None:
    for spelling, row in told_options(verb).items():
        parameter = options(VERBS[verb])[spelling]
        assert not parameter.required or "required" in row[2], f"{verb} {spelling} is required"
        default = parameter.default
        if default is None or default is False:
            assert row[1] == "", f"{verb} {spelling} has no default"
        else:
            assert isinstance(default, str | int | float | PurePath)
            assert row[1] == f"`{default}`", f"{verb} {spelling}"
        for choice in choices(verb).get(parameter.name, ()):
            assert f"`{choice}`" in row[2], f"{verb} {spelling} takes {choice}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_usage_names_the_arguments(verb: str) -> None:
    usage = PAGE[verb].text.split("```text\n")[1].splitlines()[0]
    arguments = [
        parameter.metavar if parameter.required else f"[{parameter.metavar}]"
        for parameter in VERBS[verb].params
        if parameter.param_type_name == "argument"
    ]
    assert usage == " ".join(["gliomap", verb, *arguments, "[OPTIONS]"])


def test_the_options_shared_by_all_verbs_are_listed_once() -> None:
    for verb, command in VERBS.items():
        assert set(options(command)) >= SHARED_OPTIONS, verb
    assert set(told_options(SHARED)) == SHARED_OPTIONS | {"--overwrite", "-h", "--help"}


def test_the_options_shared_by_azure_verbs_are_listed_once() -> None:
    told = told_options(AZURE)
    of_azure = {verb: options(command) for verb, command in VERBS.items() if verb.startswith("azure ")}
    assert set(told) == set.intersection(*map(set, of_azure.values())) - SHARED_OPTIONS
    for choice in choices("azure check")["cloud"]:
        assert f"`{choice}`" in told["--cloud"][2]


def test_the_options_without_a_verb_are_listed() -> None:
    assert set(told_options("Without a verb")) == set(options(ROOT)) | {"-h", "--help"}


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(named(row[0])[0]) for row in PAGE["Exit codes"].rows()}
    assert told == {0, 1, *(code for _, code in EXIT_CODES)}


def told_json(verb: str) -> set[str]:
    """Keys that the page names for the JSON of a verb, without the keys nested in them."""
    (told,) = re.findall(r"^JSON: (.+?[.;])$", PAGE[verb].text.replace("; with", ";\nwith"), re.M | re.S)
    return set(named(re.sub(r"\([^()]*(\([^()]*\))?[^()]*\)", "", told)))


def test_the_page_names_the_json_keys_of_service_and_archive() -> None:
    assert told_json("score") == {"folder", *ClassifyAnswer.model_fields} - {"labels_png"}
    assert told_json("archive list") == _fields(CaseRow)
    assert told_json("archive verify") == _fields(Verified)


def test_the_page_names_the_json_keys_of_azure() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from azure-ai-ml itself
        from gliomap.deploy.azure import Asset, Checked, Deployed, Scored, Trained, Transfer

    assert told_json("azure check") == _fields(Checked)
    assert told_json("azure dataset create") == _fields(Asset)
    assert told_json("azure deploy") == _fields(Deployed)
    assert told_json("azure download") == {"name", "version", "folder"} | _fields(Transfer)
    assert told_json("azure score") == {"folder"} | _fields(Scored)
    assert told_json("azure train") == _fields(Trained)
    assert told_json("azure upload") == {"folder", "fingerprint"} | _fields(Transfer)


OF_LIBRARIES = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "COLUMNS", "MLFLOW_TRACKING_USERNAME"}
"""Variables that only libraries read."""


def test_the_environment_variables_are_those_that_the_code_reads() -> None:
    ours = {
        node.value
        for source in (PROJECT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(GLIOMAP|XDG|OTEL|ORT|MLFLOW|AZURE|AZUREML)_[A-Z_]+", node.value)
    }
    assert {name for row in PAGE["Environment variables"].rows() for name in named(row[0])} == (
        ours - set(SET_FOR_MLFLOW) | OF_LIBRARIES
    )
