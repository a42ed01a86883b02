"""The service itself, without HTTP: turns what was sent into a map, its answer and its archive record."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gliomap import __version__
from gliomap.captures import Exposures, Finding, Frame, check_raw, inspect_shadows
from gliomap.engine import DatedReferences, TissueMap, class_shares
from gliomap.errors import UsageError
from gliomap.preprocessing import HyperCube, reason_counts, reflectance
from gliomap.sensors import MosaicSensor
from gliomap.serving._answers import MEDIA_TYPES, Answer, AnswerForm, Drawing, base64_png, packed, render
from gliomap.serving._bodies import FrameBytes, digest_of, frames_of
from gliomap.serving._json import dump_json
from gliomap.serving._metrics import Metrics
from gliomap.serving._model import ServedModel, load_model
from gliomap.serving._references import SPREAD, ReferencePair, ReferenceStore, pair_of_frames
from gliomap.serving._schemas import ClassifyAnswer, ServedBy
from gliomap.serving._settings import ServiceSettings
from gliomap.serving._work import Workers, require_awaited

if TYPE_CHECKING:
    from gliomap.serving._stream import Stream
    from gliomap.serving.archive import Archive

__all__ = ["Ask", "Mapped", "Service"]

logger = logging.getLogger(__name__)

_CHECK_S = 2
Sent = FrameBytes | npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Ask:
    """One frame to classify.

    Attributes
    ----------
    kind
        'classify', 'stream', 'score' or 'infer', for log and archive.
    client, request_id
        Name of the caller, and id of the request.
    frames
        Role (raw; white, dark, white_dark unless `references` is named) → what was sent.
    references
        Id of stored references, or None.
    patient
        The client's identifier of the patient, for the archive.
    palette
        Colour palette of pictures.
    received_at
        When its body had arrived, UTC.
    spent
        Stage → seconds spent before ('read').
    """

    kind: str
    client: str
    request_id: str
    frames: Mapping[str, Sent]
    references: str | None
    patient: str | None = None
    palette: str = "classic"
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    spent: Mapping[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, eq=False)
class Mapped:
    """A map with its origin.

    Attributes
    ----------
    tissue
        The map.
    model
        The model that made it.
    raw
        The frame.
    references
        The references that calibrated it.
    warnings
        What a reader of the map must know.
    timings
        Stage → seconds: read, queue, decode, references, check, graph, finish.
    hashes
        Role → SHA-256 of what was sent.
    """

    tissue: TissueMap
    model: ServedModel
    raw: Frame
    references: DatedReferences
    warnings: tuple[str, ...]
    timings: dict[str, float]
    hashes: Mapping[str, str]

    def cube(self) -> HyperCube:
        """The frame before normalisation, which shows light and shade."""
        return reflectance(self.raw.data, self.references)


class Service:
    """The state kept between requests.

    Raises
    ------
    BundleError
        The bundle cannot be served.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.tls: ssl.SSLContext | None = None
        self.metrics = Metrics()
        self.model = self._load(settings.bundle, settings.model_version)
        self.metrics.serves(self.model)
        self.references = ReferenceStore(settings.max_references)
        self.workers = Workers(settings.workers, settings.queue, settings.deadline)
        self.open_streams: set[Stream] = set()
        self.exchanging = asyncio.Lock()
        self.archive = _open_archive(settings)
        self.draining = False
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="gliomap-check")

    def _load(self, path: Path, version: str) -> ServedModel:
        settings = self.settings
        return load_model(path, settings.backend, settings.threads, settings.max_reference_age, version)

    def exchange(self, path: Path | None = None, version: str = "") -> ServedModel:
        """Serve another bundle, or read the same path again; if the new one is bad, the current one keeps serving.

        This takes seconds, so do not run it on a worker thread. Without a new version, the registry version is kept only if
        the bundle turns out to be the same.

        Raises
        ------
        GlioMapError
            The new bundle cannot be served.
        """
        if path is None and self.settings.locate is not None:
            path, version = self.settings.locate()
        new = self._load(path or self.settings.bundle, version)
        if not version and new.identity == self.model.identity:
            new = replace(new, version=self.model.version)
        self.model = new
        self.metrics.serves(new)
        return new

    def classify(self, ask: Ask) -> Mapped:
        """Decode, calibrate and classify one frame; to be run on a worker thread.

        Raises
        ------
        GlioMapError
            The frame or its references cannot be used.
        """
        if self.archive is not None:
            self.archive.require_usable()
        begun = time.perf_counter()
        model = self.model
        timings = {**ask.spent, "queue": begun - ask.started}
        pair = None if ask.references is None else self._kept_pair(ask.references, ask.frames)
        # 8-bit references have no alignment: a 16-bit frame is then read by its own bits, and refused for its depth.
        aligned = None if pair is None or pair.eight_bit else pair.msb_aligned
        frames = frames_of(ask.frames, model.engine.sensor, msb_aligned=aligned)
        if "raw" not in frames:
            raise UsageError("request", "has no raw frame", "Send it as 'raw'.")
        hashes = {role: digest_of(sent) for role, sent in ask.frames.items()} if self.archive is not None else {}
        decoded = time.perf_counter()
        timings["decode"] = decoded - begun
        if pair is None:
            pair = self._pair_of_request(frames, model)
        raw = frames["raw"]
        pair.require_bits_of(raw)
        findings = _findings(ask, raw, pair, model.engine.sensor)
        # Two clocks must not be mixed: use the camera's if both times are known, else this machine's.
        by_camera = raw.taken_at is not None and pair.camera_time is not None
        references = pair.prepared(model.engine, camera_clock=by_camera)
        prepared = time.perf_counter()
        timings["references"] = prepared - decoded
        taken_at = raw.taken_at if by_camera else pair.moment(ask.received_at, ask.started)
        tissue = model.engine.classify_frame(raw.data, references, taken_at=taken_at)
        timings |= {stage: seconds for stage, seconds in tissue.timings.items() if stage != "total"}
        notes = [f"{finding.thing}: {finding.message}" for finding in findings]
        notes += [*([f"raw: has {SPREAD}"] if raw.eight_bit else []), *filter(None, [model.engine.bundle.caution])]
        return Mapped(tissue, model, raw, references, (*pair.warnings, *notes), timings, {**pair.hashes, **hashes})

    def answer(self, ask: Ask, form: AnswerForm) -> Answer:
        """Classify, encode and archive one frame; to be run on a worker thread.

        With an archive, the case is on disk when this returns.

        Raises
        ------
        GlioMapError
            The frame cannot be used, or the archive cannot store it.
        """
        mapped = self.classify(ask)
        begun = time.perf_counter()
        headers = {"GlioMap-Bundle": mapped.model.identity}
        if mapped.tissue.blanked is not None:
            headers["GlioMap-Blanked"] = _header(mapped.tissue.blanked)
        if mapped.warnings:
            headers["GlioMap-Warnings"] = _header("; ".join(mapped.warnings))
        drawing = Drawing(mapped.cube, ask.palette, _origin(ask, mapped), mapped.warnings)
        if form == "json":
            picture = base64_png(mapped.tissue, ask.palette)
            body = dump_json(self.result(ask, mapped).model_dump(mode="json") | {"labels_png": picture})
        elif form == "zip":
            told = self.result(ask, mapped).model_dump(mode="json", exclude={"labels_png"})
            body = packed(mapped.tissue, drawing, dump_json(told))
        else:
            body = render(form, mapped.tissue, drawing)
        mapped.timings["encode"] = time.perf_counter() - begun
        case = self.record(ask, mapped, body)
        if case is not None:
            headers["GlioMap-Case"] = case
        headers["Server-Timing"] = ", ".join(f"{name};dur={1e3 * took:.2f}" for name, took in mapped.timings.items())
        self.metrics.classified(ask.kind, mapped.tissue, mapped.timings)
        return Answer(body, MEDIA_TYPES[form], headers)

    def result(self, ask: Ask, mapped: Mapped) -> ClassifyAnswer:
        """A map in numbers."""
        tissue = mapped.tissue
        classified = int(np.count_nonzero(tissue.labels))
        return ClassifyAnswer(
            request_id=ask.request_id,
            gliomap=__version__,
            model=ServedBy(name=mapped.model.name, version=mapped.model.version, bundle=mapped.model.identity),
            references=ask.references,
            shape=(tissue.height, tissue.width),
            classes=class_shares(tissue, ask.palette),
            classified=classified,
            not_classified=tissue.labels.size - classified,
            invalid=reason_counts(tissue.reasons),
            blanked=tissue.blanked,
            warnings=mapped.warnings,
            timings_ms={stage: round(1e3 * seconds, 3) for stage, seconds in mapped.timings.items()},
        )

    def record(self, ask: Ask, mapped: Mapped, body: bytes) -> str | None:
        """Archive a case and return its id, or None without an archive. It is on disk when this returns.

        Parameters
        ----------
        ask, mapped
            The request and its map.
        body
            Body of the answer, whose hash is stored.

        Raises
        ------
        MachineError
            The disk refuses it; then nothing of the case is left.
        GivenUpError
            Nobody waits for the answer any more, so nothing is stored. A case whose writing has begun when the deadline passes
            stays: only the disk is waited for at that point, and no case is ever removed again.
        """
        if self.archive is None or self.settings.archive is None:
            return None
        from gliomap.serving.archive import Case

        begun = time.perf_counter()
        keeps = ask.kind != "stream" or self.settings.archive.stream_frames
        case = Case(
            kind=ask.kind,
            client=ask.client,
            model=mapped.model.name,
            model_version=mapped.model.version,
            bundle=mapped.model.identity,
            references=ask.references,
            patient=ask.patient,
            received_at=ask.received_at,
            inputs=mapped.hashes,
            raw=mapped.raw.data if keeps else None,
            labels=mapped.tissue.labels,
            result=self.result(ask, mapped).model_dump(mode="json", exclude={"labels_png"}),
            answer=hashlib.sha256(body).hexdigest(),
        )
        require_awaited()
        try:
            name = self.archive.record(case)
        except OSError as error:
            raise self.archive.refused(error) from error
        mapped.timings["archive"] = time.perf_counter() - begun
        return name

    def read_references(self, name: str, sent: Mapping[str, Sent], exposures: Exposures | None) -> ReferencePair:
        """Read, check and prepare references; to be run on a worker thread.

        Parameters
        ----------
        name
            The id that clients use.
        sent
            Role (white, dark, white_dark) → what was sent.
        exposures
            Exposure times, if they differ.

        Raises
        ------
        GlioMapError
            The references cannot be used.
        """
        engine = self.model.engine
        frames = frames_of(sent, engine.sensor)
        return pair_of_frames(name, frames, {role: digest_of(one) for role, one in sent.items()}, engine, exposures)

    async def require_archive(self) -> None:
        """Raise if no case could be stored; checks on a separate thread, because a disk may hang.

        Raises
        ------
        MachineError
            The archive is full, missing, not writable, or does not answer.
        """
        if self.archive is None:
            return
        try:
            async with asyncio.timeout(_CHECK_S):
                await asyncio.wrap_future(self._checks.submit(self.archive.require_usable))
        except TimeoutError as error:
            raise self.archive.refused(f"its disk has not answered for {_CHECK_S} s") from error

    def close(self) -> None:
        """Finish running work and close the archive."""
        self._checks.shutdown(wait=False, cancel_futures=True)
        self.workers.close()
        if self.archive is not None:
            self.archive.close()

    def _kept_pair(self, name: str, sent: Mapping[str, Sent]) -> ReferencePair:
        own = [role for role in sent if role != "raw"]
        if own:
            raise UsageError(
                "request",
                f"names references {name!r} and also sends {' and '.join(own)}",
                "Do only one of the two: the map would not show which references were used.",
            )
        return self.references.get(name)

    def _pair_of_request(self, frames: Mapping[str, Frame], model: ServedModel) -> ReferencePair:
        missing = [role for role in ("white", "dark") if role not in frames]
        if missing:
            raise UsageError(
                "request",
                f"has no {' and no '.join(missing)} reference",
                "Send white and dark with the frame, or PUT them to /v1/references/ID once and name that id.",
            )
        return pair_of_frames("request", frames, {}, model.engine, None)


def _open_archive(settings: ServiceSettings) -> Archive | None:
    asked = settings.archive
    if asked is None:
        return None
    from gliomap.serving.archive import Archive  # loads its database library, which nothing else needs

    return Archive.open(asked.folder, database=asked.database, keep_ids=asked.keep_ids, least_free=asked.least_free)


def _findings(ask: Ask, raw: Frame, pair: ReferencePair, sensor: MosaicSensor) -> tuple[Finding, ...]:
    """What the checks notice in a frame; a stream only has time for shadows, which come and go while it runs."""
    if ask.kind == "stream":
        return inspect_shadows(raw.data, pair.shadow_floor, sensor)
    white, dark = pair.white.data, pair.dark.data
    return check_raw(raw.data, white, dark, sensor, pair.exposures, white_dark=pair.second_dark)


def _header(text: str) -> str:
    """`text` in the form that a header may hold."""
    return text.encode("ascii", "replace").decode()


def _origin(ask: Ask, mapped: Mapped) -> str:
    """The origin stated in a picture: model, references and the frame's own time; the same for every run."""
    taken_at = mapped.raw.taken_at
    references = "its own references" if ask.references is None else f"references {ask.references}"
    moment = "frame of unknown time" if taken_at is None else f"frame of {taken_at:%Y-%m-%d %H:%M:%S}"
    return f"{mapped.model.engine.bundle.caption} · {references} · {moment}"
