"""A pair of references as the service keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gliomap.captures import Exposures, tiff_bytes
from gliomap.engine import Engine
from gliomap.errors import CaptureError, RequestError
from gliomap.serving import Service, ServiceSettings
from gliomap.serving._bodies import FrameBytes, frames_of
from gliomap.serving._references import ReferencePair, ReferenceStore, check_id, pair_of_frames
from gliomap.serving._reply import unpack_reply
from gliomap.serving._service import Ask
from gliomap.serving._stream import Stream
from serving.servers import Scene

EARLIER, LATER = datetime(2026, 11, 23, 9, 0), datetime(2026, 11, 23, 9, 5)


def pair(
    bundle: Path,
    scene: Scene,
    taken: dict[str, datetime],
    *,
    exposures: Exposures | None = None,
    **more: np.ndarray,
) -> tuple[Engine, ReferencePair]:
    engine = Engine.open(bundle)
    sent = {"white": scene.white, "dark": scene.dark} | more
    files = {role: FrameBytes.guessed(tiff_bytes(data, taken.get(role))) for role, data in sent.items()}
    return engine, pair_of_frames("or-1", frames_of(files, engine.sensor), {}, engine, exposures)


def test_the_dark_of_the_white_is_subtracted_from_the_white(bundle: Path, scene: Scene) -> None:
    own = scene.dark + np.uint16(7)
    engine, kept = pair(bundle, scene, {}, white_dark=own)
    expected = engine.prepare(scene.white, scene.dark, white_dark=own)
    other = engine.prepare(scene.white, scene.dark)
    for camera_clock in (False, True):
        ready = kept.prepared(engine, camera_clock=camera_clock)
        assert np.array_equal(ready.gain, expected.gain)
        assert not np.array_equal(ready.gain, other.gain)


def test_a_frame_is_checked_against_the_dark_of_its_own_exposure(bundle: Path, scene: Scene) -> None:
    """It is also the white's exposure. The dark of the longer exposure fits neither and is brighter than the frame."""
    raw = (scene.dark + (scene.white - scene.dark) * 0.05).astype(np.uint16)
    times = Exposures(raw_ms=12, white_ms=12, dark_ms=40, white_dark_ms=12)
    _, kept = pair(bundle, scene, {}, exposures=times, dark=scene.dark + np.uint16(50), white_dark=scene.dark)
    service = Service(ServiceSettings(bundle))
    service.references.put(kept)
    for kind in ("classify", "stream"):
        answer = service.classify(Ask(kind, "camera", "id", {"raw": raw}, "or-1"))
        assert not [one for one in answer.warnings if "pixels" in one]
    service.close()


@pytest.mark.parametrize(
    ("taken", "time"),
    [
        ({"white": LATER, "dark": EARLIER}, EARLIER),
        ({"white": EARLIER, "dark": LATER}, EARLIER),
        ({"white": LATER}, None),
        ({"dark": LATER}, None),
        ({}, None),
    ],
    ids=["dark first", "white first", "white alone", "dark alone", "neither"],
)
def test_references_are_as_old_as_the_older_one_or_of_unknown_age(
    bundle: Path, scene: Scene, taken: dict[str, datetime], time: datetime | None
) -> None:
    engine, kept = pair(bundle, scene, taken)
    assert kept.camera_time == time
    assert kept.prepared(engine, camera_clock=True).taken_at == time
    assert kept.prepared(engine, camera_clock=False).taken_at == kept.received_at


@pytest.mark.parametrize(("taken", "time"), [(EARLIER, EARLIER), (None, None)])
def test_the_time_of_a_second_dark_counts_as_well(
    bundle: Path, scene: Scene, taken: datetime | None, time: datetime | None
) -> None:
    times = {"white": LATER, "dark": LATER} | ({} if taken is None else {"white_dark": taken})
    _, kept = pair(bundle, scene, times, white_dark=scene.dark)
    assert kept.camera_time == time


@pytest.mark.parametrize(
    ("clock", "steady", "blank"),
    [(0, 0, False), (-90, 0, False), (-90, 90, True), (90, 0, True), (90, 90, True)],
    ids=["at once", "clock set back", "clock set back and late", "slept meanwhile", "late"],
)
def test_the_clock_by_which_references_are_older_counts(
    bundle: Path, scene: Scene, clock: int, steady: int, blank: bool
) -> None:
    """Minutes by the computer's clock, which may be set, and by the steady clock, which is never set but may sleep."""
    service = Service(ServiceSettings(bundle))
    _, kept = pair(bundle, scene, {})
    service.references.put(kept)
    ask = Ask(
        "classify",
        "camera",
        "id",
        {"raw": scene.raw},
        "or-1",
        received_at=kept.received_at + timedelta(minutes=clock),
        started=perf_counter() + 60 * steady,
    )
    blanked = service.classify(ask).tissue.blanked
    service.close()
    assert (blanked is not None and "90.0 min older" in blanked) == blank
    assert (blanked is None) != blank


class TestStore:
    def test_a_full_store_takes_no_other_operation_but_a_replacement(self, bundle: Path, scene: Scene) -> None:
        _, one = pair(bundle, scene, {})
        store = ReferenceStore(2)
        assert store.put(one)
        assert store.put(replace(one, name="or-2"))
        with pytest.raises(RequestError, match="of 2 operations are stored") as full:
            store.put(replace(one, name="or-3"))
        assert full.value.status == 409
        assert store.names() == ("or-1", "or-2")
        again = replace(one, exposures=Exposures(10, 10, 10))
        assert not store.put(again)
        assert store.get("or-1") is again

    def test_a_deleted_pair_is_unknown(self, bundle: Path, scene: Scene) -> None:
        _, one = pair(bundle, scene, {})
        store = ReferenceStore(2)
        store.put(one)
        store.delete("or-1")
        assert len(store) == 0
        for ask in (store.get, store.delete):
            with pytest.raises(RequestError, match="references 'or-1': are unknown") as unknown:
                ask("or-1")
            assert unknown.value.status == 404

    @pytest.mark.parametrize("name", ["", ".", "-a", "../a", "a/b", "a b", "a\n", "é", "a" * 65])
    def test_an_id_that_does_not_fit_paths_is_refused(self, name: str) -> None:
        with pytest.raises(RequestError, match="is not a valid id") as caught:
            check_id(name)
        assert caught.value.status == 400

    def test_an_id_may_have_64_characters(self) -> None:
        assert check_id("A.b_c-9" + "a" * 57) == "A.b_c-9" + "a" * 57


SPREAD = "8 bits; values were spread over the sensor's range, and fine differences are lost"


def coarse(frame: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """A 10-bit frame as a camera delivers it in its 8-bit mode."""
    return (frame * (255 / 1023)).round().astype(np.uint8)


def high(frame: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """A 10-bit frame in the high bits of 16."""
    return frame << np.uint16(6)


class TestBitDepth:
    @pytest.fixture
    def service(self, bundle: Path, scene: Scene) -> Iterator[Service]:
        """A service with references of one operation in each mode of the camera."""
        made = Service(ServiceSettings(bundle))
        for name, mode in (("low", np.asarray), ("high", high), ("coarse", coarse)):
            sent = {role: FrameBytes(tiff_bytes(mode(getattr(scene, role))), "tiff") for role in ("white", "dark")}
            made.references.put(made.read_references(name, sent, None))
        yield made
        made.close()

    def ask(self, frames: Mapping[str, np.ndarray], references: str | None) -> Ask:
        sent = {role: FrameBytes(tiff_bytes(frame), "tiff") for role, frame in frames.items()}
        return Ask("classify", "camera", "id", sent, references)

    @pytest.mark.parametrize(
        ("references", "mode", "told"),
        [
            ("coarse", np.asarray, r"\(raw: 16 bits, references: 8 bits\)"),
            ("coarse", high, r"\(raw: 16 bits, references: 8 bits\)"),
            ("low", coarse, r"\(raw: 8 bits, references: 16 bits\)"),
            ("high", coarse, r"\(raw: 8 bits, references: 16 bits\)"),
        ],
    )
    def test_a_frame_of_another_bit_depth_than_its_references_is_refused(
        self, service: Service, scene: Scene, references: str, mode: Any, told: str
    ) -> None:
        """As it is if all three frames come in one request."""
        with pytest.raises(
            CaptureError, match=f"raw: and references '{references}' differ in bit depth {told}"
        ) as kept:
            service.classify(self.ask({"raw": mode(scene.raw)}, references))
        other = np.asarray if mode is coarse else coarse
        frames = {"raw": mode(scene.raw), "white": other(scene.white), "dark": other(scene.dark)}
        with pytest.raises(CaptureError, match="differ in bit depth") as own:
            service.classify(self.ask(frames, None))
        assert kept.value.remedy == own.value.remedy == "Record all in one mode."

    def test_a_stream_refuses_frames_of_another_bit_depth(self, service: Service, scene: Scene) -> None:
        """Plain numbers have 16 bits."""
        counts = {"sequence": 1, "dropped": 0, "dropped_total": 0}
        stream = Stream(SimpleNamespace(), service, "camera", "1", "coarse", "labels", "classic", None)
        for frame, refused in ((scene.raw.tobytes(), True), (tiff_bytes(coarse(scene.raw)), False)):
            reply, _ = unpack_reply(stream.reply(counts, frame, perf_counter()))
            assert ("differ in bit depth" in str(reply.problem)) == refused
            assert (reply.problem is None) != refused

    def test_8_bit_frames_and_references_are_accepted_with_warnings(self, service: Service, scene: Scene) -> None:
        assert service.references.get("coarse").warnings[-1] == f"references: have {SPREAD}"
        assert not service.references.get("low").warnings
        warnings = service.classify(self.ask({"raw": coarse(scene.raw)}, "coarse")).warnings
        assert f"references: have {SPREAD}" in warnings
        assert f"raw: has {SPREAD}" in warnings

    def test_frames_in_the_high_bits_give_the_same_map(self, service: Service, scene: Scene) -> None:
        low = service.classify(self.ask({"raw": scene.raw}, "low")).tissue.labels
        assert np.array_equal(service.classify(self.ask({"raw": high(scene.raw)}, "high")).tissue.labels, low)
