"""A pair of references as the service keeps it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from gliomap.captures import Exposures, tiff_bytes
from gliomap.engine import Engine
from gliomap.serving import Service, ServiceSettings
from gliomap.serving._bodies import FrameBytes, frames_of
from gliomap.serving._references import ReferencePair, pair_of_frames
from gliomap.serving._service import Ask
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


def test_the_white_s_own_dark_is_subtracted_from_it(bundle: Path, scene: Scene) -> None:
    own = scene.dark + np.uint16(7)
    engine, kept = pair(bundle, scene, {}, white_dark=own)
    expected = engine.prepare(scene.white, scene.dark, white_dark=own)
    other = engine.prepare(scene.white, scene.dark)
    for camera_clock in (False, True):
        ready = kept.prepared(engine, camera_clock=camera_clock)
        assert np.array_equal(ready.gain, expected.gain)
        assert not np.array_equal(ready.gain, other.gain)


def test_a_frame_is_held_against_the_dark_that_is_subtracted_from_it(bundle: Path, scene: Scene) -> None:
    """Of its own exposure, which is the white's; the longer one is brighter than all of it and belongs to none."""
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
def test_their_age_is_that_of_the_older_one_or_unknown(
    bundle: Path, scene: Scene, taken: dict[str, datetime], time: datetime | None
) -> None:
    engine, kept = pair(bundle, scene, taken)
    assert kept.camera_time == time
    assert kept.prepared(engine, camera_clock=True).taken_at == time
    assert kept.prepared(engine, camera_clock=False).taken_at == kept.received_at


@pytest.mark.parametrize(
    ("clock", "steady", "blank"),
    [(0, 0, False), (-90, 0, False), (-90, 90, True), (90, 0, True), (90, 90, True)],
    ids=["at once", "the clock was set back", "set back, and late", "it slept meanwhile", "late"],
)
def test_of_two_clocks_the_one_counts_by_which_they_are_older(
    bundle: Path, scene: Scene, clock: int, steady: int, blank: bool
) -> None:
    """Minutes that passed by the computer's clock, which may be set, and by the one that is never set and may sleep."""
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
