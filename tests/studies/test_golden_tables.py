"""One table of each paper at mini scale: of which trials it is, and how it is shown."""

import sys
from html import unescape
from pathlib import Path

import pytest
import resolved

from semisweep import Store
from semisweep.data.shapes import make
from semisweep.report import page
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.tables.table_builder import build

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from mini_tables import TABLES, kept_rows, keys_of_all, render, resolved_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = make(tmp_path_factory.mktemp("data") / "shapes")
    return resolved_tables(Splits(Roots(root.parent, {})))


def test_the_results_are_those_of_the_studies_as_they_are(tables):
    """A method of another version has other keys: its trials are to be trained anew."""
    assert kept_rows().keys() == keys_of_all(tables)
    assert len({own.paper for own in tables}) == 5


def test_the_tables_are_what_the_results_say(tables):
    assert TABLES.read_text(encoding="utf-8") == render(tables, kept_rows())


def test_the_report_shows_every_cell(tables, tmp_path):
    rows = kept_rows()
    store = Store.open(tmp_path / "store", create=True)
    for own in tables:
        store.write_study(own.name, "mini", own)
    for key, row in rows.items():
        row = {name: value for name, value in row.items() if value is not None}
        store.trial(key).complete(row | {"run.seconds": 60.0, "run.device": "cpu"})
    request = Request(roots=Roots(tmp_path), store=str(store.root))
    text = unescape(page.page(page.sections_for(page.studies_for((), request), request), "store"))

    for own in tables:
        assert own.title in text
        for cell in build(own, resolved.results(rows), {}).cells.values():
            assert f"{cell.mean:.1f}" in text
            if cell.published is not None:
                assert f"{cell.published:g}" in text
