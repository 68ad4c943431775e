"""Tables that were trained in full: of which trials they are, and how they are shown.

Those on CamVid are compared with the studies where SEMISWEEP_TEST_CAMVID names a folder of it.
"""

import os
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
import resolved

from semisweep import Store
from semisweep.data.shapes import make
from semisweep.report import page
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.table_builder import build
from semisweep_studies.photo import OPTIONS, RATE

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from golden_tables import MINI, PHOTO, Golden, keys_of_all, render

CAMVID = os.environ.get("SEMISWEEP_TEST_CAMVID")  # before it is hidden from all tests
GUIDE = Path(__file__).parents[2] / "studies" / "README.md"


@pytest.fixture(scope="module", params=[MINI, PHOTO], ids=lambda own: own.scale)
def golden(request):
    return request.param


@pytest.fixture(scope="module")
def tables(golden: Golden, tmp_path_factory):
    if golden is PHOTO:
        if CAMVID is None:
            pytest.skip("SEMISWEEP_TEST_CAMVID names no folder of CamVid")
        return golden.resolved(Path(CAMVID))
    return golden.resolved(make(tmp_path_factory.mktemp("data") / "shapes"))


def test_the_results_are_those_of_the_studies_as_they_are(golden: Golden, tables):
    """A method of another version has other keys: its trials are to be trained anew."""
    assert golden.rows().keys() == keys_of_all(tables)
    assert len(tables) == len(golden.studies)


def test_the_tables_are_what_the_results_say(golden: Golden, tables):
    assert golden.tables.read_text(encoding="utf-8") == render(tables, golden.rows())


def test_the_report_shows_every_cell(golden: Golden, tables, tmp_path):
    rows = golden.rows()
    store = Store.open(tmp_path / "store", create=True)
    for own in tables:
        store.write_study(own.name, golden.scale, own)
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


def test_the_guide_shows_the_table_on_photographs():
    """Mean and deviation of each row, from the results alone."""
    found = pd.read_parquet(PHOTO.results)
    found = found[found[RATE] == OPTIONS["cpu"].set[RATE]]
    text = GUIDE.read_text(encoding="utf-8")
    for name in ("Supervised", "UniMatch", "RankMatch"):
        own = 100 * found[found["method"].str.endswith(f":{name}")]["last.test.miou"]
        assert len(own) == 3
        told = f"{own.mean():.1f} ± {own.std():.1f} (3)"
        lines = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
        assert any(told in line for line in lines), told
