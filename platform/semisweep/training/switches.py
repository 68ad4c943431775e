"""The parts of a method that can be off, as its configuration declares them.

A field says in its `setting` what "off" is; where several fields belong together, the configuration
has a `Switch` of them. A switch that means nothing while another one is off says that it needs it:
turning that one off takes it off too.

    @config
    class MineConfig(MethodConfig):
        rank_weight: NonNegative = setting(0.1, off=0.0, switch="rank")
        orthogonal: bool = setting(True, off=False, needs=("rank",))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from semisweep.core.config import encode, is_configuration, replace, settings
from semisweep.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SEPARATORS = frozenset("+:@,/ \t\n")  # of names of switches, in rows, effects and commands


class Configured(Protocol):
    """A method, as far as its switches go."""

    Config: ClassVar[Any]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A part of a method: the fields of its configuration, by dotted name, that are set when off.

    `needs`: other switches without which it means nothing. `label`: what tables call it.
    """

    name: str
    off: Mapping[str, object]
    needs: tuple[str, ...] = ()
    label: str = ""

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name.replace("_", " ")


def switches_of(method: type[Configured]) -> tuple[Switch, ...]:
    """Return the switches of a method as its configuration declares them, each after what it needs.

    A switch of several fields stands where its first one does. Raises `ConfigError` for one that is
    declared wrongly.
    """
    config = method.Config()
    switches = [*method.Config.switches, *_of_fields(config)]
    check_switches(method, switches)
    places = {own.name: _place(config, next(iter(own.off))) for own in switches}
    return after_needed(sorted(switches, key=lambda own: places[own.name]))


def after_needed(switches: Sequence[Switch]) -> tuple[Switch, ...]:
    """Return switches in their order, but each after those that it needs."""
    found: dict[str, Switch] = {}
    while len(found) < len(switches):
        ready = (own for own in switches if own.name not in found and found.keys() >= {*own.needs})
        own = next(ready)
        found[own.name] = own
    return tuple(found.values())


def check_switches(method: type[Configured], switches: Sequence[Switch]) -> None:
    """Raise `ConfigError` for switches that are none of a method's, or contradict each other."""
    names = [own.name for own in switches]
    for own in switches:
        if not own.off or not own.name or SEPARATORS & set(own.name):
            raise ConfigError(
                "a switch must have a field to set, and a name without spaces, commas and "
                f"+ : @ /, got switch={own.name!r}, off={dict(own.off)}, method={method.__name__}"
            )
        if names.count(own.name) > 1:
            raise ConfigError(
                f"switches must have different names, got switch={own.name!r} twice, "
                f"method={method.__name__}; give one of them another, as switch="
            )
        for name in own.needs:
            if name not in names:
                raise unknown(f"switch that {own.name} needs", name, names)
        if own.name in closure(switches, own.needs):
            raise ConfigError(
                f"a switch must not need itself, got switch={own.name!r}, needs={own.needs}, "
                f"method={method.__name__}"
            )
        replace(method.Config(), own.off)  # raises, naming the nearest fields


def closure(switches: Iterable[Switch], names: Iterable[str]) -> frozenset[str]:
    """Return some switches with all that they need, and what those need."""
    needs = {own.name: own.needs for own in switches}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return frozenset(found)


def is_admissible(switches: Iterable[Switch], on: Iterable[str]) -> bool:
    """Return whether nothing is on that needs what is off."""
    names = frozenset(on)
    return closure(switches, names) == names


def off_fields(switches: Sequence[Switch], on: Iterable[str]) -> dict[str, object]:
    """Return the fields that are set where only some switches are on.

    Where two that are off set one field, what the other needs has the last word.
    """
    off = [own for own in switches if own.name not in frozenset(on)]
    depth = {own.name: len(closure(switches, [own.name])) for own in off}
    fields: dict[str, object] = {}
    for own in sorted(off, key=lambda switch: -depth[switch.name]):
        fields |= own.off
    return fields


def is_on(config: object, switch: Switch) -> bool:
    """Return whether a configuration has something else than what a switch sets when it is off."""
    return any(encode(_value(config, path)) != encode(own) for path, own in switch.off.items())


def _of_fields(config: DataclassInstance, prefix: str = "") -> Iterator[Switch]:
    """Yield the switches of single fields, those of inner configurations included."""
    for name, value, about in settings(config):
        path = prefix + name
        if about.has_off:
            yield Switch(name=about.switch or path, off={path: about.off}, needs=tuple(about.needs))
        elif is_configuration(value):
            yield from _of_fields(value, f"{path}.")


def _place(config: DataclassInstance, path: str) -> tuple[int, ...]:
    """Return the places of a dotted field among those of its configurations."""
    value: object = config
    found = []
    for name in path.split("."):
        names = [own for own, _, _ in settings(value)] if is_configuration(value) else []
        if name not in names:
            replace(config, {path: None})  # raises, naming the nearest fields
            raise unknown("field of a switch", path, names)
        found.append(names.index(name))
        value = getattr(value, name)
    return tuple(found)


def _value(config: object, path: str) -> object:
    for name in path.split("."):
        config = config.get(name) if isinstance(config, Mapping) else getattr(config, name)
    return config
