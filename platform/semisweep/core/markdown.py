"""Cells of text as an aligned Markdown table."""

from __future__ import annotations

from collections.abc import Sequence


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as an aligned Markdown table; the first line is the heading."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"
