"""What all verbs share: output streams, exit codes, error messages and progress."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.main import get_command

from cli.conftest import COMMAND
from gliomap.cli._faults import report, translate
from gliomap.cli._options import sensor_names
from gliomap.cli._progress_bars import Bars, Lines
from gliomap.cli._train_options import model_names
from gliomap.cli._ui import Ui
from gliomap.cli._verb import EXAMPLES, new_app, verb
from gliomap.errors import BundleError, ExportMismatchError, MachineError, MissingExtraError, UsageError

Run = Callable[..., object]


def call(function: Callable[[Ui], None], *arguments: str, writes: bool = False) -> int:
    """Run a function as the only verb of an application."""
    app = new_app("for tests")
    verb(app, "try", examples=("try",), writes=writes)(function)
    app.callback()(lambda: None)
    EXAMPLES.pop("try")
    code = get_command(app).main(args=["try", *arguments], prog_name="test", standalone_mode=False)
    return code or 0


def raising(error: BaseException) -> Callable[[Ui], None]:
    def function(ui: Ui) -> None:
        del ui
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BundleError("b", "is damaged", "Copy it again."), 2),
        (UsageError("flag", "is wrong", "See --help."), 2),
        (ExportMismatchError("graph", "differs", "Report it."), 1),
        (MissingExtraError("training", "train"), 3),
        (OSError(errno.ENOSPC, "No space left on device", "/big"), 3),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), 3),
        (OSError("17 requested and 0 written"), 3),
        (FileNotFoundError(errno.ENOENT, "No such file", "/gone"), 2),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/tmp"), 2),
        (MemoryError(), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") == 1, "one line: thing, fault, remedy"


def test_an_error_states_the_thing_the_fault_and_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    call(raising(BundleError("/data/b.zip", "has 24 bands, the sensor 25", "Name the sensor it was made for.")))
    expected = "error: /data/b.zip: has 24 bands, the sensor 25. Name the sensor it was made for.\n"
    assert capsys.readouterr().err == expected


def test_with_json_an_error_is_one_line_of_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    call(raising(BundleError("b", "is damaged:\nits second line", "Copy it again.")), "--json")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n"), captured.err[-1]) == ("", 1, "\n")
    assert json.loads(captured.err)["error"] == {
        "kind": "BundleError",
        "thing": "b",
        "fault": "is damaged:\nits second line",
        "remedy": "Copy it again.",
        "exit_code": 2,
    }


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(BundleError("b", "is damaged", "Copy it again.")), "--verbose") == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "error: b: is damaged. Copy it again." in err


def test_a_full_disk_is_reported_as_such() -> None:
    known = translate(OSError(errno.ENOSPC, "No space left on device", "/big"))
    assert isinstance(known, MachineError)
    assert "/big: the disk is full" in str(known)


def test_a_short_write_without_errno_is_reported_with_its_file() -> None:
    error = OSError("17 requested and 0 written")
    error.filename = "/big"
    known = translate(error)
    assert isinstance(known, MachineError)
    assert (known.thing, known.fault) == ("/big", "the operating system refused (17 requested and 0 written)")


@pytest.mark.parametrize(("flags", "as_json"), [([], False), (["--json"], True)])
def test_an_unexpected_error_exits_with_1_and_points_to_verbose(flags: list[str], as_json: bool) -> None:
    script = textwrap.dedent("""
        import sys
        from gliomap.cli import _main, main
        def broken(*_, **__):
            raise ZeroDivisionError("for the test")
        _main.run = broken
        main()
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, "demo", *flags], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError: for the test" in done.stderr
    assert "--verbose" in done.stderr
    if as_json:
        assert json.loads(done.stderr)["error"]["exit_code"] == 1


def test_an_unexpected_error_without_a_message_is_named_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError(), as_json=False, verbose=False) == 1
    assert "(ZeroDivisionError)" in capsys.readouterr().err


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


@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_shown_in_an_error(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    error = ZeroDivisionError("of http://who:hidden@host/x?sig=hidden")
    assert report(error, as_json=as_json, verbose=True) == 1
    told = capsys.readouterr().err
    assert told.count("http://host/x") == 2
    assert "hidden" not in told


def test_an_error_with_secrets_removed_is_still_valid_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", 'hid"den')
    error = MachineError("http://host?key=hidden", 'refuses hid"den', "Try again.")
    assert report(error, as_json=True, verbose=False) == 3
    told = json.loads(capsys.readouterr().err)["error"]
    assert (told["thing"], told["fault"], told["remedy"]) == ("http://host?key=…", "refuses …", "Try again.")


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


def test_the_threads_option_sets_omp_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen: list[tuple[int | None, str]] = []
    call(lambda ui: seen.append((ui.threads, os.environ["OMP_NUM_THREADS"])), "--threads", "1")
    assert seen == [(1, "1")]


def test_overwrite_is_offered_only_by_verbs_that_write() -> None:
    seen: list[bool] = []
    call(lambda ui: seen.append(ui.overwrite), "--overwrite", writes=True)
    call(lambda ui: seen.append(ui.overwrite))
    assert seen == [True, False]
    with pytest.raises(typer.BadParameter.__bases__[0], match="overwrite"):
        call(lambda ui: ui.say("x"), "--overwrite")


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


def test_an_interruption_is_reported_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(KeyboardInterrupt()), "--json") == 130
    assert json.loads(capsys.readouterr().err)["error"]["exit_code"] == 130


def test_names_of_sensors_and_models_are_completed() -> None:
    assert sensor_names("nem") == ["nemesis"]
    assert model_names("f") == ["fourlayer", "forest"]
    assert model_names("sv") == ["svm-linear", "svm-rbf"]


class TestCommand:
    def test_version(self, installed: Run) -> None:
        from gliomap import __version__

        assert installed("--version").out == f"gliomap {__version__}\n"

    @pytest.mark.parametrize(
        ("closed", "words", "code"),
        [
            (">&-", "sensor list", 0),
            (">&-", "sensor list --json", 0),
            (">&- 2>&- <&-", "--version", 0),
            ("| true", "--help", 0),
            (">/dev/full", "--help", 3),
            ("2>/dev/full", "operate", 2),
        ],
    )
    def test_closed_or_full_outputs_cause_no_internal_error(self, closed: str, words: str, code: int) -> None:
        line = f"set -o pipefail; {shlex.quote(str(COMMAND))} {words} {closed}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
        assert done.returncode == code
        assert "internal error" not in done.stderr

    def test_without_arguments_it_prints_its_help(self, gliomap: Run) -> None:
        result = gliomap()
        assert result.code == 0
        assert "not a medical device" in result.out
        assert result.out == gliomap("--help").out == gliomap("-h").out

    @pytest.mark.parametrize("flags", [(), ("--json",)])
    def test_an_unknown_verb_is_bad_usage(self, gliomap: Run, flags: tuple[str, ...]) -> None:
        result = gliomap("operate", *flags)
        assert (result.code, result.out) == (2, "")
        assert "operate" in result.err
        assert "gliomap --help" in result.err
        if flags:
            assert json.loads(result.err)["error"]["kind"] == "UsageError"

    def test_an_unknown_option_is_bad_usage(self, gliomap: Run) -> None:
        result = gliomap("demo", "--fast")
        assert result.code == 2
        assert result.err.startswith("error: gliomap demo: ")
        assert "--fast" in result.err
        assert result.err.endswith("See: gliomap demo --help\n")

    def test_a_misspelt_verb_gets_a_suggestion(self, gliomap: Run) -> None:
        told = "error: gliomap study: no such command 'chekc'. Did you mean 'check'? See: gliomap study --help\n"
        assert gliomap("study", "chekc").err == told

    def test_threads_must_be_positive(self, gliomap: Run) -> None:
        result = gliomap("demo", "--threads", "0")
        assert result.code == 2
        assert "--threads" in result.err

    def test_completion_is_offered(self, installed: Run) -> None:
        result = installed(_GLIOMAP_COMPLETE="complete_bash", COMP_WORDS="gliomap cla", COMP_CWORD="1")
        assert result.out.split() == ["classify"]

    def test_help_loads_no_heavy_library(self) -> None:
        script = (
            "import sys; sys.argv = ['gliomap', '--help']\n"
            "from gliomap.cli import run\n"
            "code = run(['--help']) or run(['classify', '--help'])\n"
            "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'h5py', 'onnxruntime', 'numpy', 'rich'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr.strip() == "[]"

    def test_a_broken_pipe_on_stdout_is_not_an_error(self) -> None:
        command = Path(sys.executable).with_name("gliomap")
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                [str(command), "sensor", "list"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
            )
        finally:
            os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "words",
    [
        "archive list cases --most 1e30",
        f"archive list cases --most {10**30}",
        "bench serve http://127.0.0.1:1 --seconds inf",
        "bench serve http://127.0.0.1:1 --live --every inf",
        "classify bundle --cube cube.npz --max-reference-age inf",
        "deploy local bundle --wait inf",
        "serve bundle --body-timeout 1e300",
        "serve bundle --deadline inf",
        "serve bundle --max-reference-age inf",
        f"train study --hidden {10**30}",
        f"train study --threads {10**30}",
    ],
)
def test_infinite_and_huge_numbers_are_bad_usage(gliomap: Run, words: str) -> None:
    done = gliomap(*words.split())
    assert done.code == 2
    assert "invalid value for" in done.err
