"""A resolved study, as a store keeps it: rows, columns and cells of a table, with their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from semisweep.core.errors import StoreError
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_design import Design, decode_design
from semisweep.store.resolved_tuning import Tuning, decode_tuning

FORMAT = 1
Place = tuple[str, str]  # row, column
Units = tuple[int, ...]  # of a cell's replicates: the seeds of its first draw, its second, and on


class Label(NamedTuple):
    """A row or a column: the name that identifies it and the label that is shown."""

    name: str
    label: str
    published_only: bool = False
    unit: str = ""  # of counts that are known without training; else percent

    def encoded(self) -> dict[str, object]:
        """Return the label as JSON has it."""
        found: dict[str, object] = {"name": self.name, "label": self.label}
        found |= {"published_only": True} if self.published_only else {}
        return found | ({"unit": self.unit} if self.unit else {})


@dataclass(frozen=True, kw_only=True)
class ResolvedCell:
    """A row at a column: its trials by replicate, and what was published. Numbers in percent."""

    row: str
    column: str
    trials: Mapping[str, str] = field(default_factory=dict)  # "draw/seed" -> key
    published: float | None = None
    published_std: float | None = None
    metric: str | None = None  # where it is not the table's
    value: float | None = None  # a count that is known without training
    tuning: Tuning | None = None  # of a row that has a search of its own

    @property
    def place(self) -> Place:
        """The cell's row and column."""
        return self.row, self.column

    def encoded(self) -> dict[str, object]:
        """Return the cell as JSON has it."""
        found: dict[str, object] = {"row": self.row, "column": self.column}
        found |= {"published": self.published, "published_std": self.published_std}
        found |= {} if self.metric is None else {"metric": self.metric}
        found["trials"] = dict(self.trials)
        found |= {} if self.tuning is None else {"tuning": self.tuning.encoded()}
        return found | ({} if self.value is None else {"value": self.value})


def units_of(replicates: Iterable[str]) -> Units:
    """Return how many seeds the replicates "draw/seed" of a cell have of each draw."""
    return tuple(Counter(name.partition("/")[0] for name in replicates).values())


@dataclass(frozen=True, kw_only=True)
class StoppedRow:
    """A row that a race gave no further replicates, and what said so."""

    column: str
    replicates: int
    planned: int
    level: float
    row: str
    best: str
    delta: float  # percentage points
    p: float  # corrected
    n: int  # units of replication that the test rests on

    def encoded(self) -> dict[str, object]:
        """Return the row as JSON has it."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class RaceRecord:
    """What a race decided: its level, how it is spent, its looks, and the rows it stopped."""

    alpha: float
    spending: str
    looks: int
    comparisons: int
    stopped: tuple[StoppedRow, ...] = ()

    def encoded(self) -> dict[str, object]:
        """Return the race as JSON has it."""
        return vars(self) | {"stopped": [row.encoded() for row in self.stopped]}


@dataclass(frozen=True, kw_only=True)
class ResolvedStudy:
    """A study as it ran or will run: what a table is made of, beside the results of its trials."""

    name: str
    metric: str
    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    cells: tuple[ResolvedCell, ...]
    title: str = ""
    paper: str = ""
    table: str = ""
    base: str = ""
    scale: str = ""
    metric_note: str = ""
    notes: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()  # columns of the history that its figure draws over training
    class_pixels: int | None = None  # of each class in a map of features, where not the usual
    margin: float | None = None  # percentage points, where the study states its own
    changes: Mapping[str, object] = field(default_factory=dict)  # by the user, with --set
    elsewhere: tuple[ResolvedCell, ...] = ()  # published cells of columns of other scales
    confirmatory: tuple[Place, ...] | None = None  # cells to be judged; None: all
    look: int = 1
    looks: int = 0  # that were planned; 0: any number
    race: RaceRecord | None = None
    data: Mapping[str, str] = field(default_factory=dict)  # data set -> what tells its images
    design: Design | None = None  # of a study that takes a method apart

    @property
    def keys(self) -> list[str]:
        """The distinct keys of its trials, in order."""
        return list(dict.fromkeys(key for cell in self.cells for key in cell.trials.values()))

    @cached_property
    def at(self) -> Mapping[Place, ResolvedCell]:
        """The cells by row and column."""
        return {cell.place: cell for cell in self.cells}

    def encoded(self) -> dict[str, object]:
        """Return the study as JSON has it."""
        named = ("name", "title", "paper", "table", "base", "scale", "metric", "metric_note")
        found: dict[str, object] = {"format": FORMAT, "kind": "table"}
        found |= {name: getattr(self, name) for name in named}
        found["notes"] = list(self.notes)
        found["rows"] = [row.encoded() for row in self.rows]
        found["columns"] = [column.encoded() for column in self.columns]
        found |= {"curves": list(self.curves)} if self.curves else {}
        found |= {} if self.class_pixels is None else {"class_pixels": self.class_pixels}
        found |= {} if self.margin is None else {"margin": self.margin}
        found["changes"] = dict(self.changes)
        found["cells"] = [cell.encoded() for cell in self.cells]
        found["elsewhere"] = [cell.encoded() for cell in self.elsewhere]
        if self.confirmatory is not None:
            places = [{"row": row, "column": column} for row, column in self.confirmatory]
            found["confirmatory"] = places
        if self.look > 1 or self.looks or self.race is not None:
            found |= {"look": self.look, "looks": self.looks}
        found |= {"data": dict(self.data)} if self.data else {}
        found |= {} if self.design is None else {"design": self.design.encoded()}
        return found | ({} if self.race is None else {"race": self.race.encoded()})


def decode_study(fields: Fields) -> ResolvedStudy:
    """Return the study that a file holds; raise `StoreError` for one of another shape."""
    found = ResolvedStudy(
        **_texts(fields),
        metric=fields.text("metric"),
        notes=fields.texts("notes", ()),
        rows=tuple(map(_label, fields.items("rows", "a row of a stored study"))),
        columns=tuple(map(_label, fields.items("columns", "a column of a stored study"))),
        curves=fields.texts("curves", ()),
        class_pixels=fields.maybe_integer("class_pixels"),
        margin=fields.maybe_number("margin"),
        changes=fields.mapping("changes", {}),
        cells=tuple(map(_cell, fields.items("cells", "a cell of a stored study"))),
        elsewhere=tuple(map(_cell, fields.items("elsewhere", "a cell of a stored study", ()))),
        confirmatory=_places(fields) if "confirmatory" in fields.values else None,
        look=fields.integer("look", 1),
        looks=fields.integer("looks", 0),
        data=fields.texts_by_name("data") if "data" in fields.values else {},
        race=_race(fields) if fields.values.get("race") is not None else None,
        design=_design(fields) if fields.values.get("design") is not None else None,
    )
    _check_places(found, fields)
    return found


def _check_places(study: ResolvedStudy, fields: Fields) -> None:
    """Raise `StoreError` for a cell that is of no row or column of the study."""
    rows, columns = ({own.name for own in labels} for labels in (study.rows, study.columns))
    for cell in study.cells:
        if cell.row not in rows or cell.column not in columns:
            raise fields.wrong("cells", "of rows and columns of the study")
    if study.design is not None and not rows.issuperset(study.design.on):
        raise fields.wrong("design", "of rows of the study")


def check_format(fields: Fields) -> None:
    """Raise `StoreError` for a stored study that this version cannot read."""
    found = fields.values.get("format")
    if found != FORMAT:
        raise StoreError(
            f"a stored study must have format {FORMAT}, got format={found!r}, "
            f"path={fields.path}; run the study again with this version"
        )


def _texts(fields: Fields) -> dict[str, str]:
    optional = ("title", "paper", "table", "base", "scale", "metric_note")
    return {"name": fields.text("name")} | {name: fields.text(name, "") for name in optional}


def _label(fields: Fields) -> Label:
    name = fields.text("name")
    label = fields.text("label", "") or name
    return Label(name, label, fields.flag("published_only", False), fields.text("unit", ""))


def _cell(fields: Fields) -> ResolvedCell:
    return ResolvedCell(
        row=fields.text("row"),
        column=fields.text("column"),
        trials=fields.texts_by_name("trials"),
        published=fields.maybe_number("published"),
        published_std=fields.maybe_number("published_std"),
        metric=fields.maybe_text("metric"),
        value=fields.maybe_number("value"),
        tuning=_tuning(fields) if fields.values.get("tuning") is not None else None,
    )


def _tuning(fields: Fields) -> Tuning:
    return decode_tuning(fields.inner("tuning", "the search of a tuned cell"))


def _places(fields: Fields) -> tuple[Place, ...]:
    own = fields.items("confirmatory", "a confirmatory cell of a stored study")
    return tuple((place.text("row"), place.text("column")) for place in own)


def _design(fields: Fields) -> Design:
    return decode_design(fields.inner("design", "the design of a stored study"))


def _race(fields: Fields) -> RaceRecord:
    own = fields.inner("race", "a race of a stored study")
    return RaceRecord(
        alpha=own.number("alpha"),
        spending=own.text("spending"),
        looks=own.integer("looks"),
        comparisons=own.integer("comparisons"),
        stopped=tuple(map(_stopped, own.items("stopped", "a stopped row of a race"))),
    )


def _stopped(fields: Fields) -> StoppedRow:
    return StoppedRow(
        column=fields.text("column"),
        replicates=fields.integer("replicates"),
        planned=fields.integer("planned"),
        level=fields.number("level"),
        row=fields.text("row"),
        best=fields.text("best"),
        delta=fields.number("delta"),
        p=fields.number("p"),
        n=fields.integer("n"),
    )
