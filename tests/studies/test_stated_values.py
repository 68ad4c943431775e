"""What the papers say of their recipes, a row a statement, beside what the studies train."""

from __future__ import annotations

import csv
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from semisweep.study.catalogue import find_study, study_names
from semisweep.study.recipe import Cell, cells_of

HERE = Path(__file__).parent
PAPERS = ("css", "gps", "rankmatch", "segkc", "stpg")


class Statement(NamedTuple):
    """A value that a paper states, and the cells that it is of.

    `study`: a name or a pattern of names; `scope`: a row or a column, "" for all cells. A value may
    end with * where the paper says less, such as a network without its weights.
    """

    study: str
    scope: str
    field: str
    value: str
    section: str

    def allows(self, value: str) -> bool:
        beginning = self.value.removesuffix("*")
        return value == self.value or (beginning != self.value and value.startswith(beginning))


def stated(paper: str) -> list[Statement]:
    with (HERE / f"stated_{paper}.csv").open(newline="") as file:
        return [Statement(**row) for row in csv.DictReader(file)]


@cache
def cells(study: str) -> list[Cell]:
    own = find_study(study)
    return cells_of(own, "paper", {}) if "paper" in own.presets else []


@pytest.mark.parametrize("paper", PAPERS)
def test_presets_hold_what_their_paper_states(paper: str) -> None:
    problems = []
    for own in stated(paper):
        names = [name for name in study_names() if fnmatch(name, own.study)]
        found = [
            (name, cell.place, str(cell.values[own.field]))
            for name in names
            for cell in cells(name)
            if own.scope in ("", *cell.place) and own.field in cell.values
        ]
        if not found:
            problems.append(f"{own}: no cell has the field")
        problems += [f"{own}: {name} {p} has {v}" for name, p, v in found if not own.allows(v)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("paper", PAPERS)
def test_statements_say_where_they_stand(paper: str) -> None:
    own = stated(paper)
    assert len(own) >= 35
    assert all(one.section and one.value and one.field for one in own)
    assert len({one[:3] for one in own}) == len(own), "one value for each"


def test_all_studies_are_told_as_csv(call: Callable[..., Any]) -> None:
    """Every field of every cell that is trained at paper scale, each with a source."""
    said = call("studies", "all", "--scale", "paper", "--format", "csv")
    lines = list(csv.DictReader(said.out.splitlines()))
    expected = {(name, *cell.place) for name in study_names() for cell in cells(name)}

    assert said.code == 0
    assert {(own["study"], own["row"], own["column"]) for own in lines} == expected
    assert len(lines) == sum(len(cell.values) for name in study_names() for cell in cells(name))
    silent = {own["field"] for own in lines if not own["source"].strip()}
    assert not silent
