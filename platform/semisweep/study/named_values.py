"""What names lead to: methods that come along, and values in anybody's files and modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING

from semisweep.core import own_code
from semisweep.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from semisweep.training.method import Method

# What comes of a wrong name, argument or import. Other errors say more by their traceback.
MISTAKES = (AttributeError, ImportError, KeyError, NameError, SyntaxError, TypeError, ValueError)


def method_names() -> dict[str, str]:
    """Return the methods that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_methods:METHODS"))


def find_method(name: str) -> type[Method]:
    """Return a method by its name or by "package.module:Class"."""
    names = method_names()
    if ":" not in name and name.lower() not in names:
        raise unknown("method", name, names)
    from semisweep.training.method import Method

    found = find_value(names.get(name.lower(), name), "method")
    if not isinstance(found, type) or not issubclass(found, Method):
        raise ConfigError(f"a method must be a class of Method, got {name}={found!r:.80}")
    return found


def register(path: str, kind: str = "study") -> str:
    """Note that the user named a module or file, and return which one."""
    place, _, attribute = path.rpartition(":")
    if not place or not attribute or (place.startswith(".") and not own_code.is_file(place)):
        raise ConfigError(f"a {kind} must be named package.module:name, got {kind}={path!r}")
    own_code.register(place)
    return place


def find_value(path: str, kind: str) -> object:
    """Return what "package.module:attribute" or "file.py:attribute" names; see `load_module`."""
    place = register(path, kind)
    attribute = path.rpartition(":")[2]
    module = load_module(place, path, kind)
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise unknown(f"{kind} in {place}", attribute, _public(module))
        found = getattr(found, name)
    return found


def load_module(place: str, path: str, kind: str) -> ModuleType:
    """Return the module that a file or an import path names, under the name that others import.

    Raises `ConfigError` with file and line for a mistake in the code that is imported; errors of
    other kinds, which say more by their traceback, are raised as they are.
    """
    name = place
    if own_code.is_file(place):
        _, name = own_code.place_of(Path(place))
        check_module_name(Path(place), name)
    try:
        return importlib.import_module(name)
    except MISTAKES as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and name == place and f"{place}.".startswith(f"{missing}."):
            told = f"a {kind} must be importable, got {kind}={path!r}: {error}"
            raise ConfigError(told) from None
        from semisweep.study.mistakes import explained

        raise explained(error, name) from error


def check_module_name(path: Path, name: str) -> None:
    """Refuse a file whose module is known under its name from elsewhere."""
    known = sys.modules.get(name)
    file = getattr(known, "__file__", None)
    if known is None:
        spec = importlib.util.find_spec(name.partition(".")[0])
        file = spec.origin if spec is not None and "." not in name else str(path.resolve())
    if file is None or Path(file).resolve() != path.resolve():
        raise ConfigError(
            f"the file of a study must not have the name of another module, got file={path}, "
            f"module={name}; rename the file"
        )


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
