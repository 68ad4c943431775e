"""Tables as HTML: fragments to put into a page, or a page of their own that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import DELTA, OURS, heading, lines
from semisweep.tables.difference_dots import difference_dots, span_of
from semisweep.tables.effect_texts import effect_heading, effect_lines, effects_notes
from semisweep.tables.footnotes import further_notes, notes
from semisweep.tables.table_values import Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
section { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.5rem 0 1rem; }
caption { text-align: left; font-weight: 600; }
th, td { padding: 0.25rem 0.75rem; text-align: right; white-space: nowrap; }
th[scope=row] { text-align: left; font-weight: normal; }
svg.dots { vertical-align: -3px; margin-right: 0.4rem; }
summary { cursor: pointer; }
thead, tbody { border-bottom: 1px solid; }
thead { border-top: 1px solid; }
:root { color-scheme: light dark; }
"""


def to_html(tables: Iterable[Table], *, effects_alone: bool = False) -> str:
    """Return a page with all tables."""
    return page("".join(fragment(own, effects_alone=effects_alone) for own in tables))


def page(body: str) -> str:
    """Return a page of its own around fragments."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>semisweep tables</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}"
        "</body>\n</html>\n"
    )


def fragment(table: Table, *, effects_alone: bool = False) -> str:
    """Return the section of one table; every text in it is escaped.

    Of a design what it says of the parts stands beneath its rows; `effects_alone` leaves these out.
    """
    scale = f" ({table.scale} scale)" if table.scale else ""
    parts = [
        f'<section id="{escape(table.name)}">',
        f"<h2>{escape((table.title or table.name) + scale)}</h2>",
    ]
    for column in table.columns:
        parts += [] if effects_alone else _grid(table, column)
        parts += effects_grid(table, column)
    parts += _list([*effects_notes(table), *notes(table)])
    parts += ["<details><summary>All notes</summary>", *_list(further_notes(table)), "</details>"]
    return "\n".join([*parts, "</section>"]) + "\n"


def _list(texts: Iterable[str]) -> list[str]:
    return ["<ul>", *(f"<li>{_with_code(text)}</li>" for text in texts), "</ul>"]


def _grid(table: Table, column: Label) -> Iterator[str]:
    yield "<table>"
    if len(table.columns) > 1:
        yield f"<caption>{escape(column.label)}</caption>"
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in heading(table, column))
    yield f"<thead><tr><td></td>{names}</tr></thead>"
    yield "<tbody>"
    span = span_of(table, column)
    for line in lines(table, column):
        texts = list(map(escape, line.texts))
        if line.best:
            texts[OURS] = f"<strong>{texts[OURS]}</strong>"
        if picture := difference_dots(table, line.label, line.cell, span):
            texts[DELTA] = f"{picture} {texts[DELTA]}"
        data = "".join(f"<td>{text}</td>" for text in texts)
        yield f'<tr><th scope="row">{escape(line.label)}</th>{data}</tr>'
    yield "</tbody></table>"


def effects_grid(table: Table, column: Label) -> Iterator[str]:
    """Yield the lines of an HTML table of what a design says of its parts in a column."""
    found = list(effect_lines(table, column))
    if not found:
        return
    place = f": {column.label}" if len(table.columns) > 1 else ""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in effect_heading(table))
    yield f'<table class="effects"><caption>{escape(f"What each part adds{place}")}</caption>'
    yield f"<thead><tr><td></td>{names}</tr></thead><tbody>"
    for line in found:
        data = "".join(f"<td>{escape(text)}</td>" for text in line.texts)
        yield f'<tr><th scope="row">{escape(line.label)}</th>{data}</tr>'
    yield "</tbody></table>"


def _with_code(note: str) -> str:
    """Return a note with what is in backticks as code."""
    parts = [escape(part) for part in note.split("`")]
    if len(parts) % 2 == 0:
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
