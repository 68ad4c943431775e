"""What a method's configuration says: where each value comes from, and which parts can be off."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from semisweep.core.markdown import grid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from semisweep.training.method import Method


def provenance_table(method: type[Method]) -> str:
    """Return, for each field of a method's configuration, where its value comes from."""
    lines = [["field", "used", "symbol", "paper", "released code", "why"]]
    lines += list(_provenance_rows(method.Config(), ""))
    return grid(lines)


def switches_table(method: type[Method]) -> str:
    """Return the switches of a method: what each sets when it is off, and what it needs."""
    from semisweep.training.switches import is_on, switches_of

    lines = [["switch", "off", "needs", "by default"]]
    for own in switches_of(method):
        off = ", ".join(f"{path}={value}" for path, value in own.off.items())
        state = "on" if is_on(method.Config(), own) else "off"
        lines.append([own.name, off, ", ".join(own.needs), state])
    if len(lines) == 1:
        return f"{method.__name__} declares no part that can be off, with setting(..., off=...)."
    return grid(lines)


def method_notes(method: type[Method]) -> str:
    """Return what no field says: how a method follows its paper and its release, and what we chose.

    That are the docstrings of its module, of those of methods that it extends, and of parts that
    these name.
    """
    from importlib import import_module
    from importlib.util import find_spec

    from semisweep.training.method import Method as Base

    wanted = [own.__module__ for own in method.__mro__ if issubclass(own, Base) and own is not Base]
    found: dict[str, str] = {}
    while wanted:
        name = wanted.pop(0)
        text = inspect.cleandoc(import_module(name).__doc__ or "")
        if name in found or not text:
            continue
        found[name] = text
        package = name.rpartition(".")[0]
        for part in re.findall(r"`(?:\w+\.)*(\w+)`", text):
            if package and find_spec(f"{package}.{part}") is not None:
                wanted.append(f"{package}.{part}")
    return "\n".join(f"{name}: {text}\n" for name, text in found.items())


def _provenance_rows(config: DataclassInstance, prefix: str) -> Iterable[list[str]]:
    from semisweep.core.config import is_configuration, settings

    for name, value, about in settings(config):
        if is_configuration(value):
            yield from _provenance_rows(value, f"{prefix}{name}.")
        else:
            where = [about.symbol, about.paper, about.code, about.why]
            yield [prefix + name, str(value), *where]
