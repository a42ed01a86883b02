"""References sent by clients: prepared once, used by every frame that names them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gliomap._text import counted
from gliomap.captures import Exposures, Frame, check_references, oldest_time, shadow_floor
from gliomap.engine import DatedReferences, Engine
from gliomap.errors import CaptureError, RequestError
from gliomap.sensors import MosaicSensor

__all__ = ["SPREAD", "ReferencePair", "ReferenceStore", "check_id", "pair_of_frames"]

SPREAD = "8 bits; values were spread over the sensor's range, and fine differences are lost"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, eq=False)
class ReferencePair:
    """White and dark of one operation.

    Attributes
    ----------
    name
        The id that clients use.
    white, dark, white_dark
        As they were read; `white_dark` is a second dark reference at the exposure of the white.
    sensor
        The sensor of the frames.
    hashes
        Role → SHA-256 of the bytes as received.
    exposures
        Exposure times, if they differ.
    received_at
        When they were received, UTC.
    msb_aligned
        Whether their values were in the upper bits of 16; frames that use them are read the same way.
    warnings
        What the checks noticed.
    """

    name: str
    white: Frame
    dark: Frame
    white_dark: Frame | None
    sensor: MosaicSensor
    hashes: Mapping[str, str]
    exposures: Exposures | None
    received_at: datetime
    msb_aligned: bool
    warnings: tuple[str, ...]
    _begun: float = field(default_factory=time.perf_counter, repr=False)
    _prepared: dict[str, dict[bool, DatedReferences]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def camera_time(self) -> datetime | None:
        """When the oldest of the references was taken, by the camera's clock; None if unknown."""
        return oldest_time(one for one in (self.white, self.dark, self.white_dark) if one is not None)

    def moment(self, told: datetime, steady: float) -> datetime:
        """When a frame arrived, for the age of the references, by the clock on which more time has passed.

        The computer's clock may be set back, and the monotonic one may stop while a computer sleeps.

        Parameters
        ----------
        told
            By the computer's clock, UTC.
        steady
            By `time.perf_counter`.
        """
        return max(told, self.received_at + timedelta(seconds=steady - self._begun))

    @property
    def second_dark(self) -> npt.NDArray[np.uint16] | None:
        """Numbers of `white_dark`, if there is one."""
        return None if self.white_dark is None else self.white_dark.data

    @property
    def eight_bit(self) -> bool:
        """Whether they had 8 bits although the sensor has more; all were read together, so one stands for all."""
        return self.white.eight_bit

    def require_bits_of(self, raw: Frame) -> None:
        """Refuse a frame of another bit depth, just as if it came together with its references.

        What a reference loses to rounding at 8 bits would shift spectra of 16 bits, and no map would show it.

        Raises
        ------
        CaptureError
            The frame has 8 bits and the references have 16, or vice versa.
        """
        if raw.eight_bit != self.eight_bit:
            own, other = (8, 16) if raw.eight_bit else (16, 8)
            raise CaptureError(
                "raw",
                f"and references {self.name!r} differ in bit depth (raw: {own} bits, references: {other} bits)",
                "Record all in one mode.",
            )

    @cached_property
    def shadow_floor(self) -> npt.NDArray[np.uint16]:
        """The value that a pixel of a frame reaches unless it is in shadow."""
        return shadow_floor(self.white.data, self.dark.data, self.sensor, self.exposures, white_dark=self.second_dark)

    def prepared(self, engine: Engine, *, camera_clock: bool) -> DatedReferences:
        """The references prepared for this engine, dated by the camera's clock or by their arrival."""
        with self._lock:
            ready = self._prepared.get(engine.bundle.identity)
            if ready is None:
                by_arrival = engine.prepare(
                    self.white.data,
                    self.dark.data,
                    exposures=self.exposures,
                    white_dark=self.second_dark,
                    taken_at=self.received_at,
                )
                ready = {False: by_arrival, True: replace(by_arrival, taken_at=self.camera_time)}
                # A model that was replaced does not come back.
                self._prepared.clear()
                self._prepared[engine.bundle.identity] = ready
            return ready[camera_clock]


class ReferenceStore:
    """The stored pairs. Safe to use from several threads at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._pairs: dict[str, ReferencePair] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def put(self, pair: ReferencePair) -> bool:
        """Store a pair; True if its name is new, False if it replaces the pair of that name.

        Raises
        ------
        RequestError
            There is no room (409). No other pair is evicted: somebody may be operating with it.
        """
        with self._lock:
            new = pair.name not in self._pairs
            if new and len(self._pairs) >= self._most:
                raise RequestError(
                    "references",
                    f"of {counted(self._most, 'operation')} are stored, and there is no room for {pair.name!r}",
                    f"DELETE those of a finished operation ({', '.join(sorted(self._pairs))}).",
                    status=409,
                )
            self._pairs[pair.name] = pair
            return new

    def get(self, name: str) -> ReferencePair:
        """Return the pair of this name.

        Raises
        ------
        RequestError
            There is none (404).
        """
        pair = self._pairs.get(check_id(name))
        if pair is None:
            raise RequestError(
                f"references {name!r}",
                "are unknown; a restarted service has forgotten them",
                f"PUT white and dark to /v1/references/{name} first.",
                status=404,
            )
        return pair

    def delete(self, name: str) -> None:
        """Delete the pair of this name.

        Raises
        ------
        RequestError
            There is none (404).
        """
        self.get(name)
        with self._lock:
            self._pairs.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """All ids, sorted."""
        return tuple(sorted(self._pairs))


def check_id(name: str) -> str:
    """Return an id if it is fit for paths and logs.

    Raises
    ------
    RequestError
        It is not (400).
    """
    if not _ID.fullmatch(name):
        raise RequestError(
            f"id {name[:64]!r}",
            "is not a valid id for references",
            "Use letters, digits, '.', '_' and '-', starting with a letter or digit, at most 64 characters.",
            status=400,
        )
    return name


def pair_of_frames(
    name: str, frames: Mapping[str, Frame], hashes: Mapping[str, str], engine: Engine, exposures: Exposures | None
) -> ReferencePair:
    """Assemble and prepare a pair; faults that would only blank later maps are refused now.

    Raises
    ------
    ReferenceFrameError
        White and dark are swapped, lack light or are saturated, or no dark reference fits the exposures.
    """
    white_dark = frames.get("white_dark")
    findings = check_references(
        frames["white"].data,
        frames["dark"].data,
        engine.sensor,
        white_dark=None if white_dark is None else white_dark.data,
        exposures=exposures,
    )
    pair = ReferencePair(
        name=name,
        white=frames["white"],
        dark=frames["dark"],
        white_dark=white_dark,
        sensor=engine.sensor,
        hashes=dict(hashes),
        exposures=exposures,
        received_at=datetime.now(UTC),
        msb_aligned=frames["white"].msb_aligned,
        warnings=(
            *(f"{finding.thing}: {finding.message}" for finding in findings),
            *([f"references: have {SPREAD}"] if frames["white"].eight_bit else []),
        ),
    )
    pair.prepared(engine, camera_clock=False)
    return pair
