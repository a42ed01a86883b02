"""Every picture from the service states where it comes from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bundles.makers import small_bundle, small_sensor
from gliomap.bundles import Training, write_bundle
from gliomap.serving import Service, ServiceSettings
from gliomap.serving._bodies import FrameBytes
from gliomap.serving._service import Ask
from serving.servers import RunningServer, Scene, tiff

TRAINING = Training(
    study="phantom",
    study_fingerprint="0" * 64,
    synthetic=True,
    protocol="holdout",
    split_fingerprint="1" * 64,
    patients={},
    captures={},
    seed=0,
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    plain = small_bundle(tmp_path / "plain", sensor=small_sensor())
    manifest = plain.manifest.model_copy(update={"training": TRAINING})
    bundle = write_bundle(tmp_path / "bundle", manifest, plain.cube_graph, plain.frame_graph)
    made = Service(ServiceSettings(bundle.path))
    yield made
    made.close()


def ask(scene: Scene) -> Ask:
    frames = {role: FrameBytes.guessed(content) for role, content in scene.files.items()}
    return Ask("classify", "camera", "1", frames, references=None)


def test_pictures_name_model_references_and_time(service: Service, scene: Scene, drawn: list[str]) -> None:
    for form in ("map", "overlay", "zip"):
        drawn.clear()
        service.answer(ask(scene), form)
        words = " ".join(drawn)
        assert f"bundle small ({service.model.identity[:12]}), trained on synthetic patients" in words
        assert "its own references · frame of unknown time" in words
    drawn.clear()
    dated = {"raw": FrameBytes(tiff(scene.raw, datetime(2026, 3, 4, 12, 5)), "tiff")}
    service.answer(replace(ask(scene), frames={**ask(scene).frames, **dated}), "map")
    assert "frame of 2026-03-04 12:05:00" in " ".join(drawn)


def shaded(scene: Scene) -> npt.NDArray[np.uint16]:
    """The frame with a quarter of it in shadow."""
    raw = scene.raw.copy()
    raw[: len(raw) // 4] = scene.dark[: len(raw) // 4] + 1
    return raw


def test_a_shadow_causes_a_warning_in_every_form_and_on_pictures(
    service: Service, scene: Scene, drawn: list[str]
) -> None:
    dark = replace(ask(scene), frames={**ask(scene).frames, "raw": FrameBytes(tiff(shaded(scene)), "tiff")})
    for form in ("json", "labels", "map", "overlay", "npz", "tiff", "zip"):
        drawn.clear()
        answer = service.answer(dark, form)
        assert "of its pixels have hardly any light" in answer.headers["GlioMap-Warnings"]
        assert "hardly any light" not in service.answer(ask(scene), form).headers["GlioMap-Warnings"]
        pictures = {"map": 1, "overlay": 1, "zip": 2}.get(form, 0)
        assert " ".join(drawn).count("hardly any light") == pictures
        if form == "labels":
            with Image.open(io.BytesIO(answer.body)) as image:
                assert (image.mode, image.size[::-1]) == ("P", service.classify(dark).tissue.labels.shape)


def test_clients_and_streams_are_warned_of_a_shadow(server: RunningServer, scene: Scene) -> None:
    with server.client() as client:
        client.put_references("shaded", scene.white, scene.dark)
        assert client.classify(scene.raw, "shaded").warnings == ""
        assert "hardly any light" in client.classify(shaded(scene), "shaded").warnings
        frames = (scene.raw, shaded(scene), scene.raw)
        told = [reply.warnings for reply, _ in client.stream(frames, references="shaded", in_flight=1)]
        client.delete_references("shaded")
    assert [any("hardly any light" in one for one in warnings) for warnings in told] == [False, True, False]


def test_the_same_frame_gives_the_same_picture_later(service: Service, scene: Scene) -> None:
    now = datetime.now(UTC)
    earlier, later = (replace(ask(scene), received_at=now + timedelta(seconds=after)) for after in (0, 2))
    assert service.answer(earlier, "map").body == service.answer(later, "map").body


def test_an_answer_warns_of_a_model_trained_on_synthetic_patients(service: Service, scene: Scene) -> None:
    assert "from synthetic patients only" in service.result(ask(scene), service.classify(ask(scene))).warnings[-1]
