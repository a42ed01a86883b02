"""What all verbs share: exit codes, error messages and common options."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from cli.conftest import COMMAND, Run, call
from gliomap.cli._faults import report, translate
from gliomap.cli._options import sensor_names
from gliomap.cli._train_options import model_names
from gliomap.cli._ui import Ui
from gliomap.errors import BundleError, ExportMismatchError, MachineError, MissingExtraError, UsageError


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
