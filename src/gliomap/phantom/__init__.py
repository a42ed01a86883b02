"""Synthetic patients from tissue optics: reflectance, scene, camera, labels."""

from gliomap.phantom._difficulty import DIFFICULTIES, Difficulty, get_difficulty
from gliomap.phantom._patient import Patient, draw_patients
from gliomap.phantom._render import DEFAULT_SENSOR, RenderedPatient, render_patient
from gliomap.phantom._study import make_phantom, refuse_target

__all__ = [
    "DEFAULT_SENSOR",
    "DIFFICULTIES",
    "Difficulty",
    "Patient",
    "RenderedPatient",
    "draw_patients",
    "get_difficulty",
    "make_phantom",
    "refuse_target",
    "render_patient",
]
