"""A user's own code: files that a command names, whose folders go on the path of modules.

As with `python x.py`, what lies beside a named file can be imported by it. Such a folder comes
after Python's own modules and before installed ones. What nobody has named is never imported
because a store says so, unless `trust_store` was called.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import invalidate_caches
from pathlib import Path

from semisweep.core.errors import ConfigError

INSTALLED = ("site-packages", "dist-packages")
SHIPPED = ("semisweep", "semisweep_methods", "semisweep_studies")


@dataclass
class _Known:
    """What this process was told of the user's own code."""

    folders: list[str] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    trusts_store: bool = False


_known = _Known()


def is_file(place: str) -> bool:
    """Return whether the place of "place:attribute" is a file, such as ../mine.py."""
    return place.endswith(".py")


def is_own(name: str) -> bool:
    """Return whether a name of a study or method names a file or module: all but plain names."""
    return ":" in name


def place_of(file: Path) -> tuple[Path, str]:
    """Return the folder that makes a file importable, and the name of its module from there.

    That are the file's own folder and stem. A file of a package that imports relatively is the
    module of that package that it was written as.
    """
    path = file.resolve()
    folder, parts = path.parent, [path.stem]
    if (folder / "__init__.py").is_file() and _imports_relatively(path):
        while (folder / "__init__.py").is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
    return folder, ".".join(parts)


def register(place: str) -> None:
    """Note that the user names a file, folder or module, whose code may run from now on.

    Imports nothing. Raises `ConfigError` for a file that does not exist.
    """
    if is_file(place):
        path = Path(place)
        if not path.is_file():
            raise ConfigError(f"the file of a study must exist, got file={place}")
        folder, module = place_of(path)
        add_folder(folder)
        _known.modules.add(module.partition(".")[0])
    elif Path(place).is_dir():
        add_folder(Path(place).resolve())
    else:
        _known.modules.add(place.partition(".")[0])


def add_folder(folder: Path) -> None:
    """Put a folder on the path of modules, after Python's own and before installed ones."""
    text = str(folder)
    if text not in _known.folders:
        _known.folders.append(text)
        invalidate_caches()
    if text not in sys.path:
        sys.path.insert(_first_installed(), text)


def folders() -> tuple[str, ...]:
    """Return the folders that were added, in order."""
    return tuple(_known.folders)


def trust_store() -> None:
    """Allow from now on the code that a store names."""
    _known.trusts_store = True


def trusts_store() -> bool:
    """Return whether `trust_store` was called."""
    return _known.trusts_store


def forget() -> None:
    """Forget what was named and imported of it, for a process that goes on with something else."""
    for folder in set(_known.folders).intersection(sys.path):
        sys.path.remove(folder)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).is_relative_to(folder) for folder in _known.folders):
            del sys.modules[name]
    _known.folders, _known.modules, _known.trusts_store = [], set(), False


def may_run(module: str) -> bool:
    """Return whether code of a module may run though only a store asks for it.

    That are our own, what is imported already, what was named, and what lies in a named file's
    folder.
    """
    top = module.partition(".")[0]
    if top in SHIPPED or top in _known.modules or module in sys.modules:
        return True
    return any(_is_in(Path(folder), top) for folder in _known.folders)


def _is_in(folder: Path, top: str) -> bool:
    return (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()


def _first_installed() -> int:
    installed = (
        number for number, entry in enumerate(sys.path) if _is_installed(Path(entry).parts)
    )
    return next(installed, len(sys.path))


def _is_installed(parts: Iterable[str]) -> bool:
    return not set(INSTALLED).isdisjoint(parts)


def _imports_relatively(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # importing it says where
        return False
    return any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree))
