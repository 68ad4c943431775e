"""What tables say of results of unknown data, and of test images that differ."""

from __future__ import annotations

import csv

from semisweep.store.resolved_study import Label, ResolvedCell, ResolvedStudy
from semisweep.store.trial_records import Result
from semisweep.tables.markdown_csv import to_csv, to_markdown
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table

SEEN = {"data.seen_digest": "5" * 20, "data.test_digest": "7" * 20}


def table_of(base: dict[str, object], other: dict[str, object]) -> Table:
    """Return a table of two rows, three seeds each, whose results have such columns."""
    cells = [
        ResolvedCell(row=row, column="all", trials={f"0/{n}": f"{row}{n}" for n in range(3)})
        for row in ("base", "other")
    ]
    study = ResolvedStudy(
        name="marks",
        metric="m",
        base="base",
        rows=(Label("base", "base"), Label("other", "other")),
        columns=(Label("all", "all"),),
        cells=tuple(cells),
    )
    results = {
        f"{row}{n}": Result(f"{row}{n}", {"m": 0.5 + 0.01 * n + level, **own})
        for row, own, level in (("base", base, 0.0), ("other", other, 0.1))
        for n in range(3)
    }
    return build(study, results, {})


def test_results_that_do_not_say_which_data_they_saw_are_marked() -> None:
    table = table_of({"data.name": "mine", **SEEN}, {"data.name": "mine"})
    text = to_markdown(table, further=True)
    assert "‡ Data unknown: 3 trials. " in to_markdown(table)
    assert "‡ Data unknown: 3 trials of an earlier semisweep" in text
    assert "--retrain ROW" in text
    (marked,) = [line for line in text.splitlines() if "(3)‡" in line]
    assert marked.startswith("| other")
    lines = csv.DictReader(to_csv([table]).splitlines())
    assert [line["unknown_data"] for line in lines] == ["0", "3"]


def test_results_that_say_it_and_those_of_generated_data_are_not_marked() -> None:
    for own in ({"data.name": "mine", **SEEN}, {"data.name": "shapes"}, {}):
        assert "‡" not in to_markdown(table_of(own, own))


def test_cells_that_were_tested_on_other_images_are_not_compared() -> None:
    same = {"data.name": "mine", **SEEN}
    other = same | {"data.test_digest": "8" * 20}
    assert table_of(same, same).cells["other", "all"].decision is not None
    table = table_of(same, other)
    assert table.cells["other", "all"].decision is None
    text = to_markdown(table, further=True)
    assert "Mixed splits: no Δ, verdict or bold" in to_markdown(table)
    assert f"test images, {'7' * 20}: base; {'8' * 20}: other" in text
    assert "better" not in text


def test_rows_that_saw_other_data_of_the_same_test_images_are_compared() -> None:
    """Methods that use unlabelled images have seen more."""
    same = {"data.name": "mine", **SEEN}
    found = table_of(same, same | {"data.seen_digest": "6" * 20})
    assert found.cells["other", "all"].decision is not None
