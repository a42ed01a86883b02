"""A tour of a study: patients, captures, labels, spectra.

gliomap phantom study --patients 3 --difficulty easy
python examples/tour_of_a_study.py study
"""

import sys

import numpy as np

from gliomap.studies import check_study, open_study
from gliomap.taxonomy import THESIS_CLASSES, code_name

study = open_study(sys.argv[1])
print(f"{study.name}: {len(study.patients)} patients, {len(study.capture_ids)} captures")

for patient, captures in study.patients.items():
    for capture in captures:
        cube, codes = study.cube(capture), study.codes(capture)
        labelled = np.count_nonzero(codes)
        print(f"{patient} {capture}: {cube.height}×{cube.width}×{cube.n_bands}, {labelled} labelled pixels")
        for code in np.unique(codes[codes > 0]):
            print(f"    {code} {code_name(int(code))}: {np.count_nonzero(codes == code)}")

# A dataset file holds the labelled spectra as rows, in MATLAB's column-major order.
spectra = study.dataset(study.capture_ids[0])
print(f"{study.capture_ids[0]} has {spectra.data.shape[0]} spectra of {spectra.data.shape[1]} bands")
for tissue in THESIS_CLASSES.classes:
    mine = spectra.data[spectra.classes == tissue.index]
    if len(mine):
        print(f"    {tissue.name}: brightest at band {int(mine.mean(axis=0).argmax())}")

check = check_study(study)
print("sound" if check.ok else "not sound", *(finding.message for finding in check.findings), sep="\n    ")
