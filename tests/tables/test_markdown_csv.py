"""Tables: what is shown of finished, partial, failed, missing and published-only cells."""

from __future__ import annotations

import csv
import io
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from resolved import decoded, results, through_json

from semisweep import Store
from semisweep.core.errors import ConfigError
from semisweep.tables.html_table import to_html
from semisweep.tables.latex_table import to_latex
from semisweep.tables.markdown_csv import to_csv, to_markdown
from semisweep.tables.table_builder import Outside, build
from semisweep.tables.table_values import Table

GOLDEN = Path(__file__).parent.parent / "golden"
METRIC = "last.test.miou"

Rows = dict[str, list[float | str | None]]


def example_rows() -> Rows:
    """What happened to each trial of an arm: its mIoU, an error, or nothing yet."""
    return {
        "supervised": [0.412, 0.431, 0.405],
        "baseline": [0.473, 0.486, 0.462],
        "contrastive": [],
        "correlation": [0.492, 0.497, None],
        "correlation+rank": [0.521, 0.526, 0.504],
        "all pixels": ["TrainingError: a loss must be finite, got rank=nan"] * 3,
        "top-N": [None, None, None],
    }


def make_study(
    rows: Rows, columns: dict[str, str] | None = None, **more: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return a resolved study with results and failures; a second column scores 0.2 higher."""
    columns = columns or {"1/16 (92)": "16 labelled"}
    results: dict[str, dict[str, Any]] = {}
    failures: dict[str, dict[str, Any]] = {}
    cells = []
    for index, column in enumerate(columns):
        for row, outcomes in rows.items():
            arm = row.replace(" ", "_").replace("+", "_")
            trials = {f"0/{seed}": f"{arm}-{index}-{seed}" for seed in range(len(outcomes))}
            for key, outcome in zip(trials.values(), outcomes, strict=True):
                if isinstance(outcome, str):
                    failures[key] = {"error": f"Traceback:\n{outcome}\n"}
                elif outcome is not None:
                    results[key] = {METRIC: outcome + 0.2 * index}
            cells.append({"row": row, "column": column, "published": None, "trials": trials})
    study = {
        "format": 1,
        "name": "components",
        "title": "Components",
        "scale": "mini",
        "paper": "rankmatch",
        "table": "4",
        "base": "baseline",
        "metric": METRIC,
        "metric_note": "mIoU on the test part, last checkpoint",
        "changes": {},
        "notes": [],
        "rows": [{"name": row, "label": row} for row in rows],
        "columns": [{"name": name, "label": label} for name, label in columns.items()],
        "cells": cells,
    }
    return study | more, results, failures


def example_study(**more: Any) -> tuple[Any, Any, Any]:
    study, results, failures = make_study(
        example_rows(),
        title="RankMatch, Table 4: components",
        changes={"training.steps": 100},
        notes=["published on voc2012; ours on `shapes`: compare orders and differences"],
        **more,
    )
    published = {"baseline": 67.4, "contrastive": 68.6, "correlation": 70.3}
    published["correlation+rank"] = 71.6
    for cell in study["cells"]:
        cell["published"] = published.get(cell["row"])
    study["rows"][1]["label"] = "UniMatch (baseline)"
    for row in study["rows"]:
        if row["name"] == "contrastive":
            row["published_only"] = True
    return study, results, failures


def built(study: dict[str, Any], *found: Any) -> Table:
    """Return the table of a study that a store holds with these fields."""
    rows, failures, *more = found
    errors = {key: failure["error"] for key, failure in failures.items()}
    return build(decoded(study), results(rows), errors, *more)


def one(rows: Rows, **more: Any) -> Table:
    return built(*make_study(rows, **more))


def grid(markdown: str) -> dict[str, list[str]]:
    """Return the texts of each row of a Markdown table by its first."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    texts = [[text.strip() for text in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in texts}


def test_the_example_table_is_as_committed() -> None:
    assert (GOLDEN / "table_example.md").read_text() == to_markdown(built(*example_study()))


def test_a_table_of_two_columns_has_a_grid_for_each() -> None:
    rows: Rows = {"baseline": [0.4, 0.42], "other": [0.45, 0.43]}
    study = make_study(rows, {"1/16 (92)": "16 labelled", "full": "all labelled"})

    markdown = to_markdown(built(*study))

    assert (GOLDEN / "table_two_columns.md").read_text() == markdown
    first, second = markdown.split("### all labelled")
    assert grid(first)["other"][1] == "44.0 ± 1.4 (2)"
    assert grid(second)["other"][1] == "64.0 ± 1.4 (2)"
    assert max(map(len, first.splitlines()[:8])) <= 120


def test_the_lines_of_a_table_are_equally_wide() -> None:
    lines = to_markdown(built(*example_study())).splitlines()

    assert len({len(line) for line in lines if line.startswith("|")}) == 1


def test_a_partial_cell_says_how_many_trials_it_has() -> None:
    markdown = to_markdown(one({"a": [0.5, None, None], "b": [0.5, "broken", None]}, base=""))

    assert grid(markdown)["a"] == ["–", "50.0 (1 of 3)", "–"]
    assert grid(markdown)["b"] == ["–", "50.0 (1 of 3, 1 failed)", "–"]
    assert "Incomplete: 2 of 2 cells lack trials" in markdown


def test_cells_without_a_number_say_why() -> None:
    rows: Rows = {"a": [None, None], "b": ["x", "x"], "c": ["x", None], "d": []}

    shown = grid(to_markdown(one(rows, base="")))

    assert [shown[row][1] for row in "abcd"] == ["missing", "failed", "1 of 2 failed", "–"]


def test_an_error_is_shown_by_its_last_line_and_only_a_few_are() -> None:
    made = one({f"arm{n}": ["ValueError: no"] for n in range(7)}, base="")
    markdown = to_markdown(made, further=True)

    assert (
        "Failed: 7 trials; `semisweep run components --retry-failed` tries again."
        in to_markdown(made)
    )
    assert "- Failed: arm0, 1/16 (92), 0/0 (arm0-0-0): ValueError: no\n" in markdown
    assert markdown.count("- Failed:") == 6
    assert "- Failed: 2 more\n" in markdown


def test_a_finished_trial_that_failed_before_is_finished() -> None:
    study, results, _ = make_study({"a": [0.5, 0.6]}, base="")

    table = built(study, results, {"a-0-0": {"error": "the first time"}})

    assert table.cells["a", "1/16 (92)"].failed == 0
    assert not table.errors


def test_differences_are_paired_by_replicate() -> None:
    """The arms differ by 0.02 on every seed, while the seeds differ by much more."""
    table = one({"baseline": [0.3, 0.5, 0.4], "other": [0.37, 0.42, 0.50]})
    shifted = one({"baseline": [0.3, 0.5, 0.4], "other": [0.32, 0.52, 0.42]})

    paired = shifted.cells["other", "1/16 (92)"]
    assert paired.delta == pytest.approx(2)
    assert paired.delta_high - paired.delta_low < 1e-6
    assert table.cells["other", "1/16 (92)"].delta_high > 10


def test_a_difference_uses_only_the_seeds_that_both_rows_have() -> None:
    cell = one({"baseline": [0.3, 0.5, None], "other": [None, 0.6, 0.9]}).cells[
        "other", "1/16 (92)"
    ]

    assert cell.delta == pytest.approx(10)
    assert math.isnan(cell.delta_low)


def test_a_row_that_is_the_base_rows_trials_says_so() -> None:
    study, results, failures = make_study({"baseline": [0.4, 0.5], "weight 0": [0.1, 0.1]})
    study["cells"][1]["trials"] = study["cells"][0]["trials"]

    assert grid(to_markdown(built(study, results, failures)))["weight 0"][3] == "same trials"


def test_draws_are_the_unit_where_a_cell_has_several() -> None:
    study, _, _ = make_study({"a": [None]}, base="")
    trials = {f"{draw}/{seed}": f"{draw}-{seed}" for draw in range(3) for seed in range(2)}
    study["cells"][0]["trials"] = trials
    results = {
        f"{draw}-{seed}": {METRIC: 0.1 * draw + 0.01 * seed}
        for draw in range(3)
        for seed in range(2)
    }

    table = built(study, results, {})
    cell = table.cells["a", "1/16 (92)"]

    assert (cell.n, cell.wanted, len(cell.keys)) == (3, 6, 6)
    assert cell.mean == pytest.approx(10.5)
    assert cell.std == pytest.approx(10)
    assert grid(to_markdown(table))["a"][1] == "10.5 ± 10.0 (3 draws, 6 trials)"


def test_one_draw_of_several_planned_gives_no_interval() -> None:
    """Seeds of the only finished draw say nothing of how much draws differ."""
    rows: Rows = {"baseline": [], "other": []}
    study, _, _ = make_study(rows)
    for cell in study["cells"]:
        names = [f"{draw}/{seed}" for draw in range(2) for seed in range(3)]
        cell["trials"] = {name: f"{cell['row']} {name}" for name in names}
    results = {f"{row} 0/{seed}": {METRIC: 0.4 + 0.01 * seed} for row in rows for seed in range(3)}

    cell = built(study, results, {}).cells["other", "1/16 (92)"]

    assert cell.n == 1
    assert cell.mean == pytest.approx(41)
    assert math.isnan(cell.low)
    assert math.isnan(cell.delta_low)


def test_complete_cells_that_are_not_separated_from_the_best_are_bold() -> None:
    rows: Rows = {
        "a": [0.50, 0.51, 0.52], "b": [0.51, 0.50, 0.53], "c": [0.40, 0.42, 0.41],
        "d": [0.9, 0.9, None],
    }  # fmt: skip
    shown = grid(to_markdown(one(rows, base="")))

    assert [shown[row][1].startswith("**") for row in "abcd"] == [True, True, False, False]


def test_published_numbers_keep_their_decimals() -> None:
    study, results, failures = make_study({"a": [0.5], "b": [0.5], "c": [0.5]}, base="")
    for cell, number in zip(study["cells"], (80.0, 74.19, 71.6), strict=True):
        cell["published"] = number
    study["cells"][2]["published_std"] = 0.35

    shown = grid(to_markdown(built(study, results, failures)))

    assert [shown[row][0] for row in "abc"] == ["80.0", "74.19", "71.6 ± 0.35"]


def test_a_study_without_a_base_row_has_no_differences() -> None:
    markdown = to_markdown(one({"a": [0.5, 0.6]}, base=""))

    assert "Δ" not in markdown


def test_labels_cannot_break_the_table() -> None:
    study, results, failures = make_study({"a": [0.5]}, base="")
    study["rows"][0]["label"] = "a|b\nc"

    assert "| a\\|b c |" in to_markdown(built(study, results, failures))


def test_results_of_different_code_are_pointed_out() -> None:
    study, results, failures = make_study({"a": [0.5, 0.6]}, base="")
    for key, code in (("a-0-0", "one"), ("a-0-1", "two")):
        results[key] |= {"method": "mine:A", "source.code": code, "source.digest": "same"}

    shown = to_markdown(built(study, results, failures), further=True)
    assert "Mixed code: `mine`. " in to_markdown(built(study, results, failures))
    assert "Mixed code: the trials of `mine` were not all trained by the same code." in shown
    results["a-0-1"] |= {"source.code": "one", "source.digest": "of another comment"}
    assert "Mixed" not in to_markdown(built(study, results, failures))


def test_methods_of_one_table_have_codes_of_their_own() -> None:
    study, results, failures = make_study({"a": [0.5], "b": [0.6]}, base="")
    results["a-0-0"] |= {"method": "mine:A", "source.code": "of a"}
    results["b-0-0"] |= {"method": "other:B", "source.code": "of b"}

    assert "Mixed" not in to_markdown(built(study, results, failures))


def test_a_metric_that_results_lack_is_refused_with_the_nearest() -> None:
    study, results, failures = make_study({"a": [0.5]}, metric="last.test.mious")

    with pytest.raises(ConfigError, match=r"metric='last.test.mious'.*did you mean last.test.miou"):
        built(study, results, failures)


def test_csv_holds_every_cell_in_percent() -> None:
    study, results, failures = example_study()

    lines = list(csv.DictReader(io.StringIO(to_csv([built(study, results, failures)] * 2))))

    assert len(lines) == 14
    assert lines[1]["published"] == "67.4"
    assert float(lines[1]["mean"]) == pytest.approx(100 * (0.473 + 0.486 + 0.462) / 3, abs=1e-5)
    assert lines[1]["delta"] == ""
    assert [line["verdict"] for line in lines[:7]] == ["worse", "", "", "", "better", "", ""]
    assert float(lines[4]["delta"]) == pytest.approx(4.333333)
    assert lines[4]["keys"] == "correlation_rank-0-0 correlation_rank-0-1 correlation_rank-0-2"
    assert (lines[6]["mean"], lines[6]["n"], lines[6]["keys"]) == ("", "0", "")
    assert (lines[0]["study"], lines[0]["paper"], lines[0]["metric"]) == (
        "components",
        "rankmatch",
        METRIC,
    )


def test_csv_holds_what_verdicts_rest_on() -> None:
    rows: Rows = {
        "baseline": [0.41, 0.42, 0.40, 0.43], "other": [0.45, 0.455, 0.44, 0.465],
        "near": [0.41, 0.43, 0.40, 0.42], "waits": [0.5, 0.5, 0.5, None],
    }  # fmt: skip
    made = one(rows, look=2, looks=3, margin=1.5)
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(to_csv([made])))}
    other, near = (made.cells[row, "1/16 (92)"] for row in ("other", "near"))

    assert other.decision is not None
    assert near.decision is not None
    assert near.decision.further is not None
    assert float(lines["other"]["p"]) == pytest.approx(other.decision.p, abs=1e-6)
    bounds = [float(lines["other"][name]) for name in ("delta_low", "delta_high")]
    assert bounds == pytest.approx([other.delta_low, other.delta_high], abs=1e-6)
    named = ("level", "look", "looks", "margin", "comparisons")
    assert float(lines["other"]["level"]) == pytest.approx(made.level, abs=1e-6)
    assert [lines["near"][name] for name in named[1:]] == ["2", "3", "1.5", "3"]
    assert lines["other"]["differences"] == "0/0=4.0 0/1=3.5 0/2=4.0 0/3=3.5"
    assert [line["kind"] for line in lines.values()] == ["base", *["confirmatory"] * 3]
    told = (lines["near"]["further_low"], lines["near"]["further_high"])
    assert told == tuple(map(str, near.decision.further))
    assert lines["waits"]["p"] == lines["waits"]["further_low"] == ""


def test_a_table_is_made_quickly_and_without_heavy_imports(tmp_path: Path) -> None:
    """Processor time is what is bounded, as other work on the machine cannot change it much."""
    study, results, _ = example_study()
    store = Store.open(tmp_path / "store", create=True)
    for key, row in results.items():
        iou = {f"last.test.iou.{index}": 0.5 for index in range(80)}
        store.trial(key).complete({**row, **iou})
    store.write_study("components", "mini", decoded(study))
    code = """
import sys
from semisweep.store import query, store, study_choice
from semisweep.tables import markdown_csv, table_builder
opened = store.Store.open(sys.argv[1])
study = study_choice.choose(opened, "components", "mini").study
found = query.results(opened, study.keys)
print(markdown_csv.to_markdown(table_builder.build(study, found, {})))
heavy = {"torch", "ray", "pandas", "pydantic", "scipy.stats", "statsmodels"} & set(sys.modules)
assert not heavy, heavy
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")], capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert run.returncode == 0, run.stderr
    assert "**51.7 ± 1.2 (3)**" in run.stdout
    assert seconds < 2


def test_a_study_that_went_through_the_store_is_the_same() -> None:
    study, _, _ = example_study()

    assert through_json(decoded(study)) == decoded(study)


def test_a_cell_may_have_a_metric_of_its_own() -> None:
    study, results, failures = make_study({"base": [0.4, 0.5], "row": [0.5, 0.6]})
    study["base"] = "base"
    for key, row in results.items():
        row["last.test.iou.pole"] = 0.1 if key.startswith("base") else 0.3
    for cell in study["cells"]:
        cell["metric"] = "last.test.iou.pole"

    made = built(study, results, failures)

    assert made.cells["row", "1/16 (92)"].delta == pytest.approx(20)
    assert "`last.test.iou.pole`" in to_markdown(made)
    assert {line["metric"] for line in csv.DictReader(to_csv([made]).splitlines())} == {
        "last.test.iou.pole"
    }


NOW = Outside(current=lambda method: "now")


def marked(code: dict[str, str], outside: Outside | None = NOW) -> Table:
    """Return a table of two rows, the older of which was trained by what `code` says."""
    study, results, failures = make_study({"old": [0.4, 0.5], "new": [0.5, 0.6]}, scale="paper")
    for key, row in results.items():
        row |= {"method": "mine:A", "source.digest": "of a comment"}
        row |= code if key.startswith("old") else {"source.code": "now"}
    return built(study, results, failures, outside)


def test_results_of_other_code_than_now_are_marked_in_every_format() -> None:
    table = marked({"source.code": "then"})
    lines = list(csv.DictReader(to_csv([table]).splitlines()))

    assert to_markdown(table).count("(2)†") == 1
    assert "† Other code trained 2 trials. " in to_markdown(table)
    text = to_markdown(table, further=True)
    assert "- † Trained by other code: 2 trials; `mine` or what it" in text
    assert "`semisweep run components --scale paper --retrain ROW`" in text
    assert to_html([table]).count("(2)†") == 1
    assert "<code>mine</code> or what it" in to_html([table])
    assert to_latex([table]).count(r"(2)\textsuperscript{\dag}") == 1
    assert r"\texttt{mine} or what it" in to_latex([table], further=True)
    assert [(line["row"], line["other_code"]) for line in lines] == [("old", "2"), ("new", "0")]
    assert "†" not in to_markdown(marked({"source.code": "now"}))
    assert "†" not in to_markdown(marked({"source.code": "then"}, None))


def test_results_that_say_nothing_of_their_code_are_not_marked_but_told_of() -> None:
    shown = to_markdown(marked({}), further=True)

    assert "Code unknown: 2 trials. " in to_markdown(marked({}))
    assert "†" not in shown
    assert "- Code unknown: 2 trials of an earlier semisweep" in shown


def test_results_of_a_method_that_is_not_here_are_not_marked_but_told_of() -> None:
    made = marked({"source.code": "then"}, Outside(current=lambda method: None))
    shown = to_markdown(made, further=True)

    assert "Code not compared: `mine` is not here. " in to_markdown(made)
    assert "†" not in shown
    assert "- Code not compared: `mine` is not here" in shown


def test_published_numbers_of_columns_that_a_scale_lacks_are_in_the_csv_alone() -> None:
    study, results, failures = make_study({"row": [0.4, 0.5]})
    study["elsewhere"] = [
        {"row": "row", "column": "full", "published": 80.1, "published_std": 0.4, "trials": {}}
    ]
    made = built(study, results, failures)
    last = list(csv.DictReader(to_csv([made]).splitlines()))[-1]

    assert (last["column"], last["published"], last["published_std"], last["mean"], last["n"]) == (
        "full",
        "80.1",
        "0.4",
        "",
        "0",
    )
    assert "80.1" not in to_markdown(made)


def test_what_is_counted_is_shown_in_its_unit_and_never_compared() -> None:
    study, results, failures = make_study({"base": [0.4, 0.5], "row": [0.5, 0.6]})
    study["base"] = "base"
    study["columns"].append({"name": "params", "unit": "M parameters"})
    study["cells"] += [
        {"row": "row", "column": "params", "published": 59.5, "value": 59.4683, "trials": {}}
    ]
    made = built(study, results, failures)
    last = list(csv.DictReader(to_csv([made]).splitlines()))[-1]

    assert "published, M parameters" in to_markdown(made)
    assert "59.5 |" in to_markdown(made)
    assert (last["mean"], last["n"], last["delta"], last["verdict"]) == ("59.4683", "0", "", "")
    assert made.comparisons == 1
