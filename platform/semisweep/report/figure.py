"""What stands around a plot: a caption, and a legend of HTML, which wraps where SVG would not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from semisweep.report.svg import swatch

Entry = tuple[Markup, str]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A plot with its caption, which says what its marks and bands are."""

    caption: str
    svg: Markup
    legend: tuple[Entry, ...] = ()
    wide: bool = False


def legend(names: Iterable[str]) -> tuple[Entry, ...]:
    """Return the entries of series 0, 1, 2 and on."""
    return tuple((swatch(series), name) for series, name in enumerate(names))
