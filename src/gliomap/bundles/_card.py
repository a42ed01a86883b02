"""The model card, made from the manifest: what users should know before using a bundle.

Headings follow Mitchell et al. (2019), Model Cards for Model Reporting, https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

from collections.abc import Sequence

from gliomap._text import counted
from gliomap.bundles._manifest import Manifest, Measured

__all__ = ["GROUP", "model_card"]

GROUP = " · "
"""In a metric's name, separates the metric from its group of patients; a plain name means all test patients."""

_INTERVALS = (
    "Values with a number of patients are means over patients, with a 95 % interval if there are six patients or more;"
    " pixels of one patient resemble each other, so they are never the unit of an interval."
)


def model_card(manifest: Manifest) -> str:
    """Markdown, ending in a newline."""
    parts = [
        f"# {manifest.name}",
        "**Research software, not a medical device.** A map never says 'no tumour'.",
        "## Intended use",
        manifest.intended_use,
        "## Model",
        _model(manifest),
        "## Classes",
        _classes(manifest),
        "## Input",
        _input(manifest),
        "## Training data",
        _training(manifest),
        "## Metrics",
        _metrics(manifest),
        "## Backends",
        _backends(manifest),
        "## Limits",
        _limits(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _model(manifest: Manifest) -> str:
    model = manifest.model
    sees = "single spectra" if model.window == 1 else f"windows of {model.window}×{model.window} pixels"
    return (
        f"{model.title} ({model.name}) on {sees} of {model.n_bands} bands, {model.parameters:,} parameters. "
        f"Made {manifest.created_at:%Y-%m-%d} with GlioMap {manifest.gliomap}."
    )


def _classes(manifest: Manifest) -> str:
    rows = [(str(one.index), one.name, ", ".join(map(str, one.codes))) for one in manifest.classes.classes]
    return _table(("class", "name", "codes"), rows)


def _input(manifest: Manifest) -> str:
    config, sensor = manifest.preprocessing, manifest.sensor
    correction = "with" if config.spectral_correction else "without"
    lines = [f"- Preprocessing: {correction} spectral correction, normalisation '{config.normalisation}'."]
    if manifest.wavelengths_nm:
        nominal = ", nominal: not measured" if manifest.wavelengths_nominal else ""
        lines.append(f"- Bands: {manifest.wavelengths_nm[0]:.0f}–{manifest.wavelengths_nm[-1]:.0f} nm{nominal}.")
    else:
        lines.append("- The wavelengths of the bands are not known.")
    if sensor is None:
        lines.append(f"- Preprocessed cubes only, no raw frames: {manifest.no_frame}.")
    else:
        rows, columns = sensor.frame_shape
        lines.append(f"- Raw frames of sensor '{sensor.name}', {rows}×{columns} pixels, {sensor.bit_depth} bits.")
    return "\n".join(lines)


def _training(manifest: Manifest) -> str:
    training = manifest.training
    if training is None:
        return "Nothing is known about its training."
    lines = [f"Study '{training.study}', protocol '{training.protocol}', seed {training.seed}."]
    for role, patients in training.patients.items():
        if patients:
            captures = counted(len(training.captures.get(role, ())), "capture")
            lines.append(f"- {role}: {counted(len(patients), 'patient')}, {captures} ({', '.join(patients)})")
    for role, counts in training.labelled.items():
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        lines.append(f"- labelled pixels, {role}: {told}")
    lines += [f"- {note}" for note in training.notes]
    lines.append(f"- fingerprint of the study {training.study_fingerprint}, of the split {training.split_fingerprint}")
    return "\n".join(lines)


def _metrics(manifest: Manifest) -> str:
    """One table for all test patients, and one for each group."""
    if not manifest.metrics:
        return "Not measured."
    groups: dict[str, list[tuple[str, ...]]] = {}
    for name, one in manifest.metrics.items():
        metric, _, group = name.partition(GROUP)
        groups.setdefault(group, []).append((metric, f"{one.value:.3f}", _interval(one), _patients(one)))
    parts = [f"Measured on {manifest.measured_on}."] if manifest.measured_on else []
    if manifest.training is not None:
        parts.append(f"Protocol '{manifest.training.protocol}'. {_INTERVALS}")
    for group, rows in groups.items():
        parts += [f"### {group[:1].upper()}{group[1:]}"] if group else []
        parts.append(_table(("metric", "value", "interval over patients", "patients"), rows))
    return "\n\n".join(parts)


def _interval(one: Measured) -> str:
    return "" if one.low is None or one.high is None else f"{one.low:.3f}–{one.high:.3f}"


def _patients(one: Measured) -> str:
    return "over all pixels" if one.patients is None else str(one.patients)


def _backends(manifest: Manifest) -> str:
    if not manifest.backends:
        return "Not measured."
    rows = [
        (
            name,
            one.precision,
            f"{one.agreement:.4%}",
            f"{one.largest_difference:.1e}",
            *("" if cost is None else f"{cost:.1f}" for cost in (one.ms_per_frame, one.ms_per_cube)),
        )
        for name, one in manifest.backends.items()
    ]
    header = ("backend", "precision", "labels equal", "largest difference", "ms per frame", "ms per cube")
    return "Compared with the model itself at export, on the machine that exported.\n\n" + _table(header, rows)


def _limits(manifest: Manifest) -> str:
    lines = [
        "- The behaviour on cameras, wavelengths, lamps, tissues and patients other than those above is unknown.",
        "- Confidence is the highest of the probabilities. The calibration error measures how far it can be trusted on"
        " patients like those that were tested; there is no 'don't know'.",
        "- The model was trained on labelled pixels, which lie where the tissue was clear; borders, blood and glare differ."
        " Every classified pixel gets one of the model's classes, even where something else lies.",
        "- Age, sex, treatment and origin of the patients are unknown, so fairness across groups was not assessed.",
        "- Saturated, dark and defective pixels are not classified, nor are spectra of at most"
        f" {manifest.preprocessing.min_brightness:g} of the white's brightness. Lighter shadows are classified: where the"
        " picture is black, a map says nothing.",
    ]
    if manifest.training is None or not manifest.training.patients.get("test"):
        lines.append("- The model was not tested on any unseen patient.")
    elif manifest.training.same_patient:
        who = ", ".join(manifest.training.same_patient)
        lines.append(f"- Patients {who} are in both training and test: the metrics overstate performance.")
    return "\n".join([*lines, *(f"- {note}" for note in manifest.notes)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
