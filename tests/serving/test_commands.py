"""The commands around a service (score, archive and bench), installed and run as people type them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from websockets.sync.client import connect

from gliomap.captures import tiff_bytes
from gliomap.serving import measure
from gliomap.serving.archive import ArchiveReader
from serving.servers import COMMAND, GUARDED, KEY, RunningServer, Scene, answer_of, count, start
from support import free_port, wait_until


@pytest.fixture
def frames(scene: Scene, tmp_path: Path) -> dict[str, Path]:
    """The frame and its references as files."""
    for role, content in scene.files.items():
        (tmp_path / f"{role}.tif").write_bytes(content)
    return {role: tmp_path / f"{role}.tif" for role in scene.files}


def run(*words: object, env: dict[str, str] | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})}
    )
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    return done


def as_json(*words: object, **options: Any) -> Any:
    return json.loads(run(*words, "--json", "--quiet", **options).stdout)


def own(frames: dict[str, Path], *roles: str) -> Sequence[object]:
    return [word for role in roles or frames for word in (f"--{role}", frames[role])]


class TestScore:
    def test_score_writes_the_map_of_a_frame_and_its_references(
        self, server: RunningServer, frames: dict[str, Path], expected: np.ndarray, tmp_path: Path
    ) -> None:
        told = as_json("score", server.url, *own(frames), "-o", tmp_path / "map")
        assert {path.name for path in (tmp_path / "map").iterdir()} == {
            "labels.npy",
            "probabilities.npy",
            "map.png",
            "overlay.png",
            "result.json",
        }
        np.testing.assert_array_equal(np.load(tmp_path / "map" / "labels.npy"), expected)
        assert told["classified"] == np.count_nonzero(expected)
        again = run("score", server.url, *own(frames), "-o", tmp_path / "map", code=2)
        assert "already exists" in again.stderr
        run("score", server.url, *own(frames), "-o", tmp_path / "map", "--overwrite")

    def test_without_a_folder_the_numbers_are_printed(self, server: RunningServer, frames: dict[str, Path]) -> None:
        printed = run("score", server.url, *own(frames)).stdout
        assert "not classified" in printed
        assert "a map cannot rule tumour out" in printed

    def test_colours_are_the_same_with_a_folder_and_without(
        self, server: RunningServer, frames: dict[str, Path], tmp_path: Path
    ) -> None:
        safe = as_json("score", server.url, *own(frames), "--palette", "safe")["classes"]
        assert (
            safe == as_json("score", server.url, *own(frames), "--palette", "safe", "-o", tmp_path / "map")["classes"]
        )
        assert safe != as_json("score", server.url, *own(frames))["classes"]

    def test_a_frame_may_use_references_stored_in_the_service(
        self, server: RunningServer, frames: dict[str, Path], scene: Scene, expected: np.ndarray
    ) -> None:
        with server.client() as client:
            client.put_references("kept", scene.white, scene.dark)
        told = as_json("score", server.url, "--raw", frames["raw"], "--references", "kept")
        assert told["references"] == "kept"
        assert told["classified"] == np.count_nonzero(expected)
        run("score", server.url, "--raw", frames["raw"], "--references", "nobody", code=2)

    def test_the_key_comes_from_a_file_or_the_environment(
        self, serve: Callable[..., RunningServer], frames: dict[str, Path], tmp_path: Path
    ) -> None:
        server = serve(env=GUARDED)
        (tmp_path / "key").write_text(f"{KEY}\n")
        refused = run("score", server.url, *own(frames), code=2)
        assert "key: is missing" in refused.stderr
        assert "take --key FILE" in refused.stderr
        run("score", server.url, *own(frames), "--key", tmp_path / "key")
        run("score", server.url, *own(frames), env={"GLIOMAP_KEY": KEY})

    @pytest.mark.parametrize(
        ("words", "code", "fault"),
        [
            (["127.0.0.1:8931"], 2, "is not the address of a service. Write it as http://127.0.0.1:8931."),
            (["http://127.0.0.1:1"], 3, "cannot be reached"),
            (["http://127.0.0.1:1", "--tls-cert", "x.pem"], 2, "belong together"),
            (["http://127.0.0.1:1", "--tls-ca", "nothing.pem"], 2, "cannot be used"),
            (["http://127.0.0.1:1", "--key", "nothing"], 2, "not a file with a key"),
            (["http://127.0.0.1:1", "--watch", "."], 2, "needs either --raw or --watch"),
            (["http://127.0.0.1:1", "--references", "kept"], 2, "--references was given together with reference files"),
        ],
    )
    def test_invalid_addresses_and_options_are_refused(
        self, frames: dict[str, Path], words: list[str], code: int, fault: str
    ) -> None:
        assert fault in run("score", *words, *own(frames), code=code).stderr


class TestWatch:
    def test_each_new_or_rewritten_file_gets_its_map(
        self, server: RunningServer, frames: dict[str, Path], scene: Scene, expected: np.ndarray, tmp_path: Path
    ) -> None:
        folder = tmp_path / "camera"
        folder.mkdir()
        (folder / "before.tif").write_bytes(scene.files["raw"])
        with server.client() as client:
            kept = count(client.metrics(), "gliomap_references ")
        words = ["score", server.url, "--watch", str(folder), *map(str, own(frames, "white", "dark"))]
        watching = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(folder / "before_result.json", watching)
            slowly = scene.files["raw"]
            with (folder / "frame1.tif").open("wb") as camera:  # a slowly written file is not read too early
                camera.write(slowly[:1000])
                camera.flush()
                time.sleep(0.1)
                camera.write(slowly[1000:])
            (folder / "damaged.tif").write_bytes(b"II*\x00junk")
            (folder / "notes.txt").write_text("no frame")
            wait_for(folder / "frame1_result.json", watching)
            (folder / "frame2.tif").write_bytes(scene.files["raw"])
            wait_for(folder / "frame2_result.json", watching)
            # A camera writes into the same file again: the old map must not be taken for that of the new frame.
            glare = tifffile.imread(io.BytesIO(scene.files["raw"]))
            glare[:, : glare.shape[1] // 2] = 1023
            (folder / "frame2.tif").write_bytes(tiff_bytes(glare))
            wait_for(folder / "frame2_labels.npy", watching, lambda path: not np.load(path)[:, :3].any())
            # If the new frame has no map, the old map is removed.
            (folder / "frame2.tif").write_bytes(b"II*\x00junk")
            wait_for(folder, watching, lambda path: not list(path.glob("frame2_*")))
        finally:
            watching.send_signal(signal.SIGINT)
            printed, told = watching.communicate(timeout=30)
        assert watching.returncode == 130, told
        assert "damaged.tif" in printed
        warned = [line for line in told.splitlines() if line.startswith("warning:")]
        assert all("frame2.tif: raw frame: " in line for line in warned), "the frames before it are well lit"
        assert "of its pixels are saturated" in warned[0]
        np.testing.assert_array_equal(np.load(folder / "frame1_labels.npy"), expected)
        assert not (folder / "damaged_result.json").exists()
        assert not list(folder.glob("notes_*"))
        with server.client() as client:
            assert count(client.metrics(), "gliomap_references ") == kept, "its references are deleted at the end"
        state = (folder / "before_map.png").stat().st_mtime_ns
        again = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            (folder / "frame3.tif").write_bytes(scene.files["raw"])
            wait_for(folder / "frame3_result.json", again)
        finally:
            again.send_signal(signal.SIGINT)
            again.communicate(timeout=30)
        assert (folder / "before_map.png").stat().st_mtime_ns == state, "frames that have a map are left alone"

    def test_watching_survives_a_restart_of_the_service(
        self, bundle: Path, frames: dict[str, Path], scene: Scene, expected: np.ndarray, tmp_path: Path
    ) -> None:
        folder, printed = tmp_path / "camera", tmp_path / "printed"
        folder.mkdir()
        port = str(free_port())
        words = ["score", f"http://127.0.0.1:{port}", "--watch", folder, *own(frames, "white", "dark")]
        with printed.open("w") as out:
            with start(bundle, "--port", port) as first:
                watching = subprocess.Popen([COMMAND, *map(str, words)], stdout=out, stderr=subprocess.PIPE, text=True)
                (folder / "frame1.tif").write_bytes(scene.files["raw"])
                wait_for(folder / "frame1_result.json", watching)
                first.process.kill()
            try:
                (folder / "frame2.tif").write_bytes(scene.files["raw"])
                (folder / "frame3.tif").write_bytes(scene.files["raw"])
                wait_for(printed, watching, lambda path: "frame2.tif: waiting" in path.read_text())
                with start(bundle, "--port", port):
                    wait_for(folder / "frame3_result.json", watching)
            finally:
                watching.send_signal(signal.SIGINT)
                told = watching.communicate(timeout=30)[1]
        assert watching.returncode == 130, "the exit code shows the interruption even though the service is gone again"
        assert "had lost the references, so they were sent again" in told
        assert printed.read_text().count("waiting") == 1
        np.testing.assert_array_equal(np.load(folder / "frame2_labels.npy"), expected)

    def test_watching_with_unknown_references_or_no_service_is_refused(
        self, server: RunningServer, tmp_path: Path
    ) -> None:
        done = run("score", server.url, "--watch", tmp_path, "--references", "theirs", code=2)
        assert "are unknown" in done.stderr
        done = run("score", "http://127.0.0.1:1", "--watch", tmp_path, "--references", "theirs", code=3)
        assert "cannot be reached" in done.stderr


def wait_for(path: Path, process: subprocess.Popen[str], holds: Callable[[Path], bool] = lambda _: True) -> None:
    wait_until(lambda: path.exists() and holds(path), process, lambda: f"no {path.name}")


class TestArchive:
    def test_list_show_export_verify(
        self, serve: Callable[..., RunningServer], scene: Scene, expected: np.ndarray, tmp_path: Path
    ) -> None:
        folder = tmp_path / "cases"
        server = serve("--archive", str(folder))
        with server.client() as client:
            client.put_references("or-1", scene.white, scene.dark)
            names = [client.classify(scene.raw, references="or-1", patient=who).case for who in ("ID0018", "ID0071")]
        wait_until(lambda: len(ArchiveReader(folder).rows()) == 2)
        listed = as_json("archive", "list", folder, "--patient", "ID0018")
        assert [row["id"] for row in listed] == names[:1]
        assert len(as_json("archive", "list", folder, "--most", 1)) == 1
        assert as_json("archive", "list", folder, "--since", "2999-01-01") == []
        assert names[1] in run("archive", "list", folder).stdout.replace("\n", "")
        assert run("archive", "list", folder, "--most", 1).stdout.startswith("The newest 1 case; there are more ")
        assert run("archive", "list", folder, "--most", len(names)).stdout.startswith(f"{len(names)} cases ")
        shown = as_json("archive", "show", folder, names[0])
        assert shown["references"] == "or-1"
        assert shown["result"]["classified"] == np.count_nonzero(expected)
        assert "ID0018" not in json.dumps(shown)
        run("archive", "show", folder, names[0])
        told = as_json("archive", "export", folder, names[0], "-o", tmp_path / "out")
        assert told["cases"] == names[:1]
        assert {path.name for path in (tmp_path / "out" / str(names[0])).iterdir()} == {
            "case.json",
            "labels.png",
            "raw.tif",
        }
        found = as_json("archive", "verify", folder)
        assert (found["whole"], found["faults"]) == (2, [])
        case = next(folder.glob("cases/*/*.zip"))
        content = bytearray(case.read_bytes())
        content[len(content) // 2] ^= 1
        case.write_bytes(content)
        spoilt = run("archive", "verify", folder, code=2)
        assert "Intact: 1 of 2 cases" in spoilt.stdout
        run("archive", "show", folder, "../../etc/passwd", code=2)
        run("archive", "list", tmp_path, code=2)


class TestBench:
    def test_every_kind_is_measured_and_no_map_is_wrong(self, server: RunningServer) -> None:
        kinds = "labels,npz,json,map,tensors,stream,thesis"
        told = as_json("bench", "serve", server.url, "--kind", kinds, "--seconds", "0.3", "--clients", "1,4")
        assert [(one["kind"], one["clients"]) for one in told["measured"]] == [
            (kind, clients) for kind in kinds.split(",") for clients in (1, 4)
        ]
        for one in told["measured"]:
            assert one["answers"]["200"] >= 1, one
            assert set(one["answers"]) <= {"200", "503"}, one
            assert one["wrong"] == 0
            assert 0 < one["times_ms"]["median"] <= one["times_ms"]["p99"] <= one["times_ms"]["longest"]
        assert answer_of("GET", f"{server.url}/v1/references/bench-x").status_code == 404

    def test_a_table_is_printed_for_given_frames(self, server: RunningServer, frames: dict[str, Path]) -> None:
        printed = run("bench", "serve", server.url, "--kind", "labels", "--seconds", "0.2", *own(frames)).stdout
        assert "maps/s" in printed
        assert "label map as PNG" in printed

    def test_results_are_printed_even_if_the_next_measurement_is_refused(
        self, server: RunningServer, scene: Scene
    ) -> None:
        """By default, a service accepts 4 streams."""
        with server.client() as client:
            client.put_references("streams", scene.white, scene.dark)
        url = f"{server.url.replace('http', 'ws')}/v1/stream?references=streams"
        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(connect(url))
            done = run("bench", "serve", server.url, "--kind", "labels,stream", "--seconds", "0.2", "--json", code=2)
        assert [one["kind"] for one in json.loads(done.stdout)["measured"]] == ["labels"]
        assert "the maximum of 4 open at once is reached" in done.stderr

    @pytest.mark.parametrize("kind", ["labels", "stream"])
    def test_every_client_gets_an_answer_however_short_the_time(
        self, server: RunningServer, scene: Scene, kind: str
    ) -> None:
        """With a busy service, the time can be over before a stream opens, and a measurement of nothing is useless."""
        with server.client() as client:
            client.put_references("short", scene.white, scene.dark)
            found = measure(client, kind, scene, references="short", clients=3, seconds=0)
        assert found.answers == {200: 3}

    def test_live_shows_what_the_service_is_doing(self, server: RunningServer, scene: Scene) -> None:
        words = [COMMAND, "bench", "serve", server.url, "--live", "--every", "1", "--count", "1", "--json"]
        looking = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        with server.client() as client:
            while looking.poll() is None:
                client.classify(scene.raw, references=(scene.white, scene.dark))
        assert looking.stdout is not None
        with looking.stdout:
            (line,) = looking.stdout.read().splitlines()
        seen = json.loads(line)
        assert seen["maps"] > 0
        assert "/v1/classify" in {one["name"] for one in seen["routes"]}
        assert "graph" in {one["name"] for one in seen["stages"]}
        assert seen["memory_mb"] > 10

    def test_ctrl_c_ends_live_with_exit_code_130(self, server: RunningServer) -> None:
        """This holds for all verbs, so that a script can tell Ctrl-C from the end of --count."""
        words = [COMMAND, "bench", "serve", server.url, "--live", "--every", "0.1", "--json"]
        looking = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert looking.stdout is not None
        assert "maps" in json.loads(looking.stdout.readline())
        looking.send_signal(signal.SIGINT)
        rest, _ = looking.communicate(timeout=30)
        assert looking.returncode == 130
        assert all("maps" in json.loads(line) for line in rest.splitlines())

    @pytest.mark.parametrize(
        ("words", "fault"), [(["--kind", "guess"], "'guess' is not a kind"), (["--clients", "0"], "from 1 to 256")]
    )
    def test_invalid_measurements_are_refused(self, server: RunningServer, words: list[str], fault: str) -> None:
        assert fault in run("bench", "serve", server.url, *words, code=2).stderr
