"""Which code trains a method: a digest that changes with the code, not with its comments.

It is of the method's module and of all that this imports, as far as somebody may edit it: modules
outside of installed packages, and the method's own package wherever it lies; and of what semisweep
trains with, in its rooms networks, data and training, and the seeds of random numbers. Not of the
other rooms (a page's drawings change no weights), nor of semisweep's handling of configurations,
whose values are in a trial's key, nor of libraries, whose versions are kept beside it.

Sources are read as text and never imported, so that a table can be printed where torch is not
wanted. Imports by a name that is computed are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeGuard

ROOTS = ("semisweep.training.trainer", "semisweep.data.registry")
ROOMS = ("semisweep.networks", "semisweep.data", "semisweep.training", "semisweep.core.seeding")
METHODS = "semisweep_methods"
BY_VALUE = ("semisweep", "semisweep_studies")  # what these say of a trial is in its key
PUBLIC = {  # modules for methods, by the short name that they have too
    f"semisweep.{name}": f"semisweep.training.{name}" for name in ("functional", "weight_averaging")
}
DECLARATIONS = (
    "Study",
    "Search",
    "Row",
    "Column",
    "Preset",
)  # and what a study in this module says
INSTALLED = ("site-packages", "dist-packages")
SILENT = ("ctx", "kind", "type_comment", "type_ignores")  # fields of a tree that say nothing more


class Source(NamedTuple):
    """What a file of source code says."""

    digest: str  # of its normal form
    imports: tuple[str, ...]  # dotted names; some are of modules, others of what is in one


@cache
def training_code(method: str) -> str | None:
    """Return a digest of the code that trains a method, "package.module:Class": 20 hex digits.

    It is the same under every version of Python. None where the method's module is not here.
    """
    module = method.partition(":")[0]
    if module_file(module) is None:
        return None
    total = hashlib.sha256()
    for name, file in sorted(sources(module).items()):
        total.update(f"{name} {read_source(file, name).digest}\n".encode())
    return total.hexdigest()[:20]


def module_file(name: str) -> Path | None:
    """Return the source file of a module, of a package its `__init__.py`; None where there is none.

    It is looked for on the path of modules and then in the current folder, where studies given as
    files lie. Nothing is imported, parent packages neither.
    """
    top, *inner = name.split(".")
    place = _top_level(top)
    for part in inner:
        if place is None or (place.suffix == ".py" and place.name != "__init__.py"):
            return None
        place = _in_folder(place.parent if place.suffix else place, part)
    return place if place is not None and place.suffix == ".py" else None


@cache
def read_source(file: Path, name: str) -> Source:
    """Return what the source file of module `name` says; by its bytes where it does not parse."""
    data = file.read_bytes()
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return Source(hashlib.sha256(data).hexdigest(), ())
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    imports = tuple(_imports(tree.body, package))
    form = "".join(normal_form([node for node in tree.body if not _declares(node)]))
    return Source(hashlib.sha256(form.encode()).hexdigest(), imports)


def normal_form(node: object) -> Iterator[str]:
    """Yield a syntax tree as text, without comments, docstrings, layout and imports of types.

    What only newer versions of Python have is left out where it is empty, as in older ones.
    """
    if isinstance(node, ast.Constant):
        yield f"{type(node.value).__name__} {node.value!r}"
    elif isinstance(node, ast.JoinedStr):
        yield "(JoinedStr"
        yield from normal_form(_joined(node.values))
        yield ")"
    elif isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if name not in SILENT and value is not None and value != []:
                yield f" {name}="
                yield from normal_form(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            if not _does_nothing(item):
                yield from normal_form(item)
                yield ","
        yield "]"
    else:
        yield repr(node)


def _does_nothing(node: object) -> bool:
    """Return whether a statement leaves no trace when it runs: docstrings, for one."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or (_is_for_type_checkers(node) and not node.orelse)


def _is_for_type_checkers(node: object) -> TypeGuard[ast.If]:
    names = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.If) and ast.unparse(node.test) in names


def _declares(node: ast.stmt) -> bool:
    """Return whether a statement is of a study, whose values are in the keys of its trials."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
        return False
    return ast.unparse(node.value.func).rpartition(".")[2] in DECLARATIONS


def _joined(parts: list[ast.expr]) -> list[object]:
    """Return the parts of an f-string; versions differ in where they divide its texts."""
    found: list[object] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            found.append(part)
        elif found and isinstance(found[-1], str):
            found[-1] += str(part.value)
        elif part.value != "":
            found.append(str(part.value))
    return found


def sources(module: str) -> dict[str, Path]:
    """Return name and file of all modules that training with a method's module depends on."""
    own = module.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = [module, *_parents(module, own), *ROOTS]
    while waiting:
        name = waiting.pop()
        file = None if name in found else module_file(name)
        if file is not None:
            found[name] = file
            for other in read_source(file, name).imports:
                waiting += [part for part in (other, *_parents(other, own)) if _counts(part, own)]
    return found


def _parents(name: str, own: str) -> Iterator[str]:
    """Yield the packages that Python runs before a module, as far as they count."""
    parts = name.split(".")
    yield from (
        parent for end in range(1, len(parts)) if _counts(parent := ".".join(parts[:end]), own)
    )


def _counts(name: str, own: str) -> bool:
    """Return whether code that a method's module imports by this name belongs to its training."""
    top = name.partition(".")[0]
    if any(f"{name}.".startswith(f"{room}.") for room in ROOMS):
        return True
    if top in BY_VALUE or name == METHODS or top in sys.stdlib_module_names:
        return False
    if top in (own, METHODS):
        return True
    place = _top_level(top)
    return place is not None and not set(INSTALLED).intersection(place.parts)


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Yield all names that a module imports, also inside functions, but not for type checkers."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            named = (f"{base}.{alias.name}" for alias in node.names)
            yield from (PUBLIC.get(name, name) for name in named)
        elif _is_for_type_checkers(node):
            yield from _imports(node.orelse, package)
        else:
            yield from _imports(ast.iter_child_nodes(node), package)


@cache
def _top_level(name: str) -> Path | None:
    """Return the file of a module without parents, or the folder of one that has no file."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that says nothing of where it is from
        spec = None
    if spec is None:
        return _in_folder(Path.cwd(), name)
    if spec.origin is not None:
        return Path(spec.origin)
    return next(map(Path, spec.submodule_search_locations or ()), None)


def _in_folder(folder: Path, name: str) -> Path | None:
    package = folder / name
    for file in (package / "__init__.py", folder / f"{name}.py"):
        if file.is_file():
            return file
    return package if package.is_dir() else None
