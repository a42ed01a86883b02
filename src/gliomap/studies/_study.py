"""A study: a folder of patients, each with captures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from gliomap.captures import Capture, Exposures, read_capture
from gliomap.errors import StudyError, TaxonomyError
from gliomap.preprocessing import HyperCube, PreprocessingConfig, preprocess_capture
from gliomap.sensors import MosaicSensor, get_sensor, sensor_file
from gliomap.studies._align import aligned
from gliomap.studies._arrays import (
    ClassMap,
    LabelledSpectra,
    class_map,
    read_codes,
    read_dataset,
    read_reference_pixels,
)
from gliomap.studies._layout import CaptureFiles, capture_files, patient_in
from gliomap.studies._made_with import made_otherwise
from gliomap.studies._prepared import chain_of, read_chain, read_prepared
from gliomap.studies._settings import CaptureSettings, Crop, StudySettings
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

__all__ = ["SensorLike", "Study"]

SensorLike = str | Path | MosaicSensor
"""A sensor, its name in the registry, or a path to its description."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study folder in the thesis's layout.

    Attributes
    ----------
    root
        The folder.
    settings
        Content of its study.toml.
    capture_ids
        Every capture named by any file, sorted.
    endings
        Frames with an extension such as .TIF or .tiff: path as GlioMap writes it → actual path.
    unread
        Existing frames and prepared cubes to ignore; see `Split.verify`.
    """

    root: Path
    settings: StudySettings
    capture_ids: tuple[str, ...]
    endings: Mapping[Path, Path] = field(default_factory=dict)
    unread: frozenset[Path] = frozenset()

    @property
    def name(self) -> str:
        """The name in study.toml, else the folder's."""
        return self.settings.name or self.root.resolve().name

    @cached_property
    def patients(self) -> Mapping[str, tuple[str, ...]]:
        """Patient → captures, both sorted; aliases in study.toml are resolved."""
        grouped: dict[str, list[str]] = {}
        for capture_id in self.capture_ids:
            grouped.setdefault(self.patient_of(capture_id), []).append(capture_id)
        return MappingProxyType({patient: tuple(grouped[patient]) for patient in sorted(grouped)})

    def patient_of(self, capture_id: str) -> str:
        """The patient of a capture: 'ID0018' for 'ID0018C09', unless study.toml has an alias."""
        patient = patient_in(capture_id)
        return self.settings.aliases.get(patient, patient)

    def files(self, capture_id: str) -> CaptureFiles:
        """Paths of a capture's files, whether they exist or not.

        Raises
        ------
        StudyError
            The study does not have this capture.
        """
        if capture_id not in self.capture_ids:
            raise StudyError(
                f"capture {capture_id!r}", f"is not in {self.root}", f"It has: {', '.join(self.capture_ids)[:500]}."
            )
        files = capture_files(self.root, capture_id)
        frames = ("raw", "white", "dark", "white_dark")
        return replace(files, **{name: self.located(getattr(files, name)) for name in frames})

    def located(self, path: Path) -> Path:
        """Actual location of a file that GlioMap would write at `path`."""
        return self.endings.get(path, path)

    def _reads(self, path: Path) -> bool:
        return path.exists() and path not in self.unread

    def has_raw(self, capture_id: str) -> bool:
        """Whether raw, white and dark frames all exist."""
        files = self.files(capture_id)
        return all(self._reads(path) for path in (files.raw, files.white, files.dark))

    def has_cube(self, capture_id: str) -> bool:
        """Whether a pre-processed cube exists."""
        return self._reads(self.files(capture_id).cube)

    def has_map(self, capture_id: str) -> bool:
        """Whether a ground-truth map exists."""
        return self.files(capture_id).map.exists()

    @property
    def labelled(self) -> tuple[str, ...]:
        """Captures that can train and test: those with a ground-truth map, and a prepared cube or all three frames."""
        return tuple(
            capture_id
            for capture_id in self.capture_ids
            if self.has_map(capture_id) and (self.has_cube(capture_id) or self.has_raw(capture_id))
        )

    @property
    def preprocessing(self) -> PreprocessingConfig:
        """How this study's cubes are made: as study.toml states, else the default chain, which is the thesis's."""
        return self.settings.preprocessing or PreprocessingConfig()

    def capture_settings(self, capture_id: str) -> CaptureSettings:
        """Settings of a capture in study.toml; the exposures for all captures apply if it has none of its own."""
        own = self.settings.capture(capture_id)
        return CaptureSettings(crop=own.crop, exposures=own.exposures or self.settings.exposures)

    def crop(self, capture_id: str) -> Crop | None:
        """Where the capture's map lies in the full-size cube, if study.toml states it."""
        return self.settings.capture(capture_id).crop

    def exposures(self, capture_id: str) -> Exposures | None:
        """Exposure times of a capture, if study.toml states them for it or for all captures."""
        times = self.capture_settings(capture_id).exposures
        return None if times is None else Exposures(**times.model_dump())

    def sensor(self, override: SensorLike | None = None) -> MosaicSensor:
        """The study's sensor: `override`, else the sensor in study.toml.

        Raises
        ------
        StudyError
            Neither specifies one.
        SensorError
            The sensor cannot be found or read.
        """
        if isinstance(override, MosaicSensor):
            return override
        if override is not None:
            return get_sensor(override)
        return self._named_sensor

    def capture(self, capture_id: str, sensor: SensorLike | None = None, *, strict: bool = True) -> Capture:
        """Read the frames of a capture, including a second dark if there is one.

        Parameters
        ----------
        capture_id
            One of `capture_ids`.
        sensor
            Overrides the sensor in study.toml.
        strict
            Raise errors about implausible frames; if False, they become findings.

        Raises
        ------
        StudyError
            A frame is missing, or no sensor is named.
        CaptureError
            A frame cannot be used.
        """
        files = self.files(capture_id)
        missing = [path.name for path in (files.raw, files.white, files.dark) if not self._reads(path)]
        if missing:
            raise StudyError(
                f"capture {capture_id}",
                f"lacks {', '.join(missing)} in {files.raw.parent}",
                "Add the missing frames, or use its pre-processed cube.",
            )
        return read_capture(
            files.raw,
            files.white,
            files.dark,
            self.sensor(sensor),
            white_dark=files.white_dark if self._reads(files.white_dark) else None,
            exposures=self.exposures(capture_id),
            msb_aligned=self.settings.msb_aligned,
            strict=strict,
        )

    def cube(
        self, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
    ) -> HyperCube:
        """The cube of a capture, aligned with its ground-truth map if it has one.

        It is read from preProcessedImages/ if the cube there fits the request, else made from tif/ in memory.

        Parameters
        ----------
        capture_id
            One of `capture_ids`.
        sensor
            Overrides the sensor in study.toml.
        config
            Overrides the preprocessing in study.toml. A prepared cube is used only if it was made accordingly.

        Raises
        ------
        StudyError
            There is neither a suitable cube nor frames; a sensor is needed but not named; the number of bands differs
            from the sensor's; or cube and map differ in size and study.toml has no matching crop.
        CubeError, CaptureError
            A file cannot be used.
        """
        wanted = config or self.preprocessing
        if self.is_prepared(capture_id, sensor, config):
            named = sensor is not None or self.settings.sensor is not None
            cube = read_prepared(self.files(capture_id).cube, self.sensor(sensor) if named else None, wanted)
            return self._aligned(capture_id, cube)
        if self.has_raw(capture_id):
            return self.cube_from_frames(capture_id, sensor, wanted)
        raise self.no_cube(capture_id, sensor, config)

    def cube_from_frames(
        self, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
    ) -> HyperCube:
        """Make the cube from tif/, regardless of preProcessedImages/; aligned with the map as in `cube`.

        Parameters
        ----------
        capture_id, sensor, config
            See `cube`.
        """
        return self._aligned(capture_id, self.full_cube(capture_id, sensor, config))

    def full_cube(
        self, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
    ) -> HyperCube:
        """Make the cube from tif/ at the full size of the sensor, without a crop.

        Parameters
        ----------
        capture_id, sensor, config
            See `cube`.
        """
        return preprocess_capture(self.capture(capture_id, sensor), config or self.preprocessing)

    def is_prepared(
        self, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
    ) -> bool:
        """Whether preProcessedImages/ holds the requested cube of the capture.

        GlioMap's own files record how they were made. Files of other software are assumed to match study.toml.

        Parameters
        ----------
        capture_id, sensor, config
            See `cube`.
        """
        if not self.has_cube(capture_id):
            return False
        wanted = config or self.preprocessing
        named = sensor is not None or self.settings.sensor is not None
        chain = read_chain(self.files(capture_id).cube)
        if chain is not None and named:
            return np.array_equal(chain, chain_of(self.sensor(sensor), wanted, self.capture_settings(capture_id)))
        return wanted == self.preprocessing and self._sensor_agrees(sensor)

    def sources(self, capture_id: str, sensor: SensorLike | None = None) -> tuple[Path, ...]:
        """The files that `cube` and `codes` read: the prepared cube or the frames, and the map if there is one.

        Parameters
        ----------
        capture_id, sensor
            See `cube`.
        """
        files = self.files(capture_id)
        prepared = self.is_prepared(capture_id, sensor)
        images = (files.cube,) if prepared else (files.raw, files.white, files.dark, files.white_dark)
        return tuple(path for path in (*images, files.map) if self._reads(path))

    def codes(self, capture_id: str) -> npt.NDArray[np.uint16]:
        """Tissue codes of a capture, (H, W) uint16, aligned with `cube`.

        Raises
        ------
        StudyError
            No map, or one that cannot be read.
        """
        files = self.files(capture_id)
        if not files.map.exists():
            raise StudyError(f"capture {capture_id}", f"has no ground-truth map ({files.map})", "Add it.")
        return read_codes(files.map)

    def class_map(self, capture_id: str, classes: ClassSet = THESIS_CLASSES) -> ClassMap:
        """Labels of a capture as a model sees them, (H, W), aligned with `cube`.

        Raises
        ------
        StudyError
            No map, or one that cannot be read.
        TaxonomyError
            The map holds a code that is not in the taxonomy.
        """
        codes = self.codes(capture_id)
        try:
            return class_map(codes, classes)
        except TaxonomyError as error:
            raise TaxonomyError(self.files(capture_id).map, error.fault, error.remedy) from error

    def reference_pixels(self, capture_id: str) -> npt.NDArray[np.bool_]:
        """Pixels from which the labels of a capture grew, (H, W) bool, aligned with `codes`.

        The thesis's files store them next to the map; the result is all False for other files. Pixels outside the map are
        dropped.

        Raises
        ------
        StudyError
            No map, or one that cannot be read.
        """
        shape = self.codes(capture_id).shape
        pixels = read_reference_pixels(self.files(capture_id).map)
        marked = np.zeros(shape, np.bool_)
        marked[tuple(pixels[(pixels < shape).all(axis=1)].T)] = True
        return marked

    def dataset(self, capture_id: str, classes: ClassSet = THESIS_CLASSES) -> LabelledSpectra:
        """Labelled spectra of a capture, from its file in datasets/.

        Raises
        ------
        StudyError
            The file is missing or cannot be read.
        """
        files = self.files(capture_id)
        if not files.dataset.exists():
            raise StudyError(
                f"capture {capture_id}",
                f"has no labelled spectra ({files.dataset})",
                "Create them from cube and map with gliomap.studies.write_datasets.",
            )
        return read_dataset(files.dataset, classes)

    @cached_property
    def _named_sensor(self) -> MosaicSensor:
        named = self.settings.sensor
        if named is None:
            raise StudyError(
                self.root,
                "names no sensor",
                'Add --sensor NAME, or add sensor = "NAME" to its study.toml (`gliomap sensor list` shows names).',
            )
        return get_sensor(named if sensor_file(named) is None else self.root / named)

    def _sensor_agrees(self, override: SensorLike | None) -> bool:
        """Whether prepared cubes belong to the requested sensor, as far as study.toml states."""
        if override is None or self.settings.sensor is None:
            return True
        return self.sensor(override).fingerprint() == self.sensor().fingerprint()

    def no_cube(self, capture_id: str, sensor: SensorLike | None, config: PreprocessingConfig | None) -> StudyError:
        """The error to raise if a capture has neither the requested cube nor frames.

        Parameters
        ----------
        capture_id, sensor, config
            See `cube`.
        """
        if not self.has_cube(capture_id):
            return StudyError(
                f"capture {capture_id}",
                f"has neither a pre-processed cube nor raw, white and dark frames in {self.root}",
                "Add its file in preProcessedImages/ or its three frames in tif/.",
            )
        named = self.sensor() if self.settings.sensor is not None else None
        said = (named, self.preprocessing)
        wanted = (named if sensor is None else self.sensor(sensor), config or self.preprocessing)
        settings = self.capture_settings(capture_id)
        return made_otherwise(self.files(capture_id).cube, wanted, said, settings, capture_id)

    def _aligned(self, capture_id: str, cube: HyperCube) -> HyperCube:
        return aligned(cube, self.crop(capture_id), self.files(capture_id).map, capture_id)
