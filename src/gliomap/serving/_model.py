"""The served model: verified, loaded, tried on a frame, and replaced only by one that passes the same."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gliomap.engine import BackendName, Engine
from gliomap.errors import BundleError
from gliomap.serving._synthetic import synthetic_frames

__all__ = ["ServedModel", "load_model"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model that is ready to serve.

    Attributes
    ----------
    engine
        Has its graphs loaded and has run them.
    version
        Version in a registry; empty without one.
    since
        When it began to serve, UTC.
    """

    engine: Engine
    version: str
    since: datetime

    @property
    def name(self) -> str:
        """Name in its manifest."""
        return self.engine.manifest.name

    @property
    def identity(self) -> str:
        """SHA-256 of its manifest."""
        return self.engine.bundle.identity


def load_model(
    path: Path, backend: BackendName, threads: int | None, max_reference_age: timedelta | None, version: str = ""
) -> ServedModel:
    """Open a bundle, load its graphs and classify a synthetic frame twice.

    Raises
    ------
    BundleError
        It fails verification, accepts cubes only, or its graph does not run.
    UsageError
        The backend cannot run it.
    """
    engine = Engine.open(path, backend=backend, threads=threads, max_reference_age=max_reference_age)
    engine.bundle.require_frames()
    engine.load()
    _try_out(engine)
    model = ServedModel(engine, version, datetime.now(UTC))
    logger.info("serving %s (%s) with %s", model.name, model.identity[:12], backend)
    if engine.bundle.caution is not None:
        logger.warning(engine.bundle.caution)
    return model


def _try_out(engine: Engine) -> None:
    """Run a real inference, and a second one, because the first allocates what later ones reuse."""
    frames, now = synthetic_frames(engine.sensor), datetime.now(UTC)
    references = engine.prepare(frames.white, frames.dark, taken_at=now)
    for _ in range(2):
        tissue = engine.classify_frame(frames.raw, references, taken_at=now)
        if tissue.blanked is not None or not tissue.mask.any():
            raise BundleError(
                engine.bundle.path,
                f"classifies no pixel of an evenly lit frame ({tissue.blanked or 'all pixels are masked'})",
                "Create the bundle again; `gliomap bundle verify` shows details.",
            )
