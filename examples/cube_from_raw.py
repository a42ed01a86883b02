"""From raw, white and dark frames to a cube of spectra, step by step.

gliomap phantom study --patients 1 --difficulty easy
python examples/cube_from_raw.py study ID0001C01 cube.npz
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from gliomap.captures import reference_age
from gliomap.preprocessing import PreprocessingConfig, Reason, load_npz, prepare_references, preprocess, save_npz
from gliomap.studies import open_study

study, capture_id, out = open_study(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
capture = study.capture(capture_id)
print(f"sensor {capture.sensor.name}, frame {capture.raw.shape}, references {reference_age(capture)} older")
for finding in capture.findings:
    print(f"{finding.severity}: {finding.thing}: {finding.message}")

# References are prepared once; each frame then takes milliseconds.
config = PreprocessingConfig(normalisation="brightness")
references = prepare_references(capture.white, capture.dark, capture.sensor, config, exposures=capture.exposures)
cube = preprocess(capture.raw, references)
brightness = np.sqrt((cube.data[cube.mask] ** 2).mean(axis=1))
print(f"{cube.units}: {cube.data.shape}, root mean square of a spectrum {brightness.mean():.3f}")
print(f"{np.count_nonzero(~cube.mask)} invalid pixels")
for reason in Reason:
    print(f"    {reason.text}: {np.count_nonzero(cube.reasons & reason)}")

# Without normalisation the cube is reflectance: 0 is the dark frame, 1 the white.
plain = preprocess(capture.raw, replace(references, config=replace(config, normalisation="none")))
print(f"{plain.units}: {plain.data[plain.mask].min():.2f} to {plain.data[plain.mask].max():.2f}")

save_npz(cube, out)
print(f"{out}: {load_npz(out).n_bands} bands from {cube.wavelengths_nm[0]:.0f} to {cube.wavelengths_nm[-1]:.0f} nm")
