"""What may import what, and other rules that hold for all of the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import semisweep
from semisweep.catalogue import method_names

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    "semisweep": ROOT / "platform" / "semisweep",
    "semisweep_methods": ROOT / "methods" / "semisweep_methods",
    "semisweep_studies": ROOT / "studies" / "semisweep_studies",
}
LONGEST_FILE = 420
# What nobody may import but the files that are named.
ALONE = {
    "ray.train": {"worker.py", "slot_trainer.py"},
    "ray.tune": {"sweep.py", "engine.py"},
    "optuna": {"sampling.py", "optuna_export.py"},
    "obstore": {"asking.py", "objects.py"},
}
WITHOUT_METHODS = (
    *("trainer", "optimizer", "execute", "worker", "slot_trainer", "sweep", "engine", "groups"),
    *("broker", "launch", "job", "store", "folder", "files", "rows", "checked", "journal", "query"),
)


def files(package: str) -> list[Path]:
    return sorted(SOURCES[package].rglob("*.py"))


EVERY_FILE = [path for package in SOURCES for path in files(package)]


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"imports must be absolute, got file={path}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("semisweep", ("semisweep_methods", "semisweep_studies")),
        ("semisweep_methods", ("semisweep_studies", "ray", "optuna")),
        ("semisweep_studies", ("ray",)),
    ],
)
def test_a_lower_package_imports_nothing_of_a_higher_one(
    package: str, forbidden: tuple[str, ...]
) -> None:
    assert len(files(package)) >= 4
    for path in files(package):
        found = [name for name in imports(path) for other in forbidden if within(name, other)]
        assert not found, f"{path.name} imports {found}"


@pytest.mark.parametrize("package", ALONE)
def test_few_files_import_what_should_stay_behind_them(package: str) -> None:
    users = {
        path.name
        for path in files("semisweep")
        if any(within(name, package) for name in imports(path))
    }

    assert users
    assert users <= ALONE[package]


def test_what_runs_a_method_knows_none_by_name() -> None:
    names = {path.rpartition(":")[2] for path in method_names().values()}
    assert {"RankMatch", "UniMatch", "Supervised"} <= names
    for module in WITHOUT_METHODS:
        text = (SOURCES["semisweep"] / f"{module}.py").read_text()
        assert not [name for name in names if re.search(rf"\b{name}\b", text)], module


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_says_what_it_is_and_is_short(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":")), "the first line must be a sentence"
    assert text.count("\n") <= LONGEST_FILE


def test_no_folder_called_platform_is_a_package() -> None:
    """It would hide Python's own module of that name, and torch and Ray with it."""
    found = [
        path
        for path in ROOT.rglob("platform/__init__.py")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]

    assert (ROOT / "platform").is_dir()
    assert not found


def test_packages_say_that_they_are_typed() -> None:
    for folder in SOURCES.values():
        assert (folder / "py.typed").is_file()


def test_every_public_name_is_there() -> None:
    assert sorted(semisweep.__all__) == list(semisweep.__all__)
    for name in semisweep.__all__:
        assert getattr(semisweep, name) is not None
        assert name in dir(semisweep)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = semisweep.nothing


def test_public_names_are_not_those_of_modules() -> None:
    """`semisweep.x` would be the one or the other, as it happens to have been imported."""
    modules = {path.stem for path in files("semisweep")}

    assert not modules & set(semisweep.__all__)


def test_importing_semisweep_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "pandas", "numpy", "pyarrow", "timm", "optuna")
    script = f"import sys, semisweep; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"
