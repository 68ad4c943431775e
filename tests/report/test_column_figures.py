"""Figures of a table's columns: bars of single classes, size by score, and where curves begin."""

from __future__ import annotations

import re
from pathlib import Path

from report_store import fill_table
from resolved import cell, results, table

from semisweep import Store
from semisweep.report import page
from semisweep.report.column_figures import column_bars, scores_by_count
from semisweep.report.curve_plots import over_training
from semisweep.report.figure import Figure
from semisweep.store.resolved_study import Label, ResolvedStudy
from semisweep.store.snapshot import Snapshot
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.table_builder import build


def told(figure: Figure) -> list[str]:
    """Return what the marks and bars of a figure say."""
    return re.findall(r"<title>([^<]*)</title>", str(figure.svg))


def test_bars_are_of_the_class_that_each_column_scores() -> None:
    study = table(
        cell(["a"], row="base", column="wall", metric="last.test.iou.wall"),
        cell(["b"], row="STPG", column="wall", metric="last.test.iou.wall"),
        cell(["a"], row="base", column="pole", metric="last.test.iou.pole"),
        cell(["b"], row="STPG", column="pole", metric="last.test.iou.pole"),
    )
    rows = results(
        {
            "a": {"last.test.iou.wall": 0.25, "last.test.iou.pole": 0.5, "last.test.miou": 0.9},
            "b": {"last.test.iou.wall": 0.75, "last.test.iou.pole": 0.6, "last.test.miou": 0.9},
        }
    )

    (figure,) = column_bars(build(study, rows, {}))

    assert told(figure) == [
        "base, wall: 25.0", "STPG, wall: 75.0", "base, pole: 50.0", "STPG, pole: 60.0",
    ]  # fmt: skip
    assert [name for _, name in figure.legend] == ["base", "STPG"]
    assert "The IoU of each column" in figure.caption


def test_columns_of_one_metric_have_no_such_bars() -> None:
    study = table(cell(["a"], column="one"), cell(["b"], column="two"))
    rows = results({key: {"last.test.miou": 0.5} for key in "ab"})

    assert list(column_bars(build(study, rows, {}))) == []


def test_a_score_and_a_count_are_one_figure_ours_and_published_apart() -> None:
    study = table(
        cell(["a"], row="small", column="mIoU", published=70.0),
        cell(row="small", column="size", value=25.0, published=24.8),
        cell(row="theirs", column="mIoU", published=80.0),
        cell(row="theirs", column="size", published=60.0),
        columns=(Label("mIoU", "mIoU"), Label("size", "params (M)", unit="M")),
    )
    rows = results({"a": {"last.test.miou": 0.5}})

    ours, published = scores_by_count(build(study, rows, {}))

    assert told(ours) == ["small: 50 with 25 M"]
    assert told(published) == ["small: 70 with 24.8 M", "theirs: 80 with 60 M"]
    assert ">theirs</text>" in str(published.svg)


def begun_late(root: Path) -> tuple[ResolvedStudy, Snapshot]:
    """Return a table whose first row is evaluated from a fifth of 100 steps on."""
    study = table(cell(["late"], row="GPS"), cell(["at-once"], row="CPS"))
    store = Store.open(root, create=True)
    for key, first in (("late", 20), ("at-once", 0)):
        rows = [{"step": first + step, "val.miou": step / 100} for step in (10, 20, 30)]
        store.trial(key).append_history(rows)
        share = first / 100
        more = {"training.evaluate_from": share, "training.stop_share": 0.3 + share}
        store.trial(key).complete({"last.test.miou": 0.5, "total_steps": first + 30, **more})
    return study, Snapshot(store, study.keys)


def test_curves_begin_where_a_row_is_evaluated_from(tmp_path: Path) -> None:
    study, stored = begun_late(tmp_path)
    trials = {own.place: own.trials for own in study.cells}

    (figure,) = over_training(build(study, stored.results, {}), stored, trials, ["val.miou"])

    lines = re.findall(r'class="line s\d" d="M([^"]+)"', str(figure.svg))
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert "from where evaluation begins" in figure.svg
    assert "without the 20 steps before a row is evaluated" in figure.caption


def test_columns_of_the_same_trials_have_one_figure_together(tmp_path: Path) -> None:
    study, stored = begun_late(tmp_path)
    twice = table(
        *study.cells, *(cell(own.trials, row=own.row, column="two") for own in study.cells)
    )
    trials = {own.place: own.trials for own in twice.cells}

    (figure,) = over_training(build(twice, stored.results, {}), stored, trials, ["val.miou"])

    assert "one and 1 more" in figure.caption


def test_the_papers_figures_are_drawn_of_their_studies(tmp_path: Path, tiny_shapes: Path) -> None:
    wanted = {
        "stpg_memory": "Ours over N",
        "stpg_weight": "Ours and published over lambda_u",
        "segkc_efficiency": "mIoU over params (M), published",
    }
    root = tmp_path / "store"
    for name in wanted:
        fill_table(root, name, tiny_shapes.parent)
    request = Request(roots=Roots(tiny_shapes.parent), store=str(root))
    for name, caption in wanted.items():
        (section,) = page.sections_for(page.studies_for((name,), request), request)
        assert "Figure" in section.title
        shown = [figure.caption for part in section.parts for figure in part.figures]
        assert any(own.startswith(caption) for own in shown)
