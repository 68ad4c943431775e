"""Whether a method ever reads what an arm sets: what it never reads changes nothing.

While one arm is rehearsed, the classes of its configuration note who asks for the value that the
arm has and its base row has not. To copy a configuration is not to read it; whoever asks the copy
is noticed. A field that nobody asked for is unread if no code of the method has its name: else it
may be asked for later than a rehearsal goes. Whatever cannot be followed counts as read.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from semisweep.core.config import is_configuration
from semisweep.core.training_code import sources
from semisweep.training.method import MethodConfig

COPIERS = (
    *(("dataclasses", "replace"), ("copy", "deepcopy"), ("copy", "_reconstruct")),
    *(("semisweep.core.config", name) for name in ("_field_names", "_replace")),
)
PREFIX = "config."

Named = tuple[type[Any], str]  # a class of configurations, and a field of it


class Reads:
    """The values of an arm's configuration that are looked for, and those that were read."""

    def __init__(self, base: MethodConfig, arm: MethodConfig, fields: Iterable[str]) -> None:
        self.wanted: dict[Named, list[tuple[str, object]]] = {}
        self.read: set[str] = set()
        self.asked: set[str] = set()  # fields whose value was read, the arm's or another
        for path in fields:
            owners = [_owner(own, path) for own in (base, arm)]
            name = path.rpartition(".")[2]
            if None in owners or _value(owners[0], name) == _value(owners[1], name):
                self.read.add(path)  # as far as anybody can tell
            else:
                wanted = self.wanted.setdefault((type(owners[1]), name), [])
                wanted.append((path, _value(owners[1], name)))

    def unread(self, method: str) -> list[str]:
        """Return the fields whose value in the arm "package.module:Class" cannot change anything.

        They are those of which another value was read, or which no code of the method names.
        """
        paths = [path for wanted in self.wanted.values() for path, _ in wanted]
        return [
            path
            for path in paths
            if path not in self.read
            and (path in self.asked or not names(method, path.rpartition(".")[2]))
        ]

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note who reads the arm's values inside of the block."""
        with ExitStack() as stack:
            for kind in {kind for kind, _ in self.wanted}:
                stack.enter_context(self._watching(kind))
            yield

    @contextmanager
    def _watching(self, kind: type[Any]) -> Iterator[None]:
        had = "__getattribute__" in vars(kind)
        before: Any = kind.__getattribute__

        def look(own: object, name: str) -> object:
            value: object = before(own, name)
            if name == "__dict__" and not _copied():
                self.read |= {path for all_of in self.wanted.values() for path, _ in all_of}
            for path, arms in self.wanted.get((kind, name), ()):
                if not _copied():
                    self.asked.add(path)
                    self.read |= {path} if value == arms else set()
            return value

        kind.__getattribute__ = look  # type: ignore[assignment]
        try:
            yield
        finally:
            if had:
                kind.__getattribute__ = before
            else:
                del kind.__getattribute__


def names(method: str, field: str) -> bool:
    """Return whether code of a method has an attribute, or a text, of that name.

    Semisweep's own code knows no method's fields. True where the method's source is not here.
    """
    files = [
        file
        for name, file in sources(method.partition(":")[0]).items()
        if not name.startswith("semisweep.")
    ]
    return not files or any(
        (isinstance(node, ast.Attribute) and node.attr == field)
        or (isinstance(node, ast.Constant) and node.value == field)
        for file in files
        for node in ast.walk(ast.parse(file.read_bytes()))
    )


def _copied() -> bool:
    """Return whether the value that is asked for only goes into a copy of the configuration."""
    frame = sys._getframe(2)  # whoever asks, and the function around, if that is a comprehension
    around = [frame, *([frame.f_back] if frame.f_code.co_name.startswith("<") else [])]
    return any(
        (own.f_globals.get("__name__"), own.f_code.co_name) in COPIERS
        for own in around
        if own is not None
    )


def _owner(config: object, path: str) -> object | None:
    """Return the configuration that has the last field of a dotted path; None if there is none."""
    names = path.removeprefix(PREFIX).split(".") if path.startswith(PREFIX) else []
    for name in names[:-1]:
        config = getattr(config, name, None)
    found = is_configuration(config) and names and hasattr(config, names[-1])
    return config if found else None


def _value(owner: object, name: str) -> object:
    return getattr(owner, name)
