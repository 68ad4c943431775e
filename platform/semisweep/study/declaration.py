"""What a study declares, as plain frozen values: rows, columns, published numbers, searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.resolved_design import Design
from semisweep.store.resolved_search import Direction, Halving, Objective
from semisweep.store.resolved_study import Place
from semisweep.study.factor import Probe
from semisweep.study.scales import Fields, Preset, at_scale, has_scale
from semisweep.study.search_space import Space

if TYPE_CHECKING:
    from semisweep.training.method import Method


@dataclass(frozen=True, kw_only=True)
class Row:
    """An arm: a method, and the fields set for it at every scale, at one, and there in a column.

    Without a method it is never trained and shows its published numbers only. `factor`: in which
    fields it differs from the base row, by default those that either sets; `probe`: where that must
    show, None where nothing can (see `semisweep.study.factor`). `words` fill what stands in braces
    in the metrics of columns.

    `tune`: a search for the best values of further fields, at the scales that its space names. In
    each column it trains the row's method at the study's preset, scored on the val part, on a draw
    and a seed that no replicate has. The trials of the row are those of the best, and wait for it.
    Tuned rows of a study have the same number of trials. Such a search needs a space and a number
    of trials alone: `tune=Search(space={"mini": {...}}, trials=12)`.
    """

    name: str
    method: type[Method] | None
    label: str = ""
    set: Fields = field(default_factory=dict)
    scaled: Mapping[str, Fields] = field(default_factory=dict)
    in_column: Mapping[str, Mapping[str, Fields]] = field(default_factory=dict)  # scale, column
    factor: Sequence[str] | None = None
    probe: Probe | None = Probe()  # noqa: RUF009  # frozen
    words: Mapping[str, str] = field(default_factory=dict)
    tune: Search | None = None

    def __post_init__(self) -> None:
        """Refuse fields that are not said by scale where they must be, and a search of nothing."""
        _check_by_scale("a row", self.name, "scaled", self.scaled)
        if self.tune is not None and self.method is None:
            raise ConfigError(
                f"a tuned row must have a method, got name={self.name!r}, method=None; a row of "
                "published numbers has nothing to search"
            )

    def fields(self, scale: str, column: str = "") -> dict[str, object]:
        """Return the fields of the arm at a scale, and in a column where one is named."""
        own = at_scale(self.in_column, scale, {}).get(column, {})
        return {**self.set, **at_scale(self.scaled, scale, {}), **own}

    def varied(self, scale: str) -> frozenset[str]:
        """Return the fields that the arm sets at a scale in any column."""
        own = at_scale(self.in_column, scale, {}).values()
        return frozenset(self.fields(scale)).union(*own)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A setting in which all arms are compared; it exists at the scales that it names.

    `presets`: what is trained in this column instead of what the study's presets say, for a table
    of several data sets. `metric`, by scale, is what is shown of its trials instead of the study's.
    A column with a `unit` holds counts that are known without training (see `Study.computed`) and
    has no trials.
    """

    name: str
    set: Mapping[str, Fields]
    labels: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)
    metric: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse a column that exists nowhere, or whose fields are not said by scale."""
        if not self.set:
            raise ConfigError(
                f"a column must name a scale, got name={self.name!r}, set={{}}; a column that sets "
                'nothing at mini scale has set={"mini": {}}'
            )
        _check_by_scale("a column", self.name, "set", self.set)

    def exists(self, scale: str) -> bool:
        """Return whether the column exists at a scale."""
        return has_scale(self.set, scale)

    def fields(self, scale: str) -> Fields:
        """Return the fields of the column at a scale at which it exists."""
        return at_scale(self.set, scale, {})


@dataclass(frozen=True, kw_only=True)
class Study:
    """A table: rows by columns by replicates, and the published numbers of its cells.

    `computed` gives the values of columns with a unit, by row and column, for a study and a scale.
    `curves`: columns of the history that its figure draws over training, such as a loss term.
    `class_pixels`: of each class, that a map of features shows where that is not the usual number.
    `margin`: percentage points within which rows are equivalent, where that is not the usual 1.
    `confirmatory`: the few rows, or cells (row, column), whose comparison with the base row is to
    be judged; the others are exploratory, shown without a verdict. None: all are judged, and
    corrected for. `design`: which parts of a method its rows have on, where it takes one apart (see
    `semisweep.study.designs`); `steps`: of a path, the study that decides on the next step.
    """

    name: str
    title: str
    presets: Mapping[str, Preset]
    rows: Sequence[Row]
    columns: Sequence[Column]
    base: str
    seeds: int = 3
    draws: int = 1
    paper: str = ""
    table: str = ""
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)
    published_std: Mapping[tuple[str, str], float] = field(default_factory=dict)
    published_note: str = ""
    computed: Callable[[Study, str], Mapping[Place, float]] | None = None
    curves: Sequence[str] = ()
    class_pixels: int | None = None
    margin: float | None = None
    confirmatory: Sequence[str | Place] | None = None
    design: Design | None = None
    steps: Callable[[Sequence[str]], Study] | None = None

    def __post_init__(self) -> None:
        """Refuse a base row that is none, and columns that are at none of its scales."""
        names = [row.name for row in self.rows]
        if names and self.base not in names:
            raise unknown(f"base row of {self.name}", self.base, names)
        trained = [column for column in self.columns if not column.unit]
        scales = {*self.presets, *(scale for column in trained for scale in column.presets)}
        if trained and scales and not any(own.exists(scale) for own in trained for scale in scales):
            raise ConfigError(
                f"a column must exist at a scale of its study, got column={trained[0].name!r}, "
                f"set={dict(trained[0].set)}, presets={', '.join(self.presets)}"
            )


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the best values of some fields of one method.

    `sampler`: "tpe", "random", or "grid", which tries every point once; only a grid needs no number
    of trials. `also`: further objectives, such as few parameters; what is looked for is then the
    Pareto front. `halving`: where trials that fall behind are stopped, if anywhere.

    `confirm`: so many of the best as found, of a front its best, are trained again to their end on
    `confirm_seeds` new seeds, and on other draws of the labelled images where they are drawn. The
    best of many noisy scores is too high; what is said of the best rests on the new trials alone.

    A search of a row (see `Row.tune`) has no name, title, presets or method of its own, and is not
    confirmed, as the table's replicates do that.
    """

    name: str = ""
    title: str = ""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    method: type[Method] | None = None
    space: Mapping[str, Space]  # scale -> what is varied, see `semisweep.study.search_space`
    trials: int | None = None
    metric: str = "last.val.miou"
    direction: Direction = "maximize"
    also: Sequence[Objective] = ()
    sampler: str = "tpe"
    halving: Halving | None = None
    set: Mapping[str, Fields] = field(default_factory=dict)  # scale -> fields
    confirm: int = 3
    confirm_seeds: int = 3

    @property
    def own_method(self) -> type[Method]:
        """The method; raises `ConfigError` for a search that only a row can have."""
        if not self.name or self.method is None:
            method = self.method and self.method.__name__
            raise ConfigError(
                "a search that is no row's must have a name and a method, got "
                f"name={self.name!r}, method={method}; set them, or write Row(tune=Search(...))"
            )
        return self.method


def _check_by_scale(kind: str, name: str, field: str, given: Mapping[str, object]) -> None:
    """Raise `ConfigError` where something is given by field that must be given by scale."""
    for scale, fields in given.items():
        if not isinstance(fields, Mapping):
            raise ConfigError(
                f"{field} of {kind} must be by scale, got name={name!r}, {field}={dict(given)}; "
                f'write {field}={{"mini": {{{scale!r}: {fields!r}}}}}'
            )
