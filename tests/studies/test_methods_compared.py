"""The comparison of all methods that the README shows: whose trials it is, and that they repeat."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from semisweep.data.shapes import make
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits, resolve

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS / "benchmarks"))
from compared import GOLDEN, STUDY, TRAINED_ANEW, first_losses, lines  # noqa: E402

README = TESTS.parent / "README.md"


@pytest.fixture(scope="module")
def golden():
    return pd.read_parquet(GOLDEN)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = make(tmp_path_factory.mktemp("data") / "shapes")
    return Splits(Roots(root.parent, {}))


def test_the_results_are_those_of_the_study_as_it_is(golden, splits):
    wanted = resolve(find_study(STUDY), "mini", splits).trials

    assert set(golden.key[golden.generator_seed == 0]) == set(wanted)


@pytest.mark.parametrize("row", TRAINED_ANEW)
def test_the_first_steps_of_a_cell_repeat(golden, splits, row):
    cell = golden[(golden.row == row) & (golden.seed == 0) & golden.first_losses.notna()].iloc[0]
    trial = resolve(find_study(STUDY), "mini", splits).trials[cell.key]

    assert first_losses(trial, splits) == pytest.approx(list(cell.first_losses), rel=1e-4)


def test_the_readme_shows_the_results(golden):
    shown = README.read_text().partition("Do the methods work?")[2].splitlines()
    wanted = list(lines(golden))

    assert len(wanted) == 13
    assert not set(wanted) - set(shown)
