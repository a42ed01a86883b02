"""Figure of a sensor: what each filter sees, and how bands are computed from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gliomap.errors import SensorError
from gliomap.evaluation._canvas import INK, SOFT_INK, new_figure, quiet_axes, save_figure
from gliomap.sensors import MosaicSensor, Responses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_responses"]


def plot_responses(sensor: MosaicSensor, path: Path) -> None:
    """Draw a sensor's responses by wavelength and its correction matrix to a PNG, or whichever of them is known.

    Responses are coloured by the wavelength of their peak; the ticks below them are the output bands.
    Nominal wavelengths are labelled as nominal.

    Raises
    ------
    SensorError
        Neither responses nor a correction matrix is known.
    MissingExtraError
        matplotlib is not installed.
    """
    if sensor.responses is None and sensor.correction is None:
        raise SensorError(
            f"sensor {sensor.name!r}",
            "has neither measured responses nor a correction matrix to draw",
            "Import its calibration file with `gliomap sensor import`.",
        )
    both = sensor.responses is not None and sensor.correction is not None
    nominal = " (nominal)" if sensor.wavelengths_nominal else ""
    first, last = sensor.wavelengths_nm[0], sensor.wavelengths_nm[-1]
    subtitle = f"{sensor.n_positions} filters, {sensor.n_bands} bands, {first:.0f}–{last:.0f} nm{nominal}"
    if sensor.correction is not None:
        subtitle += f" · band-pass filter: {sensor.correction.bandpass}"
    figure = new_figure(10.5 if both else 6.4, 4.6, f"Sensor {sensor.name}", subtitle)
    axes = figure.subplots(1, 2, width_ratios=(1.25, 1)) if both else [figure.subplots()]
    if sensor.responses is not None:
        _responses(axes[0], sensor, sensor.responses)
    if sensor.correction is not None:
        _matrix(figure, axes[-1], sensor)
    save_figure(figure, path)


def _responses(axes: Axes, sensor: MosaicSensor, responses: Responses) -> None:
    from matplotlib import colormaps

    quiet_axes(axes)
    values = responses.effective()
    grid = responses.wavelengths_nm
    known = sensor.filter_peaks_nm()
    peaks = responses.peaks_nm() if known is None else known
    span = max(1.0, float(np.ptp(peaks)))
    for row, peak in zip(values, peaks, strict=True):
        colour = colormaps["viridis"](0.95 * (peak - peaks.min()) / span)
        axes.plot(grid, row, color=colour, linewidth=1)
    height = float(values.max())
    if responses.rejection_filter is not None:
        scaled = responses.rejection_filter / max(float(responses.rejection_filter.max()), 1e-12) * height
        axes.fill_between(grid, scaled, color="#E6E6E6", zorder=0, label="band-pass filter (scaled)")
        axes.legend(fontsize=7.5, facecolor="white", edgecolor="none", labelcolor=INK, loc="upper left")
    axes.vlines(sensor.wavelengths_nm, -0.045 * height, -0.015 * height, color=INK, linewidth=0.9)
    seen = np.flatnonzero(values.max(axis=0) > 0.03 * height)
    axes.set_xlim(grid[seen[0]], grid[seen[-1]])
    axes.set_ylim(-0.05 * height, 1.12 * height)
    axes.set_xlabel("wavelength, nm (ticks below: output bands)", fontsize=9, color=INK)
    axes.set_ylabel("response, relative", fontsize=9, color=INK)
    axes.set_title("Filter responses, coloured by peak", fontsize=9, color=INK)


def _matrix(figure: Figure, axes: Axes, sensor: MosaicSensor) -> None:
    matrix = sensor.band_matrix()
    reach = float(np.abs(matrix).max())
    image = axes.imshow(matrix, cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, fraction=0.046)
    bar.ax.tick_params(labelsize=7.5, colors=SOFT_INK)
    bar.set_label("weight of the position in the band", fontsize=8, color=INK)
    rows = range(0, sensor.n_bands, max(1, sensor.n_bands // 8))
    axes.set_yticks(list(rows), [f"{sensor.wavelengths_nm[row]:.0f}" for row in rows])
    axes.tick_params(labelsize=8, colors=SOFT_INK)
    axes.set_xlabel("mosaic position (row-major in the tile)", fontsize=9, color=INK)
    axes.set_ylabel("output band, nm", fontsize=9, color=INK)
    axes.set_title("Spectral correction matrix", fontsize=9, color=INK)
