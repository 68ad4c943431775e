"""A table in a script and in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import designed
import pytest
import resolved

import semisweep
from semisweep.core.errors import ConfigError
from semisweep.store.resolved_search import ResolvedSearch


@pytest.fixture
def read(kept_store: Path) -> semisweep.Results:
    return semisweep.table("quickstart", kept_store, scale="paper")


def test_a_table_prints_as_text_and_its_failures_beneath(read: semisweep.Results) -> None:
    assert str(read) == repr(read)
    assert str(read).startswith("## A table of tests (paper scale)\n")
    assert str(read).endswith("failed: bbbb: it broke\n")
    assert read.failures == ["bbbb: it broke"]
    assert read.name == "quickstart"


def test_a_notebook_gets_a_fragment_of_html(read: semisweep.Results) -> None:
    root = ElementTree.fromstring(f"<div>{read._repr_html_()}</div>")

    assert [row.findtext("th") for row in root.iterfind(".//tbody/tr")] == ["ours"]
    assert root.findall("ul/li")[-1].text == "failed: bbbb: it broke"


def test_each_format_is_there(read: semisweep.Results) -> None:
    assert read.to_markdown() in str(read)
    assert r"\toprule" in read.to_latex()
    assert read.to_html().startswith("<!doctype html>")
    assert read.to_csv().startswith("study,")


def test_trials_are_those_of_the_study(read: semisweep.Results, kept_store: Path) -> None:
    semisweep.Store.open(kept_store)
    frame = read.trials(["last.test.miou"])

    assert list(frame["key"]) == ["aaaa", "bbbb"]
    assert list(frame.columns) == ["key", "status", "last.test.miou"]
    assert list(read.history().columns) == ["key", "step"]


def test_a_compact_table_is_one_of_rows_and_columns(kept_store: Path) -> None:
    compact = semisweep.table("quickstart", kept_store, scale="paper", compact=True)

    assert "<caption>" in compact._repr_html_()
    assert "(1 of 2, 1 failed)" in str(compact)


def test_a_search_is_shown_and_has_no_compact_table(tmp_path: Path) -> None:
    store = semisweep.Store.open(tmp_path / "store", create=True)
    search = resolved.search([])
    assert isinstance(search, ResolvedSearch)
    store.write_study("css_search", "mini", search)

    assert semisweep.table("css_search", tmp_path / "store")._repr_html_().startswith("<pre>")
    with pytest.raises(ConfigError, match="rows and columns, got study=searched, a search"):
        str(semisweep.table("css_search", tmp_path / "store", compact=True))


def test_without_a_store_there_is_a_table_and_no_trials(tmp_path: Path) -> None:
    read = semisweep.table("quickstart", tmp_path / "nothing")

    assert "RankMatch" in str(read)
    with pytest.raises(ConfigError, match="a store must be there to be read"):
        read.trials()


def test_a_table_of_what_was_run_imports_neither_torch_nor_ray(kept_store: Path) -> None:
    script = (
        "import sys, semisweep\n"
        f"str(semisweep.table('quickstart', {str(kept_store)!r}, scale='paper'))\n"
        "print([name for name in ('torch', 'ray', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


def test_effects_of_a_design_are_a_frame(tmp_path: Path) -> None:
    store = semisweep.Store.open(tmp_path / "store", create=True)
    own = designed.design("leave-one-out", [("a", "b"), ("b",), ("a",)], ("a", "b"))
    study = designed.study_of(own, 3, name="gps/leave-one-out")
    for key, row in designed.results_of(study, lambda on: 60 + 5 * ("a" in on), 0.0).items():
        store.trial(key).complete({study.metric: row.number(study.metric)})
    store.write_study(study.name, "mini", study)
    found = semisweep.table("gps/leave-one-out", store.root).effects()

    assert list(found["effect"]) == ["a", "b"]
    assert list(found["mean"]) == pytest.approx([5, 0])


def test_effects_are_refused_of_other_tables(read: semisweep.Results) -> None:
    with pytest.raises(ConfigError, match="effects must be asked of a design"):
        read.effects()
