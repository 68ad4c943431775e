"""The report: one page that shows what the store has, escaped, whatever the store has."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_search, fill_table
from resolved import search

from semisweep import Objective, Store
from semisweep.report import curve_plots, page, search_figures
from semisweep.report.sections import Section, as_html
from semisweep.statistics.intervals import interval, mean_std
from semisweep.store.query import results
from semisweep.store.snapshot import Snapshot
from semisweep.store.trial_records import Result
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Label

VOID = {"meta", "img", "br", "path", "circle", "rect"}
EVIL = "<script>alert(1)</script>"


class Checked(HTMLParser):
    """Reads a page; knows its elements and text, and fails on a tag that is closed wrongly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.seen if tag == name]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def asked(root: Path, **changed: Any) -> Request:
    return Request(roots=Roots(root.parent / "data"), store=str(root), **changed)


def made(root: Path, *names: str) -> tuple[list[Section], str]:
    request = asked(root)
    sections = page.sections_for(page.studies_for(names, request), request)
    return sections, page.page(sections, request.store)


@pytest.fixture
def root(tmp_path: Path, tiny_shapes: Path) -> Path:
    fill_table(tmp_path / "store", "rankmatch_agents", tiny_shapes.parent)
    return tmp_path / "store"


def test_a_page_loads_nothing_and_runs_nothing(root: Path, tiny_shapes: Path) -> None:
    fill_search(root, tiny_shapes.parent)
    _, text = made(root)
    found = Checked(text)

    assert not found.tags("script")
    assert not found.tags("link")
    assert not re.search(r"https?://|url\(|@import|\son\w+=", text)
    links = [str(attributes["href"]) for attributes in found.tags("a")]
    anchors = {attributes.get("id") for _, attributes in found.seen}
    assert len(links) > 4
    assert all(link[0] == "#" and link[1:] in anchors for link in links)


def test_every_cell_stands_with_its_numbers_keys_and_command(root: Path) -> None:
    _, text = made(root)
    study = Store.open(root).read_table("rankmatch_agents", "mini")
    assert study is not None
    shown = Checked(text).text

    for cell in study.cells:
        for key in cell.trials.values():
            assert key in shown
        assert f"{cell.published:g}" in shown
    table = build(study, results(root, Store.open(root).keys()), {})
    for built in table.cells.values():
        assert f"{built.mean:.1f} ± {built.std:.1f} (3)" in shown
        assert f"[{built.low:.1f}, {built.high:.1f}]" in shown
    command = f"semisweep debug rankmatch_agents agents=256 --column '1/16 (92)' --seed 0 --scale mini --store {root}-again"  # fmt: skip  # noqa: E501
    assert command in shown


def test_text_of_any_origin_is_escaped(root: Path) -> None:
    store = Store.open(root)
    study = store.read_table("rankmatch_agents", "mini")
    assert study is not None
    key = study.cells[0].trials["0/0"]
    (store.trial(key).path / "result.parquet").unlink()
    store.trial(key).fail({"key": key, "error": f"broke {EVIL}", "attempts": 1, "trial": {}})
    text = f"{EVIL} & more"
    rows = (study.rows[0], study.rows[1]._replace(label=text), *study.rows[2:])
    columns = (study.columns[0]._replace(label=f'"{EVIL}'),)
    notes = (text, *study.notes[1:])
    evil = dataclasses.replace(study, title=text, notes=notes, rows=rows, columns=columns)
    store.write_study("rankmatch_agents", "mini", evil)

    _, text = made(root)

    found = Checked(text)
    assert EVIL not in text
    assert not found.tags("script")
    assert found.text.count(EVIL) >= 5
    assert f"broke {EVIL}" in found.text
    assert not re.search(r'="[^"]*<script', text)


def test_an_empty_store_and_a_missing_one_say_so(tmp_path: Path) -> None:
    Store.open(tmp_path / "empty", create=True)

    for name in ("empty", "absent"):
        sections, text = made(tmp_path / name)
        assert sections == []
        assert "This store has no studies" in Checked(text).text
    assert not (tmp_path / "absent").exists()


def test_a_study_that_never_ran_shows_its_published_curve(tmp_path: Path) -> None:
    sections, text = made(tmp_path / "absent", "rankmatch_agents")

    figures = [figure for part in sections[0].parts for figure in part.figures]
    assert [figure.caption for figure in figures] == ["Published over agents."]
    assert "published 71.6" in Checked(text).text


def test_notes_are_those_of_the_markdown_table(root: Path) -> None:
    from semisweep.tables.footnotes import all_notes
    from semisweep.tables.markdown_csv import to_markdown

    study = Store.open(root).read_table("rankmatch_agents", "mini")
    assert study is not None
    table = build(study, results(root, Store.open(root).keys()), {})

    plain = [
        unescape(re.sub(r"</?code>", "`", str(note)))
        for note in as_html(all_notes(table, further=True))
    ]

    assert len(plain) > 4
    assert [f"- {note}" for note in plain] == [
        line for line in to_markdown(table, further=True).splitlines() if line.startswith("- ")
    ]


@pytest.mark.parametrize(
    ("names", "label", "values"),
    [
        (("agents=64", "agents=128", "agents=256"), "agents", [64, 128, 256]),
        (("0.05", "0.1", "0.2"), "setting", [0.05, 0.1, 0.2]),
        (("1/16 (92)", "1/8 (183)", "Full (1464)"), "labelled images", [92, 183, 1464]),
        (("lambda=1e-3", "lambda=0.01", "lambda=.1"), None, None),
        (("agents=64", "rank=128", "agents=256"), None, None),
        (("64", "128"), None, None),
        (("64", "64.0", "128"), None, None),
        (("supervised", "1", "2"), None, None),
    ],
)
def test_rows_that_are_values_of_one_setting_are_known(
    names: tuple[str, ...], label: str | None, values: list[float] | None
) -> None:
    found = curve_plots.setting_of([Label(name, name) for name in names], "setting")

    assert (found and found.label) == label
    assert (found and list(found.values.values())) == values


def test_published_rows_are_no_values(root: Path) -> None:
    labels = [Label(str(n), str(n)) for n in (1, 2, 4)] + [Label("theirs", "theirs", True)]

    found = curve_plots.setting_of(labels, "setting")

    assert found is not None
    assert list(found.values) == ["1", "2", "4"]


def test_a_study_shows_the_curves_that_its_figure_draws(root: Path) -> None:
    store = Store.open(root)
    study = store.read_table("rankmatch_agents", "mini")
    assert study is not None
    caption = "Student.loss over training"
    before = made(root)[1].count(caption)
    store.write_study(
        "rankmatch_agents", "mini", dataclasses.replace(study, curves=("student.loss",))
    )
    after = made(root)[1].count(caption)
    store.write_study("rankmatch_agents", "mini", study)

    assert after == before + len(study.columns)


def test_a_dense_curve_of_losses_is_drawn_by_the_means_of_its_stretches() -> None:
    import numpy as np

    steps = np.arange(1.0, 97.0)
    values = np.where(steps % 2, 1.0, 3.0)
    values[10] = np.nan
    found = curve_plots.averaged(steps, values)

    assert len(found[0]) == curve_plots.SHAPE_POINTS
    assert found[0][-1] == 96
    assert found[1][-1] == 2.0
    few = curve_plots.averaged(steps[:20], values[:20])
    assert few[0].tolist() == [step for step in steps[:20] if step != 11]


def test_curves_of_trials_that_have_come_differently_far_are_summarised() -> None:
    import numpy as np

    first = (np.array([10.0, 20.0, 30.0]), np.array([1.0, 3.0, 5.0]))
    second = (np.array([10.0, 20.0]), np.array([3.0, np.nan]))
    third = (np.array([20.0, 30.0]), np.array([7.0, 7.0]))

    found = curve_plots.summarised([first, second, third])

    assert found == ([10.0, 20.0, 30.0], [2.0, 5.0, 6.0], [1.0, 3.0, 5.0], [3.0, 7.0, 7.0])
    assert curve_plots.summarised([(np.array([]), np.array([]))]) is None


def test_classes_have_student_intervals_of_the_trials_that_show_them() -> None:
    given = [{"a": 0.5, "b": 0.2}, {"a": 0.6, "b": None}, {"a": 0.55, "b": None}]
    rows = [Result("k", row) for row in given]

    (_, mean, low, high), (_, other, *bounds) = curve_plots.class_means(rows, ["a", "b"])

    values = [50.0, 60.0, 55.0]
    assert mean == pytest.approx(mean_std(values)[0])
    assert (low, high) == pytest.approx(interval(values))
    assert other == pytest.approx(20.0)
    assert all(bound != bound for bound in bounds)


def test_the_front_is_what_no_other_trial_beats() -> None:
    values = [(0.7, 5.0), (0.6, 3.0), (0.6, 4.0), (0.5, 3.0), (0.9, 9.0), (0.7, 5.0)]
    trials = [search_figures.SearchTrial(i, {}, pair, f"k{i}") for i, pair in enumerate(values)]
    also = (Objective(metric="b", direction="minimize"),)
    study = search([trial.key for trial in trials], metric="a", also=also, space={})

    assert [trial.number for trial in search_figures.front(study, trials)] == [0, 1, 4, 5]


def test_a_search_shows_its_course_front_importances_and_slices(
    tmp_path: Path, tiny_shapes: Path
) -> None:
    fill_search(tmp_path / "store", tiny_shapes.parent, also=True)

    sections, _ = made(tmp_path / "store")

    captions = [figure.caption for part in sections[0].parts for figure in part.figures]
    assert [caption.split()[1] for caption in captions[:2]] == ["course", "Pareto"]
    assert any(caption.startswith("Importance") for caption in captions)
    assert sum(caption.startswith("Score over") for caption in captions) == 3
    study = Store.open(tmp_path / "store").read_search("rankmatch_search", "mini")
    assert study is not None
    trials = search_figures.search_trials(
        study, Snapshot(Store.open(tmp_path / "store"), study.keys)
    )
    best = max(trials, key=lambda trial: trial.values[0])
    assert sections[0].body[0][1] == best.key
    shares = search_figures.importances(study, trials)
    assert list(shares.standing_out) == ["config.threshold"]  # which makes the score
    assert "Not confirmed" in sections[0].notes[1]
    assert sections[0].notes[2].startswith("Importance: config.threshold ")


def test_a_report_of_results_imports_neither_torch_nor_ray(root: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom semisweep.cli import main\n"
        f"try: main(['report', '--store', {str(root)!r}])\nexcept SystemExit as s: code = s.code\n"
        "print(code, [n for n in ('torch', 'ray', 'timm', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    Checked((tmp_path / "report.html").read_text())


def test_the_command_writes_all_studies_or_those_that_are_named(
    call: Callable[..., Any], root: Path, tmp_path: Path, tiny_shapes: Path
) -> None:
    fill_search(root, tiny_shapes.parent, trials=2)

    both = call("report", "--store", root)
    one = call("report", "rankmatch_agents", "--store", root, "--output", tmp_path / "one.html")
    none = call("report", "rankmatch_agent", "--store", root)

    assert both.out.startswith("report.html: 2 studies")
    assert one.out.startswith(f"{tmp_path / 'one.html'}: 1 studies")
    assert none.code == 2
    assert "did you mean rankmatch_agents" in none.error


def test_lazy_rows_hold_what_results_hold(root: Path) -> None:
    store = Store.open(root)
    stored = Snapshot(store, store.keys())

    assert stored.results == results(store, store.keys())
    key = store.keys()[0]
    assert stored.histories.of(key, "step").tolist() == [300, 600, 900, 1200, 1500]
    assert len(stored.histories.of("absent", "step")) == 0


def test_a_store_whose_path_is_no_text_has_a_page(
    tmp_path: Path, tiny_shapes: Path, call: Callable[..., Any]
) -> None:
    store = tmp_path / os.fsdecode(b"caf\xe9")  # in Latin-1
    fill_table(store, "quickstart", tiny_shapes.parent)

    said = call("report", "--store", store, "--output", tmp_path / "page.html")

    assert said.code == 0
    assert "caf\\udce9" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_without_a_name_is_refused(
    tmp_path: Path, tiny_shapes: Path, call: Callable[..., Any], refused: Callable[..., None]
) -> None:
    fill_table(tmp_path / "store", "quickstart", tiny_shapes.parent)

    refused(call("report", "--store", tmp_path / "store", "--output", ""), "must have a name")
