"""The table of a paper: rows by columns, mean ± std, the best bold, one caption."""

from __future__ import annotations

import csv
import io
from typing import Any
from xml.etree import ElementTree

import pytest
import resolved

from semisweep.tables.compact_table import caption, compact_text
from semisweep.tables.table_builder import build

MEANS = {("base", "one"): 0.60, ("best", "one"): 0.70, ("base", "two"): 0.65, ("best", "two"): 0.64}


def table(*, missing: str = "", **more: Any) -> Any:
    """Return a table of two rows, three seeds and two columns; the third row is published only."""
    cells, results = [], {}
    for (row, column), mean in MEANS.items():
        keys = [f"{row}{column}{seed}" for seed in range(3)]
        cells.append(resolved.cell(keys, row=row, column=column))
        found = {key: {resolved.METRIC: mean + 0.01 * (at - 1)} for at, key in enumerate(keys)}
        results |= {key: values for key, values in found.items() if key != missing}
    cells.append(resolved.cell([], row="theirs", column="one", published=71.5))
    study = resolved.table(
        *cells, base="base", title="Which α & β?", metric_note="mIoU on the test part", **more
    )
    return build(study, resolved.results(results), {})


def test_markdown_has_rows_by_columns_the_best_bold_and_one_caption() -> None:
    head, _, base, best, theirs, empty, said = compact_text([table()], "markdown").splitlines()

    assert [cell.strip() for cell in head.split("|")] == ["", "", "one", "two", ""]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (base, best, theirs)]
    assert cells == [
        ["base", "60.0 ± 1.0", "**65.0 ± 1.0**"],
        ["best", "**70.0 ± 1.0**", "64.0 ± 1.0"],
        ["theirs", "71.5*", "–"],
    ]
    assert not empty
    assert said == (
        "Which α & β? (mini scale). mIoU on the test part, in percent; mean ± standard deviation "
        "of 3 seeds. Bold: the highest mean of a column, whether or not others differ from it. "
        "*: as published."
    )


def test_latex_has_the_same_cells_and_one_caption() -> None:
    text = compact_text([table()], "latex")

    assert text.count(r"\caption{Which \ensuremath{\alpha} \& \ensuremath{\beta}?") == 1
    assert r"{}best & \textbf{70.0 \ensuremath{\pm} 1.0} & 64.0 \ensuremath{\pm} 1.0 \\" in text
    assert r"{}theirs & 71.5* & -- \\" in text
    assert text.count(r"\begin{tabular}{lcc}") == text.count(r"\end{table}") == 1


def test_html_has_the_same_cells_and_is_well_formed() -> None:
    root = ElementTree.fromstring(compact_text([table()], "fragment"))

    strong = ["".join(item.itertext()) for item in root.iter("strong")]
    assert strong == ["65.0 ± 1.0", "70.0 ± 1.0"]
    assert (root.findtext("table/caption") or "").startswith("Which α & β?")
    assert compact_text([table()], "html").startswith("<!doctype html>")


def test_csv_has_numbers() -> None:
    head, base, _, theirs = csv.reader(io.StringIO(compact_text([table()], "csv")))

    parts = ("mean", "std", "n", "published")
    assert head == ["row", *(f"{name}, {part}" for name in ("one", "two") for part in parts)]
    assert base == ["base", "60.0", "1.0", "3", "", "65.0", "1.0", "3", ""]
    assert theirs == ["theirs", "", "", "", "71.5", "", "", "", ""]


def test_what_makes_numbers_partial_or_other_is_said() -> None:
    partial = table(missing="bestone2", changes={"training.steps": 100}, notes=("Smoke: 2 steps.",))
    text = compact_text([partial], "markdown")

    assert "| 69.5 ± 0.7 (2 of 3) |" in text  # and so is not called the best
    said = caption(partial)
    assert "2 to 3 seeds" in said
    assert "In brackets: how many trials there are" in said
    assert "Smoke: 2 steps" in said
    assert "Changed with --set" in said
    assert "training.steps=100" in said


@pytest.mark.parametrize("form", ["latex", "html", "csv", "markdown"])
def test_several_tables_follow_each_other(form: str) -> None:
    text = compact_text([table(), table()], form)

    assert text.count("theirs") == 2
