"""What stands beneath a table of tuned rows, in every format."""

from __future__ import annotations

from typing import Any

import pytest
import resolved
from resolved import cell

from semisweep.store.resolved_tuning import Tuning
from semisweep.tables.compact_table import compact_text
from semisweep.tables.footnotes import further_notes, notes
from semisweep.tables.html_table import to_html
from semisweep.tables.latex_table import to_latex
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table
from semisweep.tables.tuning_notes import barren_searches

PARAMS = {"training.optimizer.learning_rate": 0.0123456, "size": "S"}


def tuning(**more: Any) -> Tuning:
    found = {"search": "t~a~one", "trials": 12, "metric": "last.val.miou", "ended": 12}
    found |= {"failed": 1, "seconds": 1440.0, "number": 7, "params": PARAMS, "score": 0.7}
    return Tuning(**(found | more))


def waits(ended: int) -> Tuning:
    return tuning(ended=ended, number=None, params=None, score=None)


def table(metric: str = "last.test.miou", **tunings: Tuning | None) -> Table:
    """Return a table of one column; rows that wait have no trials."""
    cells, results = [], {}
    for row, own in tunings.items():
        keys = [] if own is not None and own.params is None else [f"{row}-0", f"{row}-1"]
        cells.append(cell(keys, row=row, tuning=own))
        results |= {key: {metric: 0.5} for key in keys}
    study = resolved.table(*cells, metric=metric, base="a")
    return build(study, resolved.results(results), {})


def said(made: Table) -> str:
    return "\n".join(notes(made))


def test_budget_and_cost_always_stand_beneath_and_so_do_rows_that_are_not_tuned() -> None:
    made = table(a=tuning(), b=tuning(search="t~b~one"), c=None)

    assert (
        "Tuned: a, b, each at the best of 12 trials by `last.val.miou` (0.8 h); not tuned: c."
    ) in said(made)
    assert "not tuned" not in said(table(a=tuning()))
    assert "uned" not in said(table(c=None))


@pytest.mark.parametrize("form", ["markdown", "latex", "html", "compact"])
def test_every_format_says_it(form: str) -> None:
    made = table(a=tuning(), b=tuning())
    text = {
        "markdown": lambda: to_markdown(made),
        "latex": lambda: to_latex([made]),
        "html": lambda: to_html([made]),
        "compact": lambda: compact_text([made], "markdown"),
    }[form]()

    assert "Tuned: a, b, each at the best of 12 trials by" in text


def test_what_was_chosen_is_a_note_for_each_cell() -> None:
    found = [note for note in further_notes(table(a=tuning(), c=None)) if "Tuned" in note]

    assert found == [
        "Tuned: a: learning_rate=0.01235, size=S (#7 of 12 trials, 1 failed, 0.4 h, last.val.miou "
        "70.00 as found); all of them: search `t~a~one` of the store."
    ]


def test_a_table_of_val_says_that_values_were_chosen_on_it() -> None:
    flattered = "Tuned: rows are compared on the very val images that their values were chosen on"
    on_val, on_test = (table(metric, a=tuning()) for metric in ("best.val.miou", "best.test.miou"))

    assert flattered in "\n".join(further_notes(on_val))
    assert flattered not in "\n".join(further_notes(on_test))
    assert flattered not in "\n".join(further_notes(table("last.val.miou", a=None)))


def test_a_cell_that_waits_is_named_with_what_helps() -> None:
    made = table(a=tuning(), b=waits(5), c=waits(12))

    assert (
        "Waiting for the search of b (5 of 12 trials, `semisweep run example` goes on); "
        "c (all 12 trials failed, --retry-failed tries again)."
    ) in said(made)
    assert "Waiting" not in said(table(a=tuning()))


def test_a_search_without_any_finished_trial_is_a_failure() -> None:
    study = resolved.table(
        cell(row="a", tuning=waits(11)), cell(row="b", tuning=waits(12)), cell(row="c")
    )

    assert list(barren_searches(study)) == ["b, one: all 12 trials of its search 't~a~one' failed"]
