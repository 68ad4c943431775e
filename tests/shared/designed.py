"""Resolved designs for tests: which switches are on in which rows, and results made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from resolved import results
from resolved import table as plain_table

from semisweep.store.resolved_design import Design, Kind
from semisweep.store.resolved_study import ResolvedCell, ResolvedStudy
from semisweep.store.trial_records import Result
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table

On = frozenset[str]


def row_name(on: Sequence[str], switches: Sequence[str]) -> str:
    """Return what rows of designs are called."""
    return "full" if len(on) == len(switches) else "+".join(on) or "none"


def design(
    kind: Kind,
    sets: Sequence[Sequence[str]],
    switches: Sequence[str],
    **more: Any,
) -> Design:
    """Return a design of some sets of switches."""
    on = {row_name(own, switches): tuple(own) for own in sets}
    return Design(kind=kind, switches=tuple(switches), on=on, **more)


def every_set(switches: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all sets of switches, smaller ones first."""
    return [on for n in range(len(switches) + 1) for on in itertools.combinations(switches, n)]


def study_of(own: Design, draws: int = 5, **more: Any) -> ResolvedStudy:
    """Return the resolved study of a design, a trial a draw; keys are "row-draw"."""
    cells = [
        ResolvedCell(
            row=row,
            column="one",
            trials={f"{draw}/0": f"{row.replace('+', '-')}-{draw}" for draw in range(draws)},
        )
        for row in own.on
    ]
    base = "full" if "full" in own.on else next(iter(own.on))
    return plain_table(*cells, design=own, base=base, **more)


def results_of(
    study: ResolvedStudy, value: Callable[[On], float], noise: float = 0.3, seed: int = 0
) -> dict[str, Result]:
    """Return results in which a row has a value, in percent, and each trial noise of its own."""
    assert study.design is not None
    numbers = np.random.default_rng(seed)
    found: dict[str, Mapping[str, object]] = {}
    for cell in study.cells:
        on = frozenset(study.design.on.get(cell.row, ()))
        for key in cell.trials.values():
            found[key] = {study.metric: (value(on) + numbers.normal(0, noise)) / 100}
    return results(found)


def table_of(
    study: ResolvedStudy, value: Callable[[On], float], noise: float = 0.3, **more: Any
) -> Table:
    """Return the table of a design with all results."""
    return build(study, results_of(study, value, noise), {}, **more)
