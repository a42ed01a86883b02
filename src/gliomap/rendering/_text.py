"""Draw text on pictures in Pillow's own font, wrapped and fitted."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

__all__ = ["Font", "draw_lines", "fit", "font", "line_height", "plain", "text_width", "wrap"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_REPLACED = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "×": "x", "→": "to", "≥": ">=", "≤": "<=", "µ": "u", "…": "..."}
)


@cache
def font(size: int) -> Font:
    """Pillow's default font at `size` pixels."""
    return ImageFont.load_default(size)


def plain(text: str) -> str:
    """`text` reduced to the characters that Pillow's default font has: a missing glyph would show as a box."""
    folded = unicodedata.normalize("NFKD", text.translate(_REPLACED))
    kept = (character for character in folded if not unicodedata.combining(character))
    return "".join(character if character.isascii() or character == "·" else "?" for character in kept)


def text_width(text: str, size: int) -> int:
    """Width of one line in pixels, rounded up."""
    return int(font(size).getlength(text)) + 1


def line_height(size: int) -> int:
    """Distance from one baseline to the next, pixels."""
    return round(size * 1.35)


def wrap(text: str, width: int, size: int) -> list[str]:
    """Lines of at most `width` pixels; wider words are broken."""
    lines: list[str] = []
    line = ""
    for word in plain(text).split():
        rest = word
        candidate = f"{line} {rest}" if line else rest
        if text_width(candidate, size) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while text_width(rest, size) > width and len(rest) > 1:
            cut = next((n for n in range(len(rest) - 1, 1, -1) if text_width(rest[:n], size) <= width), 1)
            lines.append(rest[:cut])
            rest = rest[cut:]
        line = rest
    return [*lines, line] if line else lines


def fit(text: str, width: int, height: int, largest: int, smallest: int = 8) -> tuple[list[str], int]:
    """The lines of `text` and the largest font size at which they fit a box; cut off with '...' at the smallest."""
    for size in range(largest, smallest - 1, -1):
        lines = wrap(text, width, size)
        if len(lines) * line_height(size) <= height:
            return lines, size
    room = max(1, height // line_height(smallest))
    lines = wrap(text, width, smallest)
    if len(lines) > room:
        lines = [*lines[: room - 1], lines[room - 1][: max(0, len(lines[room - 1]) - 3)] + "..."]
    return lines, smallest


def draw_lines(
    draw: ImageDraw.ImageDraw, lines: list[str], left: int, top: int, size: int, colour: tuple[int, int, int]
) -> int:
    """Draw lines one below the other; return the pixel row under the last one."""
    for line in lines:
        draw.text((left, top), line, font=font(size), fill=colour)
        top += line_height(size)
    return top
