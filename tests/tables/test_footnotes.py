"""What tables say of their verdicts: the words in cells and the notes beneath."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import resolved
from resolved import decoded

from semisweep.core.errors import ConfigError
from semisweep.tables.footnotes import SERIOUS, further_notes, notes
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table
from semisweep.tables.verdict_texts import confidence, verdict

METRIC = "last.test.miou"
BASE = [47.0, 48.0, 46.0, 47.3]


def table(rows: dict[str, list[float | None]], draws: bool = False, **more: Any) -> Table:
    """Return a table of one column; a number is a trial's percent, None is one that is missing."""
    published = more.pop("published", {})
    cells, results = [], {}
    for row, values in rows.items():
        trials = {(f"{i}/0" if draws else f"0/{i}"): f"{row}-{i}" for i in range(len(values))}
        for key, value in zip(trials.values(), values, strict=True):
            if value is not None:
                results[key] = {METRIC: value / 100}
        cells.append({"row": row, "column": "c", "trials": trials})
    study = {
        "format": 1,
        "name": "t",
        "base": "base",
        "metric": METRIC,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": "c"}],
        "cells": cells,
    }
    for cell in cells:
        cell["published"] = published.get(cell["row"])
    return build(decoded(study | more), resolved.results(results), {})


def words(made: Table) -> dict[str, str]:
    return {row: verdict(cell, made.margin) for (row, _), cell in made.cells.items()}


def shifted(by: float, jitter: float = 0.05) -> list[float | None]:
    signs = (1, -1, -1, 1)
    return [value + by + jitter * sign for value, sign in zip(BASE, signs, strict=True)]


def said(made: Table) -> str:
    """Return all notes of a table, as `--notes` prints them."""
    return to_markdown(made, further=True)


def test_each_verdict_has_its_words() -> None:
    made = table(
        {"base": [*BASE], "up": shifted(3), "down": shifted(-2, 0.2), "same": shifted(0),
         "small": shifted(0.6, 0.01), "unsure": shifted(0.7, 0.4), "twin": [*BASE]}
    )  # fmt: skip

    found = words(made)

    assert found["base"] == "–"
    assert found["up"] == "better (p < 0.001)"
    assert found["down"] == "worse (p < 0.001)"
    assert found["same"] == "equivalent"
    assert re.fullmatch(r"better, by < 1 \(p 0\.0\d\d\)", found["small"])
    assert re.fullmatch(r"inconclusive, \+\d+ to \d+", found["unsure"])
    assert found["twin"] == "identical: does the factor act?"


def test_a_run_that_lies_apart_is_named_with_how_far() -> None:
    jitter: dict[str, list[float | None]] = {
        f"row {at}": [value + 0.3 * sign for value, sign in zip(BASE, signs, strict=True)]
        for at, signs in enumerate([(1, -1, 1, -1), (-1, -1, 1, 1), (1, 1, -1, -1)])
    }
    fallen = [*shifted(1, 0.1)[:3], 20.3]
    made = table({"base": [*BASE], **jitter, "fallen": fallen})

    far = 20.3 - 47.3 - (0.1 - 0.1 - 0.1 + 3) / 3
    assert words(made)["fallen"] == f"no verdict: run 0/3 lies apart ({far:+.1f})"
    assert words(made)["row 0"] != words(made)["fallen"]
    assert "Cook and Weisberg 1982" in said(made)


def test_exploratory_rows_have_a_p_value_and_no_verdict() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": shifted(3), "new": shifted(4)}
    made = table(rows, confirmatory=[{"row": "up", "column": "c"}])
    note = list(notes(made))[1]

    assert words(made)["up"].startswith("better")
    assert words(made)["new"] == "exploratory (p < 0.001)"
    assert "exploratory: interval of that row alone, no verdict" in note
    assert "exploratory" not in list(notes(table(rows)))[1]


def test_a_stopped_row_says_behind_which() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "bad": shifted(-9)}
    stopped = {
        "column": "c", "replicates": 4, "planned": 6, "level": 0.01, "row": "bad", "best": "base",
        "delta": -9.0, "p": 0.004, "n": 4,
    }  # fmt: skip
    race = {"alpha": 0.05, "spending": "pocock", "looks": 3, "comparisons": 1, "stopped": [stopped]}

    assert words(table(rows, race=race))["bad"] == "stopped: behind base (p 0.004)"


@pytest.mark.parametrize(
    ("level", "told"),
    [(0.05, "95 %"), (0.04, "96 %"), (0.005, "99.5 %"), (0.016, "98.4 %"), (0.00002, "99.998 %")],
)
def test_the_header_has_the_true_level(level: float, told: str) -> None:
    assert confidence(level) == told


def test_there_are_three_lines_and_what_is_against_numbers_is_among_them() -> None:
    from semisweep.checks.remembered_checks import UNCHECKED
    from semisweep.study.smoke import NOTE

    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": [*shifted(3)[:3], None]}
    made = table(rows, notes=[NOTE, UNCHECKED, "Ours: embedded"], changes={"training.steps": 9})
    lines = list(notes(made))

    assert NOTE.startswith(SERIOUS)
    assert UNCHECKED.startswith(SERIOUS)
    assert len(lines) == 3
    assert all(text in lines[2] for text in (NOTE, UNCHECKED, "`training.steps=9`"))
    assert "Incomplete: 1 of 2 cells lack trials" in lines[2]
    assert lines[2].endswith("More: `semisweep table t --notes`.")
    assert "Ours: embedded" not in "".join(lines)
    assert "Ours: embedded" in list(further_notes(made))


def test_one_draw_is_said_to_tell_nothing_of_other_labelled_images() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": shifted(3)}

    assert "says nothing of other labelled images" in next(notes(table(rows)))
    assert "says nothing" not in next(notes(table(rows, draws=True)))


def test_every_difference_is_listed_with_its_p_value() -> None:
    made = table({"base": [*BASE], "up": [50.0, 50.9, 49.0, 50.1]})
    decision = made.cells["up", "c"].decision
    text = said(made)

    assert decision is not None
    assert "- Differences by draw/seed, in points; p corrected after Holm over the 1 conf" in text
    assert f"- up: 0/0: +3.0, 0/1: +2.9, 0/2: +3.0, 0/3: +2.8; p {decision.p:.2g}.\n" in text


def test_a_verdict_waits_until_both_rows_are_complete() -> None:
    """Else whoever looks while results come in looks many times."""
    waits = table({"base": [*BASE], "up": [*shifted(3)[:3], None]})
    base_waits = table({"base": [*BASE[:3], None], "up": shifted(3)})

    assert words(waits)["up"] == words(base_waits)["up"] == "–"
    assert "No verdict before all trials of a row and of “base” have finished" in to_markdown(waits)


def test_a_row_that_waits_counts_in_the_correction() -> None:
    alone = table({"base": [*BASE], "up": shifted(1, 0.2)})
    among = table({"base": [*BASE], "up": shifted(1, 0.2), "later": [None] * 4})

    p = [made.cells["up", "c"].decision for made in (alone, among)]
    assert p[0] is not None
    assert p[1] is not None
    assert p[1].p == pytest.approx(2 * p[0].p)
    assert "Holm over 2 comparisons" in to_markdown(among)


def test_the_base_rows_own_trials_are_no_comparison() -> None:
    made = table({"base": [*BASE], "up": shifted(3)})
    study: dict[str, Any] = {
        "format": 1, "name": "t", "base": "base", "metric": METRIC,
        "rows": [{"name": "base"}, {"name": "twin"}], "columns": [{"name": "c"}],
        "cells": [{"row": row, "column": "c", "trials": {"0/0": "a", "0/1": "b"}}
                  for row in ("base", "twin")],
    }  # fmt: skip
    twin = build(decoded(study), resolved.results({key: {METRIC: 0.5} for key in "ab"}), {})

    assert (made.comparisons, twin.comparisons) == (1, 0)
    assert "Verdict" not in said(twin)


def test_the_margin_is_the_studys() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "near": shifted(0, 0.5)}

    assert words(table(rows, margin=2))["near"] == "equivalent"
    assert words(table(rows, margin=0.5))["near"].startswith("inconclusive")
    assert "within ±2 points" in to_markdown(table(rows, margin=2))
    with pytest.raises(ConfigError, match="margin=0"):
        table(rows, margin=0)


def test_a_planned_second_look_widens_intervals_and_is_told() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": shifted(3)}
    once, again = table(rows), table(rows, look=2, looks=3)

    cells = [made.cells["up", "c"] for made in (once, again)]
    assert cells[1].high - cells[1].low > 1.3 * (cells[0].high - cells[0].low)
    assert cells[1].delta_high - cells[1].delta_low > 1.3 * (
        cells[0].delta_high - cells[0].delta_low
    )
    assert "Verdicts at 1.6 % (look 2 of 3)" in to_markdown(again)
    assert "| 98.4 % interval |" in to_markdown(again)
    assert "Verdicts at 4 % (look 1 of any number)" in to_markdown(once)
    with pytest.raises(ConfigError, match="look=4, planned=3"):
        table(rows, look=4, looks=3)


def test_the_noise_is_pooled_over_rows_with_its_degrees_of_freedom() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": shifted(3, 0.5)}
    text = said(table(rows))
    difference = math.sqrt(4 * 0.5**2 / 3)

    assert "Noise: standard deviation of one of the seeds, pooled over rows" in text
    assert f"{difference / math.sqrt(2):.1f} [" in text
    assert f"of a paired difference {difference:.1f} (3 degrees of freedom)" in text
    assert "of one of the draws" in said(table(rows, draws=True))
    assert "Noise" not in said(table({"base": [47.0], "up": [50.0]}))


def test_the_published_order_is_compared_among_complete_rows() -> None:
    rows = {"base": [*BASE], "up": shifted(3), "down": shifted(-9), "later": [None] * 4}
    published = {"base": 67.4, "up": 70.3, "down": 68.0, "later": 75.0}

    text = said(table(rows, published=published))

    assert "Published order: 3 of 3 pairs of rows are settled, 2 of them as published; " in text
    assert "Kendall's τ 0.33 [0.33, 0.33]." in text
    assert "Published order" not in said(table(rows))


def test_an_order_that_is_hardly_settled_has_no_tau() -> None:
    rows = {"base": [*BASE], "near": shifted(0.1, 2), "far": [48.0, 47.0, 47.5, 46.0]}

    text = said(table(rows, published={"base": 67.4, "near": 70.3, "far": 68.0}))

    assert "Published order: 0 of 3 pairs of rows are settled, 0 of them as published." in text


def test_without_a_base_row_there_is_no_verdict_column() -> None:
    assert "verdict" not in to_markdown(table({"a": [*BASE]}, base="")).lower()


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_replicates_have_no_verdict(count: int) -> None:
    made = table({"base": [47.0, 48.0][:count], "up": [50.0, 52.0][:count]})

    assert words(made)["up"] == "too few (n < 3)"
    assert "No verdict below 3 seeds" in to_markdown(made)
    assert "+a" not in to_markdown(made)


def test_bold_is_what_is_not_separated_from_the_best() -> None:
    rows: dict[str, list[float | None]] = {
        "base": [*BASE], "up": shifted(3), "high": shifted(3, -0.1), "down": shifted(-5)
    }  # fmt: skip
    text = to_markdown(table(rows))

    assert [line.split()[1] for line in text.splitlines() if "**" in line] == ["up", "high"]
    assert "bold: not separated from the best" in text
    near = to_markdown(table({"base": [*BASE], "near": shifted(0.1, 1)}))
    assert "**" not in near
    assert "no bold: no row is separated from the best" in near
