"""Tables as LaTeX that compiles and HTML that is well formed, whatever the labels are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import resolved
from resolved import decoded

from semisweep.tables.difference_dots import Span
from semisweep.tables.html_table import fragment, to_html
from semisweep.tables.latex_table import escaped, to_latex
from semisweep.tables.table_builder import build

AWKWARD = r"50 % of $x_1$ & \input{x} #1 ~ {a} ^ <b> | [-1, 2] ± Δ “q” λ ≥ 漢"
HOSTILE = '<script>alert("x")</script> & `code` "quoted"'


def table(label: str = "plain", unit: str = "") -> Any:
    trials = {row: {f"0/{s}": f"{row}-{s}" for s in range(3)} for row in ("base", "row")}
    results = {
        key: {"miou": 0.6 + 0.01 * int(key[-1]) + (0.1 if row == "row" else 0)}
        for row, own in trials.items()
        for key in own.values()
    }
    rows = [{"name": row, "label": f"{row} {label}"} for row in trials]
    cells: list[dict[str, Any]] = [
        {"row": row, "column": "one", "published": 60.5, "trials": own}
        for row, own in trials.items()
    ]
    columns = [{"name": "one", "label": label}]
    if unit:
        columns.append({"name": "count", "label": "count", "unit": unit})
        cells.append({"row": "row", "column": "count", "value": 12345.0, "trials": {}})
    study = {"format": 1, "name": "an_example", "title": f"Title {label}", "base": "base"}
    study |= {"metric": "miou", "notes": [label], "rows": rows, "columns": columns, "cells": cells}
    return build(decoded(study), resolved.results(results), {})


def test_commands_in_text_are_printed_and_not_obeyed() -> None:
    text = escaped(AWKWARD)

    assert r"50 \% of \$x\_1\$ \& \textbackslash{}input\{x\} \#1" in text
    assert "漢" not in text
    assert r"\ensuremath{\pm}" in text


def test_the_best_is_bold_and_notes_have_code() -> None:
    text = to_latex([table()])

    assert r"\textbf{71.0 \ensuremath{\pm} 1.0 (3)}" in text
    assert r"\texttt{miou}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_counts_stand_in_their_unit() -> None:
    text = to_latex([table(unit="images")])

    assert "published, images" in text
    assert "12,345" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_a_document_compiles(tmp_path: Path) -> None:
    source = to_latex([table(), table(AWKWARD, unit="M & <N>")], document=True)
    (tmp_path / "tables.tex").write_text(source, encoding="utf-8")

    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000


def test_text_is_escaped_and_the_fragment_is_well_formed() -> None:
    text = fragment(table(HOSTILE, unit="<b>"))
    root = ElementTree.fromstring(text)

    assert not list(root.iter("script"))
    assert HOSTILE in "".join(root.find("h2").itertext())  # type: ignore[union-attr]
    assert [len(grid.findall("tbody/tr")) for grid in root.iter("table")] == [2, 2]


def test_the_best_is_strong_and_code_is_code() -> None:
    root = ElementTree.fromstring(fragment(table()))

    assert ["".join(item.itertext()) for item in root.iter("strong")] == ["71.0 ± 1.0 (3)"]
    assert "miou" in ["".join(item.itertext()) for item in root.iter("code")]


def test_every_difference_is_a_dot_on_the_columns_axis() -> None:
    root = ElementTree.fromstring(fragment(table()))
    (picture,) = root.iter("svg")
    dots = [float(dot.get("cx", "")) for dot in picture.iter("circle")]

    title = "row plain, differences to base plain: 0/0: +10.0, 0/1: +10.0, 0/2: +10.0"
    assert picture.findtext("title") == title
    assert dots == [115.0] * 3  # the right end: from 0 to the largest difference
    zero = next(path.get("d", "") for path in picture.iter("path"))
    assert zero.startswith("M5.0 ")


def test_dots_lie_between_the_ends_in_proportion() -> None:
    span = Span(-2.0, 8.0)

    assert [span.at(value) for value in (-2, 0, 3, 8, 20)] == [5, 27, 60, 115, 115]


def test_three_lines_stand_open_and_the_rest_is_folded() -> None:
    root = ElementTree.fromstring(fragment(table()))
    folded = root.find("details")

    assert folded is not None
    assert len(root.findall("ul/li")) == 3
    assert len(folded.findall("ul/li")) > 4
    assert to_latex([table()]).count("\\item ") == 3
    assert to_latex([table()], further=True).count("\\item ") == 3 + len(folded.findall("ul/li"))


def test_a_page_asks_for_nothing_else() -> None:
    page = to_html([table(), table(HOSTILE)])

    assert page.startswith("<!doctype html>")
    assert page.count("<section") == 2
    assert "http" not in page
    assert "src=" not in page
