"""What tables say of their verdicts: the words in cells and the notes beneath."""

from __future__ import annotations

from typing import Any

import pytest
import resolved
from resolved import decoded

from semisweep.core.errors import ConfigError
from semisweep.tables.footnotes import verdict
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table

METRIC = "last.test.miou"
BASE = [47.0, 48.0, 46.0, 47.3]


def table(rows: dict[str, list[float | None]], draws: bool = False, **more: Any) -> Table:
    """Return a table of one column; a number is a trial's percent, None is one that is missing."""
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
        cell["published"] = more.get("published", {}).get(cell["row"])
    more.pop("published", None)
    return build(decoded(study | more), resolved.results(results), {})


def words(made: Table) -> dict[str, str]:
    return {row: verdict(cell, made.margin) for (row, _), cell in made.cells.items()}


def shifted(by: float, jitter: float = 0.05) -> list[float | None]:
    signs = (1, -1, -1, 1)
    return [value + by + jitter * sign for value, sign in zip(BASE, signs, strict=True)]


def test_each_verdict_has_its_words() -> None:
    made = table(
        {"base": [*BASE], "up": shifted(3), "down": shifted(-2, 0.2), "same": shifted(0),
         "small": shifted(0.4, 0.01), "unsure": shifted(0.7, 2)}
    )  # fmt: skip

    found = words(made)

    assert found["base"] == "–"
    assert found["up"] == "better (p < 0.001)"
    assert found["down"].startswith("worse (p 0.00")
    assert found["same"] == "equivalent"
    assert found["small"] == "better, by < 1 (p < 0.001)"
    assert found["unsure"].startswith("inconclusive, +")
    assert int(found["unsure"].partition("+")[2]) > 10


def test_a_verdict_waits_until_both_rows_are_complete() -> None:
    """Else whoever looks while results come in looks many times."""
    waits = table({"base": [*BASE], "up": [*shifted(3)[:3], None]})
    base_waits = table({"base": [*BASE[:3], None], "up": shifted(3)})

    assert words(waits)["up"] == words(base_waits)["up"] == "–"
    assert "Verdict: a row gets one once all its trials" in to_markdown(waits)


def test_a_row_that_waits_counts_in_the_correction() -> None:
    alone = table({"base": [*BASE], "up": shifted(1, 0.2)})
    among = table({"base": [*BASE], "up": shifted(1, 0.2), "later": [None] * 4})

    p = [made.cells["up", "c"].decision for made in (alone, among)]
    assert p[0] is not None
    assert p[1] is not None
    assert p[1].p == pytest.approx(2 * p[0].p)
    assert "Holm-corrected over 2 comparisons" in to_markdown(among)


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
    assert "Verdict" not in to_markdown(twin)


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
    assert "Look 2 of 3: intervals and verdicts are at 1.6 %" in to_markdown(again)
    assert "Look" not in to_markdown(once)
    with pytest.raises(ConfigError, match="look=4, planned=3"):
        table(rows, look=4, looks=3)


def test_the_noise_floor_is_the_base_rows_spread() -> None:
    rows: dict[str, list[float | None]] = {"base": [*BASE], "up": shifted(3)}

    assert "“base” over seeds, with its 95 % interval: 0.8 [0.5, 3.1]." in to_markdown(table(rows))
    assert "“base” over draws" in to_markdown(table(rows, draws=True))
    assert "Noise" not in to_markdown(table({"base": [47.0], "up": [50.0]}))


def test_the_published_order_is_compared_among_complete_rows() -> None:
    rows = {"base": [*BASE], "up": shifted(3), "down": shifted(-9), "later": [None] * 4}
    published = {"base": 67.4, "up": 70.3, "down": 68.0, "later": 75.0}

    text = to_markdown(table(rows, published=published))

    assert "Published order: 2 of 3 pairs of rows stand so in ours; Kendall's τ 0.33 " in text
    assert "[0.33, 0.33]" in text
    assert "Published order" not in to_markdown(table(rows))


def test_without_a_base_row_there_is_no_verdict_column() -> None:
    assert "verdict" not in to_markdown(table({"a": [*BASE]}, base="")).lower()


def test_one_replicate_is_inconclusive_without_a_count() -> None:
    made = table({"base": [47.0], "up": [50.0]})

    assert words(made)["up"] == "inconclusive"
    assert "+k" not in to_markdown(made)
