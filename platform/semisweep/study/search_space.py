"""What a search varies: distributions, those that only some values call for, and bundles of fields.

A space gives each name what it is drawn from, in the order in which they are drawn:

    space = {
        "backbones": Bundle({"S-S": {"config.senior.channels": 32}, "B-S": {...}}),
        "config.label_source": CategoricalDistribution(("mix", "cross")),
        "config.warm_up_epochs": When("config.label_source", "cross", IntDistribution(0, 20)),
    }

Distributions are Optuna's, of which nothing here needs to know more than their bounds or choices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.resolved_search import Value

Conditions = Sequence[tuple[str, Sequence[object]]]  # another name, and the values it may have
SAMPLERS = ("tpe", "random", "grid")


@runtime_checkable
class Choices(Protocol):
    """Optuna's distribution of some values."""

    @property
    def choices(self) -> Sequence[Value]:
        """The values."""


@runtime_checkable
class Range(Protocol):
    """Optuna's distribution of whole numbers, or of others."""

    @property
    def low(self) -> float:
        """The smallest."""

    @property
    def high(self) -> float:
        """The largest."""


@dataclass(frozen=True)
class When:
    """Something that is drawn only where another name of the space has a certain value.

    A tuple stands for several values. `then` may be another condition, which holds beside this one.
    """

    name: str
    equals: object
    then: Item


@dataclass(frozen=True)
class Bundle:
    """A choice that sets several fields at once, such as a pair of backbones.

    Its name in the space is free, as the fields stand in the options.
    """

    options: Mapping[str, Mapping[str, object]]

    def fields(self, option: Value) -> Mapping[str, object]:
        """Return the fields that an option, whose name need not be a text, sets."""
        return next(fields for name, fields in self.options.items() if name == option)


Leaf = Choices | Range | Bundle
Item = Leaf | When
Space = Mapping[str, Item]


def unfold(item: Item) -> tuple[Conditions, Leaf]:
    """Return the conditions of an item of a space, and what is drawn where they hold."""
    conditions: list[tuple[str, Sequence[object]]] = []
    while isinstance(item, When):
        equals = item.equals if isinstance(item.equals, tuple) else (item.equals,)
        conditions.append((item.name, equals))
        item = item.then
    return conditions, item


def holds(conditions: Conditions, values: Mapping[str, object]) -> bool:
    """Return whether the values drawn so far meet all conditions."""
    return all(name in values and values[name] in accepted for name, accepted in conditions)


def fields_of(space: Space, values: Mapping[str, Value]) -> dict[str, object]:
    """Return the fields of a trial that some drawn values set."""
    fields: dict[str, object] = {}
    for name, value in values.items():
        _, leaf = unfold(space[name])
        fields |= leaf.fields(value) if isinstance(leaf, Bundle) else {name: value}
    return fields


def varied(space: Space) -> set[str]:
    """Return every field that a space sets."""
    found: set[str] = set()
    for name, item in space.items():
        _, leaf = unfold(item)
        options = leaf.options.values() if isinstance(leaf, Bundle) else ({name: None},)
        found |= {field for fields in options for field in fields}
    return found


def without(space: Space, fields: Collection[str]) -> dict[str, Item]:
    """Return a space without what sets some fields, and what depends on that."""
    gone = {name for name, item in space.items() if varied({name: item}) & set(fields)}
    while more := {
        name
        for name, item in space.items()
        if name not in gone and any(own in gone for own, _ in unfold(item)[0])
    }:
        gone |= more
    return {name: item for name, item in space.items() if name not in gone}


def samples(space: Space) -> Iterator[dict[str, object]]:
    """Yield fields that a space can set: the ends of each distribution and every choice."""
    for name, item in space.items():
        _, leaf = unfold(item)
        yield from (fields_of({name: leaf}, {name: value}) for value in ends(leaf))


def bundled(space: Space) -> Iterator[Mapping[str, object]]:
    """Yield the fields of every option of the bundles of a space, such as pairs of backbones."""
    for item in space.values():
        _, leaf = unfold(item)
        if isinstance(leaf, Bundle):
            yield from leaf.options.values()


def ends(leaf: Leaf) -> list[Value]:
    """Return the choices of a leaf of a space, or its bounds."""
    if isinstance(leaf, Bundle):
        return list(leaf.options)
    if isinstance(leaf, Choices):
        return list(leaf.choices)
    return [leaf.low, leaf.high]


def leaf_text(leaf: Leaf) -> str:
    """Return the values that a leaf of a space can have, in a few words."""
    if not isinstance(leaf, Range):
        return ", ".join(map(str, ends(leaf)))
    step = getattr(leaf, "step", None)
    every = f", step {step:g}" if step not in (None, 1) else ""
    return f"{leaf.low:g} to {leaf.high:g}{every}" + (" (log)" if getattr(leaf, "log", 0) else "")


def check_space(space: Space) -> None:
    """Raise `ConfigError` for an empty space and for conditions that can never hold."""
    if not space:
        raise ConfigError("a search must vary something, got space={}")
    before: dict[str, Leaf] = {}
    for name, item in space.items():
        conditions, leaf = unfold(item)
        if isinstance(leaf, Bundle) and not leaf.options:
            raise ConfigError(f"a bundle must have options, got {name}=Bundle({{}})")
        if not isinstance(leaf, Leaf):
            raise ConfigError(
                "a space must be of Optuna's distributions, Bundle and When, "
                f"got {name}={type(leaf).__name__}"
            )
        for other, accepted in conditions:
            if other not in before:
                raise unknown(f"name before {name} in the space", other, before)
            missing = [value for value in accepted if not _can_be(before[other], value)]
            if missing:
                raise ConfigError(
                    f"a condition must be a value that {other} can have, got {missing[0]!r} "
                    f"for {name}"
                )
        before[name] = leaf


def _can_be(leaf: Leaf, value: object) -> bool:
    if not isinstance(leaf, Range):
        return value in ends(leaf)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return leaf.low <= value <= leaf.high
