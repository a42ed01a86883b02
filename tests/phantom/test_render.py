"""From a patient to three frames and a map, the same each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gliomap.captures import check_references
from gliomap.errors import UsageError
from gliomap.phantom import Patient, RenderedPatient, draw_patients, get_difficulty, render_patient
from gliomap.phantom._difficulty import CameraSpread, SurfaceSpread
from gliomap.preprocessing import PreprocessingConfig, prepare_references, preprocess
from gliomap.sensors import ActiveArea, MosaicSensor


def test_rendering_twice_gives_the_same_frames(
    rendered: RenderedPatient, patients: tuple[Patient, ...], small_sensor: MosaicSensor
) -> None:
    again = render_patient(patients[0], small_sensor)
    for name in ("raw", "white", "dark", "codes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rendered, name))
    assert again.taken_at == rendered.taken_at


def test_another_seed_gives_another_frame(rendered: RenderedPatient, small_sensor: MosaicSensor) -> None:
    other = render_patient(draw_patients(4, seed=6)[0], small_sensor)
    assert np.mean(other.raw != rendered.raw) > 0.5


def test_frames_have_the_type_shape_and_range_of_the_camera(
    rendered: RenderedPatient, small_sensor: MosaicSensor
) -> None:
    for frame in (rendered.raw, rendered.white, rendered.dark):
        assert frame.dtype == np.uint16
        assert frame.shape == small_sensor.frame_shape
        assert frame.max() <= small_sensor.saturation
    assert rendered.codes.shape == small_sensor.cube_shape
    assert 700 < rendered.white.max() < small_sensor.saturation
    assert 0 < np.mean(rendered.raw == small_sensor.saturation) < 0.01  # glints, and little else


def test_references_pass_the_check_of_a_capture(rendered: RenderedPatient, small_sensor: MosaicSensor) -> None:
    findings = check_references(rendered.white, rendered.dark, small_sensor)
    assert [finding for finding in findings if finding.severity == "error"] == []


def test_hardly_any_pixel_is_masked_and_no_labelled_one(rendered: RenderedPatient, small_sensor: MosaicSensor) -> None:
    cube = preprocess(rendered.raw, prepare_references(rendered.white, rendered.dark, small_sensor))
    assert cube.mask.mean() > 0.97
    assert cube.mask[rendered.codes > 0].all()


def test_a_perfect_camera_recovers_the_spectra_of_the_tissue(small_sensor: MosaicSensor) -> None:
    """End to end: patient → scene → frames → chain gives back the spectrum the patient was drawn with."""
    easy = get_difficulty("easy")
    quiet = replace(
        easy,
        surface=SurfaceSpread(0, 0, 0, 0, replace(easy.surface.film_um, centre=0.0), 0, 0, 0),
        camera=CameraSpread(0, 0, 0, (0, 0), (0, 0), 0, (1, 1), 9e6, 11e6, 0),
    )
    (patient,) = draw_patients(1, difficulty=quiet)
    picture = render_patient(patient, small_sensor, label_fraction=0.3)
    config = PreprocessingConfig(normalisation="brightness")
    cube = preprocess(picture.raw, prepare_references(picture.white, picture.dark, small_sensor, config))
    from gliomap.phantom._optics import WAVELENGTHS_NM

    for code, tissue in ((101, patient.grey), (320, patient.dura), (patient.tumour_code, patient.tumour)):
        seen = cube.data[picture.codes == code].mean(axis=0)
        truth = np.interp(small_sensor.wavelengths_nm, WAVELENGTHS_NM, tissue.spectrum())
        truth /= np.sqrt(np.mean(truth**2))
        # Filters are 9–16 nm wide, second lobes are not corrected completely, and 950 nm lies on the flank of the water band.
        assert np.abs(seen - truth).max() < 0.08
        assert np.sqrt(np.mean((seen - truth) ** 2)) < 0.03


def test_the_active_area_may_start_anywhere(patients: tuple[Patient, ...], small_sensor: MosaicSensor) -> None:
    area = small_sensor.active_area
    rows, columns = area.height + 9, area.width + 7
    shifted = replace(small_sensor, frame_shape=(rows, columns), active_area=ActiveArea(4, 2, area.height, area.width))
    picture = render_patient(patients[0], shifted)
    assert picture.raw.shape == (rows, columns)
    cube = preprocess(picture.raw, prepare_references(picture.white, picture.dark, shifted))
    assert cube.mask.mean() > 0.97


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5])
def test_a_label_fraction_out_of_range_is_refused(
    patients: tuple[Patient, ...], small_sensor: MosaicSensor, fraction: float
) -> None:
    with pytest.raises(UsageError, match="label_fraction"):
        render_patient(patients[0], small_sensor, label_fraction=fraction)


def test_a_small_frame_still_shows_every_class(small_sensor: MosaicSensor) -> None:
    for patient in draw_patients(3, difficulty="moderate"):
        codes = render_patient(patient, small_sensor, label_fraction=0.3).codes
        assert {101, 301, 302, 320, patient.tumour_code} <= set(np.unique(codes).tolist())
