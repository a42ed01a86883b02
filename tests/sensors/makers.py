"""Made-up calibration files of a vendor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["MATRICES", "PEAKS", "first_shape", "numbers", "second_shape"]

PEAKS = (700.0, 500.0, 800.0, 600.0)
MATRICES = {
    "short pass": [[0.0, 1.1, -0.1, 0.0], [0.0, 0.0, 0.2, 0.8], [0.9, 0.1, 0.0, 0.0]],
    "long pass": [[0.0, 0.02, -0.001, 0.0], [0.0, 0.0, 0.001, 0.03]],
}


def numbers(values: object, separator: str = ", ") -> str:
    return separator.join(f"{value:.7e}" for value in np.ravel(np.asarray(values, float)))


def second_shape(
    *,
    attribute: bool = False,
    points: bool = True,
    peaks: bool = True,
    lobes: Mapping[int, float] | None = None,
    **matrices: list[list[float]],
) -> str:
    """A calibration file of the second shape, of a 2×2 mosaic; `lobes`: position → where its higher second lobe is."""
    grid = np.arange(450.0, 851.0, 10.0)

    def filter_(position: int, peak: float) -> str:
        told = f'<peaks><peak order="1"><wavelength_nm>{peak}</wavelength_nm></peak></peaks>' if peaks else ""
        curve = np.exp(-(((grid - peak) / 20) ** 2))
        if lobes and position in lobes:
            curve += 1.5 * np.exp(-(((grid - lobes[position]) / 20) ** 2))
        return f'<band index="{position}" selected="true">{told}<response>{numbers(curve)}</response></band>'

    bands = "".join(filter_(position, peak) for position, peak in reversed(list(enumerate(PEAKS))))

    def row(values: list[float], wavelength: float) -> str:
        inside = (
            f'<coefficients values="{numbers(values, " ")}"/>'
            if attribute
            else f"<coefficients>{numbers(values)}</coefficients>"
        )
        wave = f"<wavelength_nm>{wavelength}</wavelength_nm><fwhm_nm>15</fwhm_nm>"
        return f"<virtual_band>{wave}{inside}</virtual_band>"

    blocks = "".join(
        f"<correction_matrix><name>{name}</name><virtual_bands>"
        + "".join(row(values, 500.0 + 100 * i) for i, values in reversed(list(enumerate(rows))))
        + "</virtual_bands></correction_matrix>"
        for name, rows in (matrices or MATRICES).items()
    )
    sampling = (
        f"<sample_points_nm>{numbers(grid)}</sample_points_nm>"
        if points
        else "<wavelength_range_start_nm>450</wavelength_range_start_nm>"
        "<wavelength_range_end_nm>850</wavelength_range_end_nm>"
    )
    return (
        '<?xml version="1.0"?><sensor_calibration><sensor_info><width>12</width><height>9</height>'
        "<input_bpp>12</input_bpp></sensor_info><filter_info>"
        f"<calibration_info>{sampling}</calibration_info><filter_zones><filter_zone>"
        "<pattern_width>2</pattern_width><pattern_height>2</pattern_height><filter_area><offset_x>1</offset_x>"
        "<offset_y>1</offset_y><width>10</width><height>8</height></filter_area>"
        f"<bands>{bands}</bands></filter_zone></filter_zones></filter_info><system_info><spectral_correction_info>"
        f"<correction_matrices>{blocks}</correction_matrices></spectral_correction_info></system_info>"
        "</sensor_calibration>"
    )


def first_shape(*, peaks: bool = True, responses: bool = True) -> str:
    """A calibration file of the first shape, of a 2×2 mosaic behind a band-pass filter."""
    grid = np.arange(450.0, 851.0, 10.0)

    def band(position: int, peak: float) -> str:
        told = f'<peaks><peak order="1"><wavelength_nm>{peak}</wavelength_nm></peak></peaks>' if peaks else ""
        curve = numbers(np.exp(-(((grid - peak) / 20) ** 2)))
        told += f"<response_composition><data>{curve}</data></response_composition>" if responses else ""
        return f'<band pattern_position_index="{position}">{told}</band>'

    bands = "".join(band(position, peak) for position, peak in reversed(list(enumerate(PEAKS))))
    rows = "".join(
        f"<band><wavelength_nm>{500 + 100 * i}</wavelength_nm><custom_spectral_correction><data>{numbers(row)}</data>"
        "</custom_spectral_correction></band>"
        for i, row in reversed(list(enumerate(MATRICES["long pass"])))
    )
    return (
        "<sensor_calibration><sensor_info><width>12</width><height>9</height><input_bpp>12</input_bpp></sensor_info>"
        "<filter_info><filter_area><offset_x>1</offset_x><offset_y>0</offset_y><width>10</width><height>8</height>"
        "</filter_area><pattern_width>2</pattern_width><pattern_height>2</pattern_height><calibration_info>"
        "<measurement_range_start_nm>450</measurement_range_start_nm><measurement_range_end_nm>850"
        "</measurement_range_end_nm></calibration_info>"
        f"<spectral_correction_info><virtual_bands>{rows}</virtual_bands></spectral_correction_info>"
        f"<rejection_filter><type> long pass </type><filter_response><data>{numbers(grid > 550)}</data>"
        f"</filter_response></rejection_filter><bands>{bands}</bands></filter_info></sensor_calibration>"
    )
