"""Plot the mean spectrum of each tissue class over a study, with the spread between patients.

gliomap phantom study --patients 6 --difficulty realistic
python examples/plot_class_spectra.py study spectra.png
"""

import sys

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from gliomap.studies import open_study
from gliomap.taxonomy import THESIS_CLASSES

study, out = open_study(sys.argv[1]), sys.argv[2]
by_patient: dict[int, list[np.ndarray]] = {tissue.index: [] for tissue in THESIS_CLASSES.classes}
for patient, captures in study.patients.items():
    cubes = [study.cube(capture) for capture in captures]
    labels = [THESIS_CLASSES.from_codes(study.codes(capture)) for capture in captures]
    for index, means in by_patient.items():
        pixels = [cube.data[(classes == index) & cube.mask] for cube, classes in zip(cubes, labels, strict=True)]
        if any(map(len, pixels)):
            means.append(np.concatenate(pixels).mean(axis=0))
    print(f"{patient}: {sum(int(np.count_nonzero(classes)) for classes in labels)} labelled pixels")

wavelengths = cubes[0].wavelengths_nm if cubes[0].wavelengths_nm is not None else np.arange(cubes[0].n_bands)
figure, axes = plt.subplots(figsize=(8, 5))
for tissue in THESIS_CLASSES.classes:
    if means := by_patient[tissue.index]:
        mean, spread = np.mean(means, axis=0), np.std(means, axis=0)
        colour = np.array(tissue.safe_colour) / 255
        axes.plot(wavelengths, mean, color=colour, label=f"{tissue.name} ({len(means)} patients)")
        axes.fill_between(wavelengths, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
axes.set(xlabel="wavelength, nm", ylabel=cubes[0].units, title=study.name)
axes.legend(frameon=False)
figure.savefig(out, dpi=120)
print(f"{out}: means over patients; shaded: one standard deviation between patients")
