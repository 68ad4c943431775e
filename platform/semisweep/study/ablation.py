"""What is taken apart: a method at some scales, and the switches that are on there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.resolved_design import Design, Kind
from semisweep.study.declaration import Column, Row, Search, Study
from semisweep.study.resolve import cell_trial
from semisweep.study.scales import Fields, Preset, at_scale
from semisweep.study.search_space import without
from semisweep.training.switches import (
    Switch,
    closure,
    is_admissible,
    is_on,
    off_fields,
    switches_of,
)

if TYPE_CHECKING:
    from semisweep.store.resolved_study import Place
    from semisweep.training.method import Method

On = frozenset[str]  # the switches that are on in an arm

FULL, NONE = "full", "none"  # rows


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A method that is to be taken apart, and where: what all arms have in common.

    `set` and `scaled` are fields of the whole method, at every scale and at one. `switches`: those
    to be ablated, in the order in which a cumulative design adds them; by default all that are on
    at every scale. A name is one of the method's (`semisweep methods NAME`), a `Switch` one of your
    own. `tune`: a search that gives each arm values of its own, but of what the arm has off.
    `beside`: rows of other methods for comparison. The others are as in a `Study`.
    """

    method: type[Method]
    presets: Mapping[str, Preset]
    columns: Sequence[Column]
    set: Fields = field(default_factory=dict)
    scaled: Mapping[str, Fields] = field(default_factory=dict)
    switches: Sequence[str | Switch] | None = None
    tune: Search | None = None
    beside: Sequence[Row] = ()
    name: str = ""  # by default that of the method's class
    title: str = ""
    paper: str = ""
    table: str = ""
    seeds: int = 3
    draws: int = 1
    margin: float | None = None
    published: Mapping[Place, float] = field(default_factory=dict)
    published_note: str = ""

    @property
    def base_name(self) -> str:
        """What the names of its studies begin with."""
        return self.name or self.method.__name__.lower()

    @property
    def title_name(self) -> str:
        """What the method is called in titles."""
        return self.title or self.method.__name__

    @cached_property
    def chosen(self) -> tuple[Switch, ...]:
        """The switches to be ablated, in order.

        Raises `ConfigError` for one that the method does not have, that is off at a scale, or that
        needs one which is not among them and off.
        """
        known = {own.name: own for own in switches_of(self.method)}
        if self.switches is None:
            found = [own for own in known.values() if self._is_on(own)]
        else:
            found = [self._named(own, known) for own in self.switches]
        names = [own.name for own in found]
        if not found:
            raise ConfigError(
                "an ablation must have a switch that is on, got "
                f"method={self.method.__name__}, switches={sorted(known)}; declare one with "
                "setting(..., off=...)"
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"switches must be different ones, got switches={','.join(names)}")
        # A switch that stays on satisfies those that need it.
        return tuple(
            dataclasses.replace(own, needs=tuple(name for name in own.needs if name in names))
            for own in found
        )

    def fields(self, on: Iterable[str], scale: str) -> dict[str, object]:
        """Return the fields of an arm at a scale."""
        off = off_fields(self.chosen, on)
        whole = {**self.set, **at_scale(self.scaled, scale, {})}
        return whole | {f"config.{path}": value for path, value in off.items()}

    def closed(self, on: Iterable[str]) -> On:
        """Return some switches with those that they need."""
        return closure(self.chosen, on)

    def without(self, names: Iterable[str]) -> On:
        """Return all switches but some, and those that need them."""
        gone = frozenset(names)
        return frozenset(
            own.name for own in self.chosen if not closure(self.chosen, [own.name]) & gone
        )

    def is_admissible(self, on: Iterable[str]) -> bool:
        """Return whether nothing is on that needs what is off."""
        return is_admissible(self.chosen, on)

    def row_name(self, on: On) -> str:
        """Return the name of the row that has some switches on."""
        if len(on) == len(self.chosen):
            return FULL
        return "+".join(own.name for own in self.chosen if own.name in on) or NONE

    def study(
        self, kind: Kind, arms: Mapping[On, str], *, base: On, judged: bool, **about: object
    ) -> Study:
        """Return the study of some arms and their labels; `about` is what its design has besides.

        `judged`: whether comparisons with the base row are what is asked for.
        """
        scales = self.scales
        rows = [
            Row(
                name=self.row_name(on),
                label=label,
                method=self.method,
                scaled={scale: self.fields(on, scale) for scale in scales},
                tune=self._tune(on),
            )
            for on, label in arms.items()
        ]
        names = [own.name for own in self.chosen]
        design = Design(
            kind=kind,
            switches=tuple(names),
            on={self.row_name(on): tuple(n for n in names if n in on) for on in arms},
            needs={own.name: own.needs for own in self.chosen if own.needs},
            titles={own.name: own.title for own in self.chosen},
            **about,  # type: ignore[arg-type]
        )
        return Study(
            name=f"{self.base_name}/{kind}",
            title=f"{self.title_name}, taken apart: {kind}",
            presets=self.presets,
            rows=[*self.beside, *rows],
            columns=self.columns,
            base=self.row_name(base),
            seeds=self.seeds,
            draws=self.draws,
            paper=self.paper,
            table=self.table,
            published=self.published,
            published_note=self.published_note,
            margin=self.margin,
            confirmatory=None if judged else (),
            design=design,
        )

    def _tune(self, on: On) -> Search | None:
        """Return the search of an arm: without what it has off; None where nothing is left."""
        if self.tune is None:
            return None
        off = {f"config.{path}" for path in off_fields(self.chosen, on)}
        space = {scale: without(own, off) for scale, own in self.tune.space.items()}
        space = {scale: own for scale, own in space.items() if own}
        return dataclasses.replace(self.tune, space=space) if space else None

    @property
    def scales(self) -> list[str]:
        """The scales at which there is anything to train."""
        return [scale for scale in self.presets if any(c.exists(scale) for c in self.columns)]

    def _named(self, switch: str | Switch, known: Mapping[str, Switch]) -> Switch:
        if isinstance(switch, str) and switch not in known:
            raise unknown(f"switch of {self.method.__name__}", switch, known)
        own = known[switch] if isinstance(switch, str) else switch
        if not self._is_on(own):
            off = ", ".join(f"{path}={value!r}" for path, value in own.off.items())
            raise ConfigError(
                f"a switch to be ablated must be on in the whole method, got switch={own.name} "
                f"with {off} there"
            )
        return own

    def _is_on(self, switch: Switch) -> bool:
        """Return whether a switch is on wherever the method is trained."""
        row = Row(name=FULL, method=self.method, set=self.set, scaled=self.scaled)
        study = Study(
            name=FULL,
            title="",
            presets=self.presets,
            rows=[row],
            columns=self.columns,
            base=FULL,
        )
        return all(
            is_on(cell_trial(study, scale, row, column, {}).config, switch)
            for scale in self.scales
            for column in self.columns
            if column.exists(scale) and not column.unit
        )
