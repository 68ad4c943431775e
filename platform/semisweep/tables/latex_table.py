"""Tables as LaTeX with booktabs, for a paper; what is text in a study cannot be a command there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import OURS, heading, lines
from semisweep.tables.effect_texts import effect_heading, effect_lines, effects_notes
from semisweep.tables.footnotes import all_notes
from semisweep.tables.latex_text import escaped, with_note
from semisweep.tables.table_values import Table

PACKAGES = ("booktabs", "textcomp")


def to_latex(
    tables: Iterable[Table],
    *,
    document: bool = False,
    further: bool = False,
    effects_alone: bool = False,
) -> str:
    """Return a table environment for each table, its notes beneath it, `further` ones if wanted.

    Of a design what it says of the parts stands beneath its rows; `effects_alone` leaves these out.
    It needs the packages booktabs and textcomp, and T1 fonts; with `document` it is a whole
    document that has them.
    """
    body = "\n".join(_environment(table, further, effects_alone) for table in tables)
    body = with_note(body)
    if not document:
        return body
    packages = "".join(f"\\usepackage{{{name}}}\n" for name in PACKAGES)
    return (
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage[utf8]{inputenc}\n"
        f"\\usepackage[margin=1cm]{{geometry}}\n{packages}\\begin{{document}}\n{body}"
        "\\end{document}\n"
    )


def _environment(table: Table, further: bool, effects_alone: bool) -> str:
    scale = f" ({table.scale} scale)" if table.scale else ""
    parts = [
        "\\begin{table}[htbp]",
        "\\centering\\footnotesize",
        f"\\caption{{{escaped((table.title or table.name) + scale)}}}",
        f"\\label{{tab:{re.sub('[^A-Za-z0-9:-]', '-', table.name)}}}",
    ]
    for column in table.columns:
        if len(table.columns) > 1:
            parts.append(f"\\par\\medskip\\textbf{{{escaped(column.label)}}}\\par\\smallskip")
        parts += [] if effects_alone else _tabular(table, column)
        parts += _effects(table, column)
    parts += [
        "\\begin{itemize}\\setlength{\\itemsep}{0pt}",
        *(f"\\item {_with_code(note)}" for note in effects_notes(table)),
        *(f"\\item {_with_code(note)}" for note in all_notes(table, further=further)),
        "\\end{itemize}",
        "\\end{table}",
    ]
    return "\n".join(parts) + "\n"


def _tabular(table: Table, column: Label) -> Iterator[str]:
    names = heading(table, column)
    yield f"\\begin{{tabular}}{{l{'r' * len(names)}}}"
    yield "\\toprule"
    yield " & ".join(["", *map(escaped, names)]) + r" \\"
    yield "\\midrule"
    for line in lines(table, column):
        texts = list(map(escaped, line.texts))
        if line.best:
            texts[OURS] = f"\\textbf{{{texts[OURS]}}}"
        # An empty group first: LaTeX would take a bracket after a line's end for an argument.
        yield "{}" + " & ".join([escaped(line.label), *texts]) + r" \\"
    yield "\\bottomrule"
    yield "\\end{tabular}"


def _effects(table: Table, column: Label) -> Iterator[str]:
    """Yield what a design says of its parts as a tabular of its own."""
    found = list(effect_lines(table, column))
    if not found:
        return
    names = effect_heading(table)
    yield "\\par\\medskip"
    yield f"\\begin{{tabular}}{{l{'r' * len(names)}}}"
    yield "\\toprule"
    yield " & ".join(["part", *map(escaped, names)]) + r" \\"
    yield "\\midrule"
    for line in found:
        yield "{}" + " & ".join(map(escaped, [line.label, *line.texts])) + r" \\"
    yield "\\bottomrule"
    yield "\\end{tabular}"


def _with_code(note: str) -> str:
    """Return a note with what is in backticks as code."""
    parts = note.split("`")
    if len(parts) % 2 == 0:
        return escaped(note)
    return "".join(
        f"\\texttt{{{escaped(part)}}}" if at % 2 else _spaced(part) for at, part in enumerate(parts)
    )


def _spaced(text: str) -> str:
    """Return escaped text that keeps the spaces at its ends."""
    before, after = (" " if text[:1].isspace() else ""), (" " if text[-1:].isspace() else "")
    return before + escaped(text) + (after if text.strip() else "")
