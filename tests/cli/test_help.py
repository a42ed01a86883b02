"""What `--help` says: readable in 80 columns, with examples that parse."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer.main import get_command

from cli.conftest import Run
from gliomap.cli import _main
from gliomap.cli._app import app
from gliomap.cli._verb import EXAMPLES
from support import PROJECT

VERBS = [
    "archive export",
    "archive list",
    "archive show",
    "archive verify",
    "azure check",
    "azure dataset create",
    "azure dataset list",
    "azure deploy",
    "azure download",
    "azure logs",
    "azure metrics",
    "azure score",
    "azure train",
    "azure undeploy",
    "azure upload",
    "bench serve",
    "bundle create",
    "bundle show",
    "bundle verify",
    "classify",
    "demo",
    "deploy docker",
    "deploy kubernetes",
    "deploy local",
    "evaluate",
    "models list",
    "models promote",
    "models register",
    "models show",
    "phantom",
    "preprocess",
    "report",
    "runs compare",
    "runs export",
    "runs list",
    "runs show",
    "runs sync",
    "score",
    "sensor import",
    "sensor list",
    "sensor show",
    "serve",
    "study check",
    "study show",
    "study split",
    "train",
]


def parse(command: str) -> None:
    """Read a command line as the application does, without running the verb."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "gliomap"
    current: Any = get_command(app)
    context = current.make_context("gliomap", words[1:])
    while hasattr(current, "resolve_command"):
        # The arguments that a group leaves to its verbs. Older and newer versions of Click name them differently.
        known = vars(context)
        left = [*(known.get("_protected_args") or known.get("protected_args") or ()), *context.args]
        name, current, rest = current.resolve_command(context, left)
        context = current.make_context(name, rest, parent=context)


def test_the_application_has_exactly_the_listed_verbs() -> None:
    assert sorted(EXAMPLES) == VERBS
    assert len(_main.VERBS) == len({verb.split()[0] for verb in VERBS})


def test_the_help_lists_verbs_in_the_order_of_the_readme(gliomap: Run) -> None:
    listed = gliomap("--help").out.split("Commands:\n")[1].split("\n\n")[0]
    told = re.findall(r"^\| `gliomap (\w+)[^`]*` \| ", (PROJECT / "README.md").read_text(encoding="utf-8"), re.M)
    assert re.findall(r"^  (\w+)  ", listed, re.M) == told


@pytest.mark.parametrize("verb", VERBS)
def test_examples_parse_and_appear_in_the_help(gliomap: Run, verb: str) -> None:
    shown = gliomap(*verb.split(), "--help").out
    assert EXAMPLES[verb]
    for example in EXAMPLES[verb]:
        assert example.startswith(f"gliomap {verb}")
        parse(example)
        assert all(line.strip() in shown for line in example.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["sensor"],
        ["study"],
        ["bundle"],
        ["archive"],
        ["bench"],
        ["runs"],
        ["models"],
        ["deploy"],
        ["azure"],
        ["azure", "dataset"],
        *(verb.split() for verb in VERBS),
    ],
    ids=" ".join,
)
def test_help_fits_80_columns_and_names_the_shared_options(
    gliomap: Run, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = gliomap(*words, "--help")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    _, *described = result.out.splitlines()  # in the usage line, dots mark a repeatable argument
    assert not [line for line in described if line.endswith("...")], "a description is cut short"
    if " ".join(words) in VERBS:
        for option in ("--json", "--quiet", "--threads", "--verbose"):
            assert option in result.out
        usage, described_at_length = result.out.split("\n\n", 1)
        for word in re.findall(r"\{(\w+)\}", usage):
            assert re.search(rf"^  {word} .*\w", described_at_length, re.M), f"{word} is not explained"


@pytest.mark.parametrize("noun", ["sensor", "study", "bundle", "archive", "bench", "runs", "models", "deploy", "azure"])
def test_a_noun_alone_prints_its_help(gliomap: Run, noun: str) -> None:
    assert gliomap(noun).out == gliomap(noun, "--help").out


def test_parse_rejects_an_unknown_option() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("gliomap classify bundle --fast")
