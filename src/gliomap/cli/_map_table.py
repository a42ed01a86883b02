"""The table of a map's figures, the same for every verb, wherever the map comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gliomap.cli._ui import Ui

__all__ = ["tell_map", "tell_written"]


def tell_map(ui: Ui, result: Mapping[str, Any], *, title: str | None = None) -> None:
    """Print the pixels of each class, and why other pixels have none.

    Parameters
    ----------
    result
        The keys of result.json. A class without pixels is 'not found'; for a blank map not even that can be said.
    """
    blanked = result["blanked"]
    none = "not found" if blanked is None else "no map"
    rows = [
        (
            one["name"],
            f"{one['pixels']:,}" if one["pixels"] else none,
            f"{one['share']:.1%}" if one["pixels"] else "",
            f"{one['mean_confidence']:.2f}" if one["pixels"] else "",
        )
        for one in result["classes"]
    ]
    rows.append(("not classified", f"{result['not_classified']:,}", "", ""))
    ui.table(["class", "pixels", "share of classified", "confidence"], rows, title=title, numbers=" rrr")
    if blanked is not None:
        ui.text(f"The map is blank: {blanked}")
    elif result["invalid"]:
        listed = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in result["invalid"].items())
        ui.text(f"Not classified because: {listed}")


def tell_written(ui: Ui, notice: str, *written: str) -> None:
    """Print where map and figures are, and what a map cannot say."""
    ui.text(*(written or ("Nothing was written: add -o DIR to keep the map and its figures.",)))
    ui.text(f"{notice}. 'Not found' is not 'absent': a map cannot rule tumour out.")
