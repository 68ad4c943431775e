"""The report on a screen: no text lies over another, nothing is cut off, signs are explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Browser, browser, executable
from report_store import fill_table
from resolved import cell, search, table

from semisweep import Halving, Store
from semisweep.report import page as report
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import RungDecision
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request

STUDY = "rankmatch_agents"
# Texts of a figure that lie over each other, or that leave it.
FAULTS = """
[...document.querySelectorAll('figure svg, tfoot svg')].flatMap((figure) => {
  const frame = figure.getBoundingClientRect();
  const texts = [...figure.querySelectorAll('text')];
  const boxes = texts.map((own) => own.getBoundingClientRect());
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 &&
    a.top < b.bottom - 2 && b.top < a.bottom - 2;
  return texts.flatMap((own, at) => [
    ...texts.slice(at + 1).filter((_, next) => over(boxes[at], boxes[at + 1 + next]))
      .map((other) => `${own.textContent} over ${other.textContent}`),
    ...(boxes[at].left < frame.left - 1 || boxes[at].right > frame.right + 1 ||
      boxes[at].top < frame.top - 1 || boxes[at].bottom > frame.bottom + 1
      ? [`${own.textContent} is cut off`] : []),
  ]);
})
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Path:
    """A store of a table, one of tiny losses and long names, and a search that stopped trials."""
    root = tmp_path_factory.mktemp("screens") / "store"
    fill_table(root, STUDY, tiny_shapes.parent)
    fill_table(root, "segkc_efficiency", tiny_shapes.parent)
    store = Store.open(root)
    store.write_study("wide", "mini", table(cell(["w0"]), name="wide"))
    store.trial("w0").append_history(
        [
            {"step": step, "a_network_of_a_very_long_name_of.loss": value}
            for step, value in ((10_000, -0.000125), (20_000, -0.000375))
        ]
    )
    classes = ("background", "a class of a very long name indeed", "WWWWWWWWWWWWWWWWWWWWWWWWW")
    store.trial("w0").complete(
        {"last.test.miou": 0.5} | {f"last.test.iou.{name}": 0.99 for name in classes}
    )
    fill_halving(store)
    return root


def fill_halving(store: Store) -> None:
    """Write a search of three finished trials and one that it stopped at step 10."""
    keys = ("h0", "h1", "h2", "h3")
    found = search(keys, name="halved", halving=Halving(), identity="halved")
    trials = tuple(
        replace(own, params={"config.weight": 0.5 + own.number, "config.size": 2**own.number})
        for own in found.trials
    )
    store.write_study("halved", "mini", replace(found, trials=trials))
    for number, key in enumerate(keys):
        curve = [{"step": step, "val.miou": 0.1 * number + step / 100} for step in (10, 20, 30)]
        store.trial(key).append_history(curve[: 1 if key == "h1" else 3])
        if key != "h1":
            store.trial(key).complete({"last.val.miou": 0.5 + 0.1 * number})
    stop = RungDecision(step=10, rung=0.33, value=0.2, stop=True, against={}, search="halved")
    stopped_trial.append_rung(store.trial("h1"), stop)
    stopped_trial.stop(store.trial("h1"), 10, {"val.miou": 0.2})


def written(root: Path, *names: str) -> str:
    """Return the report on some studies, by default all."""
    request = Request(roots=Roots(root / "absent"), store=str(root))
    sections = report.sections_for(report.studies_for(names, request), request)
    return report.page(sections, request.store)


@pytest.fixture(scope="module")
def page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The report in a browser, with all that is folded open."""
    folder = tmp_path_factory.mktemp("browser")
    report.write(written(root), folder / "report.html")
    with browser(folder / "files") as found:
        found.open((folder / "report.html").as_uri())
        found.value("document.querySelectorAll('details').forEach((own) => { own.open = true })")
        yield found
        assert not found.complaints


@pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [420, 1400])
def test_no_text_of_a_figure_is_over_another_or_cut_off(
    page: Browser, width: int, dark: bool
) -> None:
    page.resize(width, dark=dark)

    assert page.value("document.querySelectorAll('figure svg.plot').length") > 8
    assert page.value(FAULTS) == []
    assert page.value("document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH")
@pytest.mark.parametrize("width", [420, 1400])
def test_an_axis_stands_under_the_pictures_of_intervals_and_differences(
    page: Browser, width: int
) -> None:
    page.resize(width)
    kinds = (("tbody svg.interval", "tfoot .span svg"), ("tbody svg.dots", "tfoot .delta svg"))
    for above, below in kinds:
        pictures = f"#{STUDY}-mini {above}, #{STUDY}-mini {below}"
        ends = page.value(
            f"[...document.querySelectorAll('{pictures}')].map((own) => "
            "{ const at = own.getBoundingClientRect(); return `${at.left} ${at.right}` })"
        )
        assert len(ends) > 3
        assert len(set(ends)) == 1


def test_the_signs_of_a_table_are_explained_where_they_are(root: Path) -> None:
    text = written(root, STUDY)

    assert "<span>ours, 96 % interval</span>" in text
    assert "<span>published</span>" in text
    assert "Δ of a replicate" in text
    assert "<span>published</span>" not in written(root, "wide")


def test_stopped_trials_of_a_search_are_in_its_list_and_figures(root: Path) -> None:
    text = written(root, "halved")

    assert "20.00 at step 10, stopped" in text
    assert text.count("#1: 20.00 at step 10, stopped</title>") == 4  # course, two slices, curves
    assert "a stopped trial, at its last rung" in text
    assert "val.miou (%) of every trial over training" in text
    assert [text.index(f"<td>#{number}</td>") for number in (3, 2, 0, 1)] == sorted(
        text.index(f"<td>#{number}</td>") for number in range(4)
    )
