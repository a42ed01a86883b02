"""What all verbs print: results on stdout; notes, warnings and progress on stderr; tables that fit."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cli.conftest import Run, call
from gliomap.cli._progress_bars import Bars, Lines
from gliomap.cli._ui import Ui
from gliomap.errors import UsageError


def test_results_go_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def function(ui: Ui) -> None:
        ui.say("by the way")
        logging.getLogger("gliomap.somewhere").info("a note")
        logging.getLogger("gliomap.somewhere").warning("a warning")
        logging.getLogger("gliomap.somewhere").debug("a detail")
        ui.text("the result")

    assert call(function) == 0
    captured = capsys.readouterr()
    assert captured.out == "the result\n"
    assert captured.err == "by the way\na note\nwarning: a warning\n"
    call(function, "--quiet")
    assert capsys.readouterr().err == "warning: a warning\n"
    call(function, "--verbose")
    assert "debug: a detail" in capsys.readouterr().err


def test_logging_is_left_as_it_was() -> None:
    logger = logging.getLogger("gliomap")
    before = (logger.level, logger.propagate, list(logger.handlers))
    call(lambda ui: ui.say("x"))
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_long_paths_are_never_broken_and_markup_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/data/" + "a" * 150 + "/[bold]x.png"
    call(lambda ui: ui.text(path))
    assert capsys.readouterr().out == path + "\n"


def test_a_table_shows_every_cell_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    call(lambda ui: ui.table(["name", "n"], [("[red]x", 1), ("y" * 200, None)], numbers=" r"))
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert out.count("y") == 200
    assert max(map(len, out.splitlines())) <= 80


def test_numbers_are_not_broken_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    row = ("ID0003C01", "217×409×25", "0.959", "1,061")
    call(lambda ui: ui.table(["tested on", "cube", "accuracy", "pixels"], [row], numbers="  rr"))
    out = capsys.readouterr().out
    assert out.splitlines()[-2].split() == list(row)


def test_facts_keep_paths_and_hashes_whole_and_wrap_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sentence = "/data/with-hyphens/" + "a" * 150, "Ranges given for this camera are 655-975. " * 5
    digest = "0123456789abcdef" * 4
    facts = [("Folder", whole), ("Hash", digest), ("Empty", ""), ("Source", sentence)]
    call(lambda ui: ui.facts(facts))
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == f"Folder  {whole}"
    assert second == f"Hash    {digest}"
    assert " ".join(line[8:] for line in rest) == sentence.rstrip()
    assert [line[:8].rstrip() for line in rest] == ["Source", *[""] * (len(rest) - 1)]
    assert max(map(len, rest)) <= 80
    monkeypatch.setenv("COLUMNS", "20")
    call(lambda ui: ui.facts(facts))
    assert capsys.readouterr().out.splitlines()[:2] == [first, second]


def test_characters_that_stdout_cannot_encode_do_not_stop_a_command(
    installed: Run, small_study: Path, tmp_path: Path
) -> None:
    told = installed("study", "check", small_study, PYTHONIOENCODING="ascii")
    assert (told.code, "ID0001C01" in told.out) == (0, True)
    folder = tmp_path / "Ärzte"
    told = installed("phantom", folder, "--dry-run", "--json", PYTHONIOENCODING="ascii")
    assert json.loads(told.out)["folder"] == str(folder)


def test_a_result_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        call(lambda ui: ui.result({"x": float("nan")}))


def left_on_screen(written: str) -> list[str]:
    """What a terminal shows after this text, which moves the cursor only up by lines and to the start of a line."""
    lines, row, column = [""], 0, 0
    for command, letters in re.findall(r"\x1b\[([0-9;?]*[A-Za-z])|([^\x1b]+)", written):
        if command.endswith("A"):
            row -= int(command[:-1])
        elif command == "2K":
            lines[row] = ""
        for letter in letters:
            if letter == "\r":
                column = 0
            elif letter == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            else:
                lines[row] = lines[row].ljust(column)[:column] + letter + lines[row][column + 1 :]
                column += 1
    return [line for line in lines if line.strip()]


class TestProgress:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")

    def test_bars_pass_items_through_show_their_title_and_go_away(self) -> None:
        stream = io.StringIO()
        bars = Bars(Console(file=stream, force_terminal=True, width=80))
        taken = [
            (outer, inner) for outer in bars(range(2), "outer [x]") for inner in bars(iter("ab"), "inner", total=2)
        ]
        assert taken == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
        written = stream.getvalue()
        until = written.rindex("outer [x]") + len("outer [x]")
        assert any(line.startswith("outer [x]") for line in left_on_screen(written[:until]))
        assert left_on_screen(written) == []

    def test_bars_go_away_after_an_error_and_can_be_used_again(self) -> None:
        stream = io.StringIO()
        bars = Bars(Console(file=stream, force_terminal=True, width=80))

        def work() -> None:
            for item in bars(range(3), "work"):
                raise UsageError("item", str(item), "None.")

        with pytest.raises(UsageError):
            work()
        assert "work" in stream.getvalue()
        assert left_on_screen(stream.getvalue()) == []
        assert list(bars(range(2), "again")) == [0, 1]

    def test_progress_lines_are_written_only_for_long_work(self) -> None:
        now = [0.0]
        said: list[str] = []
        lines = Lines(said.append, clock=lambda: now[0])
        for _ in lines(range(5), "short"):
            now[0] += 0.1
        assert said == []
        for _ in lines(range(5), "long"):
            now[0] += 11
        assert said == ["long: 2/5 after 22 s", "long: 4/5 after 44 s", "long: done, 5/5 in 55 s"]

    def test_work_of_unknown_length_is_counted(self) -> None:
        now = [0.0]
        said: list[str] = []
        for _ in Lines(said.append, clock=lambda: now[0])((n for n in range(3)), "epochs"):
            now[0] += 3
        assert said == ["epochs: done, 3 in 9 s"]

    @pytest.mark.parametrize("flags", [["--quiet"], ["--json"]])
    def test_quiet_and_json_show_no_progress_in_a_log(self, flags: list[str]) -> None:
        from gliomap._progress import silent

        seen: list[object] = []
        call(lambda ui: seen.append(ui.track), *flags)
        assert seen == [silent]

    def test_a_terminal_shows_progress_bars(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        assert isinstance(Ui().track, Bars)
        assert isinstance(Ui(as_json=True).track, Bars)
