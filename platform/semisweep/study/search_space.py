"""What a search varies: distributions, those that only some values call for, and bundles of fields.

A space gives each name what it is drawn from, in the order in which they are drawn:

    space = {
        "backbones": Bundle({"S-S": {"config.senior.channels": 32}, "B-S": {...}}),
        "config.label_source": CategoricalDistribution(("mix", "cross")),
        "config.warm_up_epochs": When("config.label_source", "cross", IntDistribution(0, 20)),
    }

Distributions are Optuna's, of which nothing here needs to know more than their bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semisweep.core.errors import ConfigError, unknown

Space = Mapping[str, Any]  # name -> distribution, Bundle or When
Conditions = list[tuple[str, list[Any]]]
SAMPLERS = ("tpe", "random", "grid")


@dataclass(frozen=True)
class When:
    """Something that is drawn only where another name of the space has a certain value.

    A tuple stands for several values. `then` may be another condition, which holds beside this one.
    """

    name: str
    equals: Any
    then: Any


@dataclass(frozen=True)
class Bundle:
    """A choice that sets several fields at once, such as a pair of backbones.

    Its name in the space is free, as the fields stand in the options.
    """

    options: Mapping[str, Mapping[str, Any]]


def unfold(item: Any) -> tuple[Conditions, Any]:
    """Return the conditions of an item of a space, and what is drawn where they hold."""
    conditions: Conditions = []
    while isinstance(item, When):
        equals = item.equals if isinstance(item.equals, tuple) else (item.equals,)
        conditions.append((item.name, list(equals)))
        item = item.then
    return conditions, item


def holds(conditions: Sequence[Sequence[Any]], values: Mapping[str, Any]) -> bool:
    """Return whether the values drawn so far meet all conditions."""
    return all(name in values and values[name] in accepted for name, accepted in conditions)


def fields_of(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a trial that some drawn values set."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        _, leaf = unfold(space[name])
        fields |= leaf.options[value] if isinstance(leaf, Bundle) else {name: value}
    return fields


def varied(space: Space) -> set[str]:
    """Return every field that a space sets."""
    found: set[str] = set()
    for name, item in space.items():
        _, leaf = unfold(item)
        options = leaf.options.values() if isinstance(leaf, Bundle) else ({name: None},)
        found |= {field for fields in options for field in fields}
    return found


def samples(space: Space) -> Iterator[dict[str, Any]]:
    """Yield fields that a space can set: the ends of each distribution and every choice."""
    for name, item in space.items():
        _, leaf = unfold(item)
        yield from (fields_of({name: leaf}, {name: value}) for value in ends(leaf))


def ends(leaf: Any) -> list[Any]:
    """Return the choices of a leaf of a space, or its bounds."""
    if isinstance(leaf, Bundle):
        return list(leaf.options)
    if hasattr(leaf, "choices"):
        return list(leaf.choices)
    return [leaf.low, leaf.high]


def check_space(space: Space) -> None:
    """Raise `ConfigError` for an empty space and for conditions that can never hold."""
    if not space:
        raise ConfigError("a search must vary something, got space={}")
    before: dict[str, Any] = {}
    for name, item in space.items():
        conditions, leaf = unfold(item)
        if isinstance(leaf, Bundle) and not leaf.options:
            raise ConfigError(f"a bundle must have options, got {name}=Bundle({{}})")
        if not isinstance(leaf, Bundle) and not hasattr(leaf, "single"):
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


def _can_be(leaf: Any, value: Any) -> bool:
    if isinstance(leaf, Bundle) or hasattr(leaf, "choices"):
        return value in ends(leaf)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and bool(leaf.low <= value <= leaf.high)
