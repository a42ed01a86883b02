"""Parsing the reference pages: sections by heading, tables by row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from support import PROJECT

__all__ = ["Section", "named", "page", "sections"]


@dataclass(frozen=True)
class Section:
    """The text between one heading and the next of any level."""

    heading: str
    text: str

    def tables(self) -> list[list[list[str]]]:
        """Each table as rows of cells: the header, then the rows below the ruler."""
        found = []
        for block in re.findall(r"(?:^\|.*\|\n)+", self.text + "\n", re.M):
            rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.splitlines()]
            found.append([[cell.strip() for cell in row] for index, row in enumerate(rows) if index != 1])
        return found

    def rows(self) -> list[list[str]]:
        """The rows of all its tables, without their headers."""
        return [row for table in self.tables() for row in table[1:]]

    def names(self) -> set[str]:
        """Everything formatted as code in the first column of its tables."""
        return {name for row in self.rows() for name in named(row[0])}


def named(text: str) -> list[str]:
    """Everything formatted as code in a text."""
    return re.findall(r"`([^`]+)`", text)


def page(name: str) -> str:
    """The text of a page of the documentation."""
    return Path(PROJECT, "docs", name).read_text(encoding="utf-8")


def sections(name: str) -> dict[str, Section]:
    """Heading → section of a page; comments in code blocks are not headings."""
    found: dict[str, list[str]] = {}
    heading, fenced = "", False
    for line in page(name).splitlines():
        fenced ^= line.startswith("```")
        title = None if fenced else re.match(r"#{1,6} (.+)", line)
        if title:
            heading = title[1].strip()
            assert heading not in found, f"{name} has two headings {heading!r}"
            found[heading] = []
        elif heading:
            found[heading].append(line)
    return {heading: Section(heading, "\n".join(lines)) for heading, lines in found.items()}
