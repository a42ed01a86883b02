"""No unfinished file or folder ever appears under its final name."""

from __future__ import annotations

import json
import os
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from gliomap._files import (
    atomic_file,
    atomic_folder,
    put_in_place,
    read_limited,
    refuse_existing,
    sha256_of,
    user_folder,
    write_json,
    write_zip,
)
from gliomap.errors import MachineError, OutputExistsError, UsageError


def test_a_file_appears_only_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["result.txt"]


def test_a_file_is_flushed_to_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut could leave an empty file in place of the old one."""
    target, flushed = tmp_path / "result.txt", []
    sync = os.fsync

    def fsync(handle: int) -> None:
        flushed.append((os.fstat(handle).st_size, target.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(target, [1, 2])
    assert flushed == [(target.stat().st_size, False)]


@pytest.mark.parametrize("interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, interruption: BaseException) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_file(target) as temporary:
            temporary.write_text("ne")
            raise interruption

    with pytest.raises(type(interruption)):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("folder", [".", ".."])
def test_the_working_directory_and_its_parent_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """'.' and '..' cannot be renamed, and the process would lose its working directory."""
    here = tmp_path / "result" / "deep"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(UsageError, match="from outside it"):
        refuse_existing(Path(folder), overwrite=True)
    with pytest.raises(UsageError, match="from outside it"), atomic_folder(Path(folder), overwrite=True):
        pass
    assert here.is_dir()


def test_read_limited_refuses_large_and_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"12345")
    assert read_limited(tmp_path / "small", 5, UsageError, large="") == b"12345"
    for path in (tmp_path / "small", Path("/dev/zero")):
        with pytest.raises(UsageError, match=r"is larger than 0 MiB\. Take another"):
            read_limited(path, 4, UsageError, large="Take another.")
    for path in (tmp_path / "none", tmp_path / "small" / "none"):
        with pytest.raises(UsageError, match=r"does not exist\. Check the path"):
            read_limited(path, 5, UsageError, large="")
    with pytest.raises(UsageError, match="is a folder"):
        read_limited(tmp_path, 5, UsageError, large="")


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = bytes(range(256)) * 1000
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    assert read_limited(tmp_path / "pipe", 2**20, UsageError, large="") == content
    writer.join()


def test_operating_system_errors_name_the_output_unless_an_input_failed(tmp_path: Path) -> None:
    """The error of a full disk names no file, and users do not know the names of temporary files."""
    target = tmp_path / "out"

    def fill_the_disk() -> None:
        with atomic_folder(target) as folder, atomic_file(folder / "weights.bin"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        fill_the_disk()
    assert caught.value.filename == str(target)

    def miss_an_input() -> None:
        with atomic_file(target):
            (tmp_path / "input").read_bytes()

    with pytest.raises(FileNotFoundError) as other:
        miss_an_input()
    assert other.value.filename == str(tmp_path / "input")


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_file(tmp_path / "atomic") as temporary:
        temporary.write_text("x")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_writing_never_sets_the_umask_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the umask means setting it, for all threads: two concurrent reads could leave files that anyone may write."""

    def changed(mask: int) -> int:
        raise AssertionError(f"the mask of the process was set to {mask:o}")

    monkeypatch.setattr(os, "umask", changed)
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("x")
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "file").touch()
    plain = tmp_path / "plain"
    plain.mkdir()
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failed_replacement_restores_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "new", target)
    assert (target / "old.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_is_replaced_but_not_its_target(tmp_path: Path) -> None:
    elsewhere, target = tmp_path / "large-disk", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "result.txt").write_text("old")
    target.symlink_to(elsewhere)
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "result.txt").write_text("new")
    assert (target / "result.txt").read_text() == "new"
    assert (elsewhere / "result.txt").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large-disk", "out"]


def test_a_folder_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "result.txt").write_text("old")
    (target / "more.txt").write_text("old")
    with pytest.raises(OutputExistsError, match="--overwrite"), atomic_folder(target):
        raise AssertionError("the block must not run")
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "result.txt").write_text("new")
    assert [path.name for path in target.iterdir()] == ["result.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_created_meanwhile_by_another_process_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def be_overtaken() -> None:
        with atomic_folder(target) as folder:
            (folder / "result.txt").write_text("late")
            target.mkdir()
            (target / "result.txt").write_text("first")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        be_overtaken()
    assert (target / "result.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_loser_of_a_concurrent_replacement_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "result.txt").write_text("old")
    replace = Path.replace

    def then_the_other(path: Path, place: Path) -> Path:
        moved = replace(path, place)
        if path == target:
            target.mkdir()
            (target / "result.txt").write_text("first")
        return moved

    def be_overtaken() -> None:
        with atomic_folder(target, overwrite=True) as folder:
            (folder / "result.txt").write_text("late")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", then_the_other)
        with pytest.raises(OSError, match="not empty"):
            be_overtaken()
    assert (target / "result.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_missing_home_folder_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert user_folder("CACHE", ".cache", {"CACHE": "/large"}) == Path("/large/gliomap")
    with pytest.raises(MachineError, match=r"has no home folder\. Set CACHE"):
        user_folder("CACHE", ".cache", {})


def test_a_folder_is_replaced_only_by_a_result_of_the_same_kind(tmp_path: Path) -> None:
    patients = tmp_path / "study"
    (patients / "tif").mkdir(parents=True)
    (patients / "study.toml").touch()

    def write_over_it() -> None:
        with atomic_folder(patients, overwrite=True) as temporary:
            (temporary / "run.json").touch()

    with pytest.raises(UsageError, match=r"holds no run\.json, so it is not an earlier result"):
        write_over_it()
    assert sorted(path.name for path in patients.iterdir()) == ["study.toml", "tif"]
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty", overwrite=True) as temporary:
        (temporary / "run.json").touch()
    assert (tmp_path / "empty" / "run.json").exists()


def test_an_interrupted_replacement_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")

    def write_half() -> None:
        with atomic_folder(target, overwrite=True) as temporary:
            (temporary / "half.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "old.txt").read_text() == "old"


def test_json_is_sorted_ends_with_a_newline_and_refuses_nan(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"b": 1, "a": [1.5, None]})
    assert target.read_text().endswith("}\n")
    assert list(json.loads(target.read_text())) == ["a", "b"]
    assert json.loads(target.read_text()) == {"a": [1.5, None], "b": 1}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text())["b"] == 1


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_archive_of_the_same_files_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"b.txt": b"2" * 1000, "a/c.txt": b""}
    write_zip(tmp_path / "one.zip", files)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_zip(tmp_path / "two.zip", files)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert archive.namelist() == list(files)
    assert (tmp_path / "one.zip").stat().st_size < 1000
