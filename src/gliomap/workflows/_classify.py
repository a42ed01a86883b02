"""Classify: applies a bundle to one frame, cube or capture → map, pictures and result.json."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap import __version__
from gliomap._files import atomic_folder, refuse_existing, write_json
from gliomap.engine import (
    LABELS,
    MAP,
    OVERLAY,
    PROBABILITIES,
    RESULT,
    BackendName,
    Engine,
    Precision,
    TissueMap,
    class_shares,
    npy_bytes,
)
from gliomap.errors import UsageError
from gliomap.preprocessing import HyperCube, reason_counts, reflectance
from gliomap.rendering import Picture, map_picture, overlay_picture, save_png, synthetic_rgb
from gliomap.sensors import MosaicSensor
from gliomap.workflows._inputs import Loaded, Source, load_input
from gliomap.workflows._result import BundleOrigin, ClassificationResult

__all__ = ["DEFAULT_REFERENCE_AGE", "Classification", "ClassifyOptions", "classify"]

logger = logging.getLogger(__name__)

DEFAULT_REFERENCE_AGE = timedelta(minutes=60)
"""A cautious guess: lamps drift and cameras warm up, and how fast they do has not been measured here."""


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How to classify.

    Attributes
    ----------
    backend, precision, threads
        See `gliomap.engine.Engine`.
    palette
        'classic' or 'safe'.
    sensor
        The camera in use; a bundle for another camera is refused.
    max_reference_age
        References taken further from the frame than this blank the map, and so do references of unknown
        age. With None the limit is `DEFAULT_REFERENCE_AGE`, and an unknown age is only a warning.
    """

    backend: BackendName = "onnxruntime"
    precision: Precision = "f32"
    threads: int | None = None
    palette: str = "classic"
    sensor: MosaicSensor | None = None
    max_reference_age: timedelta | None = None


@dataclass(frozen=True, eq=False)
class Classification:
    """A map, its picture and its record.

    Attributes
    ----------
    tissue
        Labels, probabilities, confidence, reasons.
    rgb
        (H, W, 3) synthetic false-colour picture of the same pixels.
    truth
        (H, W) classes of the ground truth, if the source has one.
    result
        The content of result.json.
    folder
        The folder written, or None.
    """

    tissue: TissueMap
    rgb: Picture
    truth: npt.NDArray[np.uint8] | None
    result: ClassificationResult
    folder: Path | None


def classify(
    bundle: str | Path,
    source: Source,
    *,
    out: Path | None = None,
    options: ClassifyOptions | None = None,
    overwrite: bool = False,
) -> Classification:
    """Classify one frame, cube or capture.

    Parameters
    ----------
    bundle
        Folder or .zip.
    source
        `FrameFiles`, `CubeFile` or `StudyCapture`.
    out
        Folder to write: labels.npy (uint8 H×W, 0 = not classified), probabilities.npy (float32 H×W×C),
        map.png, overlay.png, result.json. It appears once it is complete.
    options
        See `ClassifyOptions`.
    overwrite
        Replace an earlier result at `out`.

    Raises
    ------
    OutputExistsError
        `out` exists.
    BundleError
        The bundle is damaged, too new, or for another sensor, or it takes only cubes and got frames.
    CaptureError, ReferenceFrameError, CubeError, StudyError
        The input cannot be used.
    """
    asked = options or ClassifyOptions()
    if out is not None:
        refuse_existing(out, overwrite=overwrite, mark=RESULT)
    engine = Engine.open(
        bundle,
        backend=asked.backend,
        precision=asked.precision,
        threads=asked.threads,
        sensor=asked.sensor,
        max_reference_age=DEFAULT_REFERENCE_AGE if asked.max_reference_age is None else asked.max_reference_age,
    )
    loaded = load_input(source, engine)
    engine.load()  # before the timing of the first frame starts
    tissue, rgb, warnings = _classified(engine, loaded, asked)
    if asked.precision == "reduced":
        warnings.append(_how_reduced(engine))
    if engine.bundle.caution is not None and not loaded.synthetic:
        warnings.append(engine.bundle.caution)
    for warning in warnings:
        logger.warning(warning)
    if tissue.blanked is not None:
        logger.warning("the map is blank: %s", tissue.blanked)
    result = _result(engine, bundle, loaded, tissue, (*loaded.warnings, *warnings), asked)
    done = Classification(tissue, rgb, loaded.truth, result, None)
    if out is None:
        return done
    whose = f"{result.input.capture or _stem(result)}{' (synthetic patient)' if loaded.synthetic else ''}"
    return _write(done, out, whose, engine.bundle.caption, overwrite=overwrite)


def _classified(engine: Engine, loaded: Loaded, asked: ClassifyOptions) -> tuple[TissueMap, Picture, list[str]]:
    """The map, its picture, and the warnings about both."""
    if isinstance(loaded.content, HyperCube):
        if asked.max_reference_age is not None:
            raise UsageError(
                loaded.record.capture or loaded.record.files.get("cube", "cube"),
                "is preprocessed, so the age of its references is unknown",
                "Classify its frames, or set no limit on the age of references.",
            )
        return engine.classify_cube(loaded.content), synthetic_rgb(loaded.content), []
    capture, warnings = loaded.content, []
    references = engine.prepare(
        capture.white,
        capture.dark,
        exposures=capture.exposures,
        white_dark=capture.white_dark,
        taken_at=capture.references_taken_at,
    )
    if loaded.record.reference_age_minutes is None and asked.max_reference_age is None:
        engine.max_reference_age = None
        warnings.append(
            "the age of the references is unknown: raw, white or dark has no DateTime. Old references make maps wrong"
        )
    tissue = engine.classify_frame(capture.raw, references, taken_at=capture.taken_at)
    return tissue, synthetic_rgb(reflectance(capture.raw, references)), warnings


def _how_reduced(engine: Engine) -> str:
    """How reliable reduced precision is with this bundle."""
    measured = [one for one in engine.manifest.backends.values() if one.precision == "reduced"]
    if measured:
        return (
            f"reduced precision: on the artificial scene of the export, {measured[0].agreement:.1%} of labels equalled the"
            " model's own; on tissue it can be fewer"
        )
    return (
        "reduced precision: how many labels differ from the model's own was not measured for this bundle"
        " (gliomap bundle create --reduced-precision)"
    )


def _result(
    engine: Engine,
    bundle: str | Path,
    loaded: Loaded,
    tissue: TissueMap,
    warnings: tuple[str, ...],
    asked: ClassifyOptions,
) -> ClassificationResult:
    classified = int(np.count_nonzero(tissue.labels))
    return ClassificationResult(
        gliomap=__version__,
        created_at=datetime.now(UTC).replace(microsecond=0),
        bundle=BundleOrigin(path=str(bundle), identity=tissue.bundle, name=engine.manifest.name),
        backend=engine.backend,
        precision=engine.precision,
        sensor=None if engine.bundle.sensor is None else engine.bundle.sensor.name,
        input=loaded.record,
        shape=(tissue.height, tissue.width),
        classes=class_shares(tissue, asked.palette),
        classified=classified,
        not_classified=tissue.labels.size - classified,
        invalid=reason_counts(tissue.reasons),
        blanked=tissue.blanked,
        warnings=warnings,
        timings_ms={stage: round(1000 * seconds, 3) for stage, seconds in tissue.timings.items()},
        palette=asked.palette,
        files={},
    )


def _write(done: Classification, out: Path, whose: str, subtitle: str, *, overwrite: bool) -> Classification:
    tissue, result = done.tissue, done.result
    palette, warnings = result.palette, result.warnings
    files = {"labels": LABELS, "probabilities": PROBABILITIES, "map": MAP, "overlay": OVERLAY}
    written = replace(done, result=result.model_copy(update={"files": files}), folder=out)
    with atomic_folder(out, overwrite=overwrite) as folder:
        (folder / LABELS).write_bytes(npy_bytes(tissue.labels))
        (folder / PROBABILITIES).write_bytes(npy_bytes(tissue.probabilities))
        picture = map_picture(
            tissue,
            done.rgb,
            truth=done.truth,
            palette=palette,
            title=f"Tissue map · {whose}",
            subtitle=subtitle,
            warnings=warnings,
        )
        save_png(picture, folder / MAP)
        over = overlay_picture(
            tissue,
            done.rgb,
            palette=palette,
            by_confidence=True,
            title=f"Tissue map over its picture · {whose}",
            subtitle=subtitle,
            warnings=warnings,
        )
        save_png(over, folder / OVERLAY)
        write_json(folder / RESULT, written.result.model_dump(mode="json"))
    return written


def _stem(result: ClassificationResult) -> str:
    return Path(result.input.files.get("raw") or result.input.files.get("cube", "")).stem
