"""What a table holds, as plain values: cells, labels, and what a reader must know of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from semisweep.statistics.decisions import Decision
from semisweep.statistics.design_effects import Effect
from semisweep.statistics.image_bootstrap import ImageTest
from semisweep.statistics.intervals import Noise
from semisweep.statistics.order_agreement import Agreement
from semisweep.store.resolved_design import Design
from semisweep.store.resolved_study import Label, Place
from semisweep.store.resolved_tuning import Tuning
from semisweep.tables.code_marks import CodeMarks

Kind = Literal["", "base", "confirmatory", "exploratory"]


class Imported(NamedTuple):
    """Numbers of a cell that were trained elsewhere: never counted with our own trials."""

    n: int
    mean: float
    std: float
    low: float
    high: float
    sources: tuple[str, ...]  # what they say of where they come from


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in a table. Numbers are in percent; NaN is what the trials cannot tell (yet)."""

    row: str
    column: str
    published: float | None
    published_std: float | None
    keys: tuple[str, ...]  # of the finished trials, which the numbers below are of
    wanted: int  # trials
    failed: int  # trials
    n: int  # units of replication: draws where the study has several, else seeds
    mean: float
    std: float
    low: float
    high: float
    metric: str = ""
    value: float | None = None  # a count that is known without training
    other_code: int = 0  # trials trained by other code than is here now
    unknown_data: int = 0  # trials of which it was not recorded what was in their files
    imported: Imported | None = None
    same_as_base: bool = False  # the very trials of the base row
    delta: float = math.nan
    delta_low: float = math.nan
    delta_high: float = math.nan
    differences: Mapping[str, float] = field(default_factory=dict)  # of each unit of replication
    values: Mapping[str, float] = field(default_factory=dict)  # of each finished replicate
    kind: Kind = ""  # of its comparison; "" where there is none
    decision: Decision | None = None  # none before this row and the base row are complete

    @property
    def complete(self) -> bool:
        """Whether all wanted trials have finished."""
        return self.wanted > 0 and len(self.keys) == self.wanted


@dataclass(frozen=True, kw_only=True)
class Table:
    """A study's cells, in the order of its rows, and what a reader must know of them."""

    name: str
    title: str
    scale: str
    asked: str  # the words that follow `semisweep table` or `semisweep run` for it
    paper: str
    table: str
    base: str
    metric: str
    metric_note: str
    changes: Mapping[str, object]
    notes: tuple[str, ...]
    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    cells: Mapping[Place, Cell]
    replicates: tuple[str, ...]  # "draw/seed", all that any cell wants
    errors: tuple[str, ...]  # one line a failed trial
    code: CodeMarks  # of the code that trained the results
    changed_data: tuple[str, ...]  # data sets whose files are others than at the last run
    margin: float  # percentage points within which rows are equivalent
    level: float  # of significance, at this look
    look: int  # at the results: each costs a share of the level
    looks: int  # that were planned; 0: any number
    comparisons: int  # that are confirmatory, over which verdicts are corrected
    exploratory: int  # other comparisons
    noise: Mapping[str, Noise]  # column -> noise of one unit of replication, pooled over rows
    detectable: Mapping[str, float]  # column -> the smallest difference found with power 0.8
    best: Mapping[str, frozenset[str]]  # column -> rows not separated from the best; empty: all
    order: Agreement | None  # of our rows with the published ones
    mixed: Mapping[str, tuple[str, ...]]  # column -> its several lists of labelled images
    elsewhere: tuple[Cell, ...]  # published cells of columns that this scale does not have
    images: Mapping[Place, ImageTest]  # tests on other images, of cells against the base row
    design: Design | None = None  # of a study that takes a method apart
    effects: Mapping[str, tuple[Effect, ...]] = field(default_factory=dict)  # its, by column
    tuned: Mapping[Place, Tuning]  # of cells that have a search of their own
