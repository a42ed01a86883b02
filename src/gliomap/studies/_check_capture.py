"""Check of one capture: each of its files, then their consistency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gliomap._text import counted
from gliomap.captures import read_frame
from gliomap.errors import GlioMapError, MachineError, machine_error
from gliomap.preprocessing import HyperCube, brightness
from gliomap.studies._arrays import labelled_spectra, read_dataset_arrays, read_reference_pixels
from gliomap.studies._find_crop import find_crop
from gliomap.studies._findings import CaptureRow, Finding, Image, Severity
from gliomap.studies._study import Study
from gliomap.taxonomy import ClassSet, code_name

__all__ = ["CaptureCheck"]

DATA_TOLERANCE = 1e-4
"""Absolute and relative tolerance; single precision and summation order cause far smaller differences."""

FRAMES_TOLERANCE, FRAMES_STRAY = 0.01, 0.01
"""Share of a spectrum's brightness by which a cube may differ from its frames, and share of pixels that may exceed it."""

Dataset = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None]
Result = TypeVar("Result")


class CaptureCheck:
    """Reads one capture and collects findings; its arrays live no longer than the object."""

    def __init__(self, study: Study, capture_id: str, classes: ClassSet) -> None:
        self.study, self.capture_id, self.classes = study, capture_id, classes
        self.files = study.files(capture_id)
        self.findings: list[Finding] = []
        self.raw: npt.NDArray[np.uint16] | None = None
        self.cube: HyperCube | None = None
        self.codes: npt.NDArray[np.uint16] | None = None
        self.dataset: Dataset | None = None
        self.image: Image = "cube" if study.has_cube(capture_id) else _frames_of(study, capture_id)

    def run(self) -> None:
        """Check every file of the capture."""
        self._partners()
        if self.files.map.exists():
            self.codes = self._trying(lambda: self.study.codes(self.capture_id))
        if self.files.dataset.exists():
            self.dataset = self._trying(lambda: read_dataset_arrays(self.files.dataset))
        usable_frames = self._frames()
        if self.study.has_cube(self.capture_id):
            self._prepared(usable_frames)
        elif usable_frames:
            self._from_frames()
        if self.codes is not None:
            self._map(self.codes)
        if self.dataset is not None:
            self._dataset(*self.dataset)

    def row(self) -> CaptureRow:
        """The capture's row in the table."""
        codes = self.codes if self.codes is not None else np.zeros((0, 0), np.uint16)
        lookup = self.classes.code_to_class
        values, counts = np.unique(codes[codes != 0], return_counts=True)
        found = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
        unknown = {int(code) for code in self.classes.unknown(values)}
        labelled = {tissue.name: sum(found.get(code, 0) for code in tissue.codes) for tissue in self.classes.classes}
        shape = None if self.cube is None else (self.cube.height, self.cube.width, self.cube.n_bands)
        return CaptureRow(
            capture=self.capture_id,
            patient=self.study.patient_of(self.capture_id),
            image=self.image,
            cube_shape=shape,
            map_shape=None if self.codes is None else (self.codes.shape[0], self.codes.shape[1]),
            labelled=labelled,
            ignored=sum(count for code, count in found.items() if code not in lookup and code not in unknown),
            unknown=sum(count for code, count in found.items() if code in unknown),
            masked=0 if self.cube is None else int((~self.cube.mask).sum()),
            dataset_rows=None if self.dataset is None else len(self.dataset[1]),
        )

    def image_digests(self) -> list[str]:
        """SHA-256 of the pixels of its raw frame and of its cube, if available, whatever else their files contain."""
        arrays = (self.raw, None if self.cube is None else self.cube.data)
        return [hashlib.sha256(one.tobytes()).hexdigest() for one in arrays if one is not None]

    def _add(self, severity: Severity, thing: object, message: str, remedy: str = "") -> None:
        self.findings.append(Finding(severity, str(thing), message, remedy))

    def _trying(self, read: Callable[[], Result]) -> Result | None:
        """Run `read`; turn an unreadable file into a finding."""
        try:
            return read()
        except MachineError:
            raise
        except GlioMapError as error:
            self._add("error", error.thing, error.fault, error.remedy)
        except OSError as error:
            known = machine_error(error)
            fault, remedy = (known.fault, known.remedy) if known else (str(error), "Check the file.")
            self._add("error", error.filename or self.capture_id, fault, remedy)
        return None

    def _partners(self) -> None:
        """Report which of the capture's files are missing."""
        name, files = f"capture {self.capture_id}", self.files
        frames = {"raw": files.raw, "white": files.white, "dark": files.dark}
        missing = [f"{what} ({path.name})" for what, path in frames.items() if not path.exists()]
        if 0 < len(missing) < len(frames):
            self._add(
                "error",
                name,
                f"lacks its {', '.join(missing)} in tif/",
                "Add what is missing, or move the capture's frames elsewhere.",
            )
        has_image = self.study.has_cube(self.capture_id) or not missing
        if files.map.exists() and not has_image:
            self._add(
                "error",
                name,
                "has a ground-truth map but neither a prepared cube nor all three frames",
                f"Add preProcessedImages/{files.cube.name}, or the frames in tif/.",
            )
        elif not files.map.exists() and has_image:
            self._add(
                "warning",
                name,
                "has no ground-truth map: it can be classified, but cannot train or test",
                f"Add GroundTruthMaps/{files.map.name} if there is one.",
            )
        if files.dataset.exists() and not (files.map.exists() and has_image):
            self._add(
                "warning",
                name,
                "has labelled spectra without the cube and map from which they were made, so they cannot be checked",
                "Add the cube and the map.",
            )
        elif files.map.exists() and has_image and not files.dataset.exists():
            self._add(
                "note", name, "has no labelled spectra in datasets/; training reads the cube and the map and needs none"
            )

    def _has_sensor(self) -> bool:
        """Whether the study's sensor can be loaded; if not, the study itself has a finding."""
        try:
            self.study.sensor()
        except GlioMapError:
            return False
        return True

    def _frames(self) -> bool:
        """Check the three frames; return whether a cube can be made from them."""
        if not self.study.has_raw(self.capture_id):
            return False
        if not self._has_sensor():
            self._frames_without_sensor()
            return False
        capture = self._trying(lambda: self.study.capture(self.capture_id, strict=False))
        if capture is None:
            return False
        self.raw = capture.raw
        self.findings += capture.findings
        return all(finding.severity != "error" for finding in capture.findings)

    def _frames_without_sensor(self) -> None:
        """Check that the frames can be read and have the same size."""
        shapes = {}
        files = self.files
        second = [files.white_dark] if files.white_dark.exists() else []
        for path in (files.raw, files.white, files.dark, *second):
            frame = self._trying(partial(read_frame, path))
            if frame is not None:
                shapes[path.name] = frame.data.shape
        if len(set(shapes.values())) > 1:
            sizes = ", ".join(f"{name} {shape[0]}×{shape[1]}" for name, shape in shapes.items())
            self._add("error", f"capture {self.capture_id}", f"its frames differ in size: {sizes}", "Correct them.")

    def _from_frames(self) -> None:
        """Make the cube from the frames; if only the crop is missing, search for it."""
        self.cube = self._trying(lambda: self.study.cube(self.capture_id))
        if self.cube is not None or self.codes is None or self.study.crop(self.capture_id) is not None:
            return
        try:
            crop = find_crop(self.study, self.capture_id)
        except GlioMapError:
            return
        self._add(
            "note",
            f"capture {self.capture_id}",
            f"its labelled spectra lie at row {crop.row}, column {crop.column} of the full-size cube",
            f"Add to study.toml: [captures.{self.capture_id}] crop = {{row = {crop.row}, column = {crop.column},"
            f" height = {crop.height}, width = {crop.width}}}.",
        )

    def _prepared(self, usable_frames: bool) -> None:
        """Read the prepared cube, and check that it was made as study.toml specifies."""
        if self.study.settings.sensor is not None and not self._has_sensor():
            return
        current = self._trying(lambda: self.study.is_prepared(self.capture_id))
        if current is False:
            self.image = _frames_of(self.study, self.capture_id)
            self._add(
                "warning" if usable_frames else "error",
                self.files.cube,
                "was made with another sensor, preprocessing, crop or exposures than study.toml now states",
                "Recreate it with `gliomap preprocess STUDY --overwrite`, or correct study.toml.",
            )
        if current or (current is False and usable_frames):
            self.cube = self._trying(lambda: self.study.cube(self.capture_id))
        if current and self.cube is not None:
            self._as_said(self.cube, usable_frames)

    def _as_said(self, cube: HyperCube, usable_frames: bool) -> None:
        """Check a prepared cube against study.toml, which determines how frames will be prepared."""
        config = self.study.preprocessing
        if cube.units != config.units:
            self._add(
                "warning",
                self.files.cube,
                f"its spectra are not normalised by {config.normalisation!r}, contrary to study.toml or its default: a model"
                " trained on them would misinterpret frames",
                "State in study.toml how they were made ([preprocessing] normalisation = …), or recreate the cube with"
                " `gliomap preprocess STUDY --overwrite`.",
            )
            return
        if not usable_frames:
            return
        try:
            made = self.study.cube_from_frames(self.capture_id)
        except GlioMapError:
            return  # without its crop, there is nothing to compare
        if made.mask.shape != cube.mask.shape:
            return  # the same applies if no map calls for a crop
        both = made.mask & cube.mask
        apart = np.abs(made.data[both] - cube.data[both]).max(axis=-1)
        share = float(np.mean(apart > FRAMES_TOLERANCE * brightness(made.data[both]))) if both.any() else 0.0
        if share > FRAMES_STRAY:
            self._add(
                "warning",
                self.files.cube,
                f"{share:.0%} of its spectra differ from those that its frames yield with the sensor, preprocessing, exposures"
                " and crop of study.toml: a model trained on them would misinterpret frames",
                "Correct study.toml, or recreate the cube with `gliomap preprocess STUDY --overwrite`.",
            )

    def _map(self, codes: npt.NDArray[np.uint16]) -> None:
        for code in self.classes.unknown(codes):
            self._add(
                "error",
                self.files.map,
                f"holds the unknown code {code:g} in {counted(int((codes == code).sum()), 'pixel')},"
                f" the first at {_first(codes == code)}",
                "Correct the map; docs/reference lists the codes.",
            )
        for code, pixels in self.classes.ignored(codes[codes != 0]).items():
            self._add(
                "note",
                self.files.map,
                f"has {counted(pixels, 'pixel')} of code {code} ({code_name(code)}) that training ignores: the code belongs to no class",
            )
        references = self._trying(lambda: read_reference_pixels(self.files.map))
        if references is not None and (outside := references[(references >= codes.shape).any(axis=1)]).size:
            self._add(
                "warning",
                self.files.map,
                f"{len(outside)} of its {len(references)} reference pixels lie outside the map",
                "They are ignored; check that map and image were cropped alike.",
            )
        if not codes.any():
            self._add("warning", self.files.map, "has no labelled pixel", "Label the capture, or exclude it.")
        if self.cube is not None and self.cube.mask.shape == codes.shape:
            masked = int((~self.cube.mask & (codes != 0)).sum())
            if masked:
                self._add(
                    "note", self.files.map, f"{masked:,} of {np.count_nonzero(codes):,} labelled pixels are masked"
                )

    def _dataset(
        self, data: npt.NDArray[np.float32], label: npt.NDArray[np.uint16], classes: npt.NDArray[np.uint16] | None
    ) -> None:
        """Compare labelled spectra with the map and the cube."""
        path = self.files.dataset
        if classes is not None and not self.classes.unknown(label):
            expected = self.classes.from_codes(label)
            wrong = int((expected != classes).sum())
            if wrong:
                self._add(
                    "warning",
                    path,
                    f"label4Classes differs in {wrong:,} of {label.size:,} rows from the classes of label",
                    "Training uses label.",
                )
        if self.codes is None:
            return
        remedy = "Recreate it from cube and map (gliomap.studies.write_datasets), or find out which of them is correct."
        pixels = int(np.count_nonzero(self.codes))
        if pixels != label.size:
            self._add(
                "error",
                path,
                f"has {counted(label.size, 'row')}, and the map {counted(pixels, 'labelled pixel')}",
                remedy,
            )
            return
        in_order = self.codes.T[self.codes.T != 0]
        wrong_rows = np.flatnonzero(in_order != label)
        if wrong_rows.size:
            by_rows = np.array_equal(self.codes[self.codes != 0], label)
            why = "they follow the map row by row" if by_rows else f"the first is row {wrong_rows[0]} (from 0)"
            self._add(
                "error",
                path,
                f"{wrong_rows.size:,} of {label.size:,} rows differ in code from the map read column by column; {why}",
                remedy,
            )
            return
        if self.cube is not None:
            self._spectra(data, self.cube, remedy)

    def _spectra(self, data: npt.NDArray[np.float32], cube: HyperCube, remedy: str) -> None:
        path = self.files.dataset
        if self.codes is None or cube.mask.shape != self.codes.shape or self.classes.unknown(self.codes):
            return
        expected = labelled_spectra(cube.data, self.codes, self.classes).data
        if data.shape[1] != expected.shape[1]:
            self._add("error", path, f"has {data.shape[1]} bands, and the cube {expected.shape[1]}", remedy)
            return
        close = np.isclose(data, expected, rtol=DATA_TOLERANCE, atol=DATA_TOLERANCE)
        wrong_rows = np.flatnonzero(~close.all(axis=1))
        if wrong_rows.size:
            self._add(
                "error",
                path,
                f"{wrong_rows.size:,} of {len(data):,} rows of data differ from the cube's spectra, by up to"
                f" {float(np.abs(data - expected).max()):.3g}; the first is row {wrong_rows[0]} (from 0)",
                remedy,
            )


def _frames_of(study: Study, capture_id: str) -> Image:
    return "frames" if study.has_raw(capture_id) else "none"


def _first(where: npt.NDArray[np.bool_]) -> str:
    row, column = np.argwhere(where)[0]
    return f"row {row}, column {column} (from 0)"
