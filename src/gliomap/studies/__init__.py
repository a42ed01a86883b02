"""Studies: a folder of patients in the thesis's layout.

Reading and writing its files, study.toml, the check, and splits by patient with a fingerprint.
"""

from __future__ import annotations

from gliomap.studies._arrays import (
    ClassMap,
    LabelledSpectra,
    class_map,
    labelled_spectra,
    read_codes,
    read_cube_file,
    read_dataset,
)
from gliomap.studies._check import check_study
from gliomap.studies._duplicates import Duplicate
from gliomap.studies._fill import FillReport, fill_preprocessed
from gliomap.studies._find_crop import find_crop
from gliomap.studies._findings import CaptureRow, Finding, StudyCheck
from gliomap.studies._folds import PROTOCOLS, USUAL_FOLDS, Folds, Protocol, refuse_unheeded
from gliomap.studies._holdout import make_holdout
from gliomap.studies._layout import CaptureFiles, capture_files
from gliomap.studies._made_with import made_with
from gliomap.studies._mat import list_mat, read_mat, write_mat
from gliomap.studies._mat5 import MatVariable
from gliomap.studies._open import is_study, open_study, study_of_file
from gliomap.studies._pixel_parts import PixelParts
from gliomap.studies._prepared import chain_of, read_chain, read_prepared
from gliomap.studies._protocols import deal_patients, make_folds
from gliomap.studies._settings import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    StudySettings,
    read_study_toml,
    write_study_toml,
)
from gliomap.studies._split import ROLES, Split
from gliomap.studies._study import SensorLike, Study
from gliomap.studies._usable import require_aligned, require_equal_bands
from gliomap.studies._write import (
    write_capture_files,
    write_cube,
    write_dataset,
    write_datasets,
    write_frames,
    write_map,
)

__all__ = [
    "PROTOCOLS",
    "ROLES",
    "USUAL_FOLDS",
    "CaptureFiles",
    "CaptureRow",
    "CaptureSettings",
    "ClassMap",
    "Crop",
    "Duplicate",
    "ExposureTimes",
    "FillReport",
    "Finding",
    "Folds",
    "LabelledSpectra",
    "MatVariable",
    "PixelParts",
    "Protocol",
    "SensorLike",
    "Split",
    "Study",
    "StudyCheck",
    "StudySettings",
    "capture_files",
    "chain_of",
    "check_study",
    "class_map",
    "deal_patients",
    "fill_preprocessed",
    "find_crop",
    "is_study",
    "labelled_spectra",
    "list_mat",
    "made_with",
    "make_folds",
    "make_holdout",
    "open_study",
    "read_chain",
    "read_codes",
    "read_cube_file",
    "read_dataset",
    "read_mat",
    "read_prepared",
    "read_study_toml",
    "refuse_unheeded",
    "require_aligned",
    "require_equal_bands",
    "study_of_file",
    "write_capture_files",
    "write_cube",
    "write_dataset",
    "write_datasets",
    "write_frames",
    "write_map",
    "write_mat",
    "write_study_toml",
]
