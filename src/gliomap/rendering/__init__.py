"""Draw tissue maps, overlays, legends and false-colour pictures with NumPy and Pillow alone.

These pictures keep four rules. A pixel that was not measured well is hatched and never coloured. A map that
must not be trusted is an empty grey frame with the reason. A class without pixels reads 'not found', which is
not 'absent'. Each legend ends with 'Research software - not a medical device'.
"""

from gliomap.rendering._false_colour import bands_for_rgb, synthetic_rgb
from gliomap.rendering._layout import (
    Panel,
    arrange,
    fitting_scale,
    labels_on_picture,
    map_picture,
    overlay_picture,
)
from gliomap.rendering._legend import DISCLAIMER, Row, draw_legend, legend, legend_rows
from gliomap.rendering._paint import MapLike, Picture, blank_panel, colour_map, hatch, overlay, upscale
from gliomap.rendering._png import save_png

__all__ = [
    "DISCLAIMER",
    "MapLike",
    "Panel",
    "Picture",
    "Row",
    "arrange",
    "bands_for_rgb",
    "blank_panel",
    "colour_map",
    "draw_legend",
    "fitting_scale",
    "hatch",
    "labels_on_picture",
    "legend",
    "legend_rows",
    "map_picture",
    "overlay",
    "overlay_picture",
    "save_png",
    "synthetic_rgb",
    "upscale",
]
