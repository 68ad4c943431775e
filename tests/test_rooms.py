"""What holds for all of the source, beside what import-linter checks in `make lint`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import semisweep
from semisweep.study.named_values import method_names

ROOT = Path(__file__).resolve().parent.parent
PLATFORM = ROOT / "platform" / "semisweep"
SOURCES = {
    "semisweep": PLATFORM,
    "semisweep_methods": ROOT / "methods" / "semisweep_methods",
    "semisweep_studies": ROOT / "studies" / "semisweep_studies",
}
LONGEST_FILE = 440
EVERY_FILE = [path for home in SOURCES.values() for path in sorted(home.rglob("*.py"))]
ROOMS = sorted(path.name for path in PLATFORM.iterdir() if (path / "__init__.py").is_file())
MAP = (ROOT / "platform" / "README.md").read_text()
# What runs, keeps and judges trials works for every method.
WITHOUT_METHODS = ("core", "store", "search", "statistics", "cluster", "running")


def names_of(module: Path) -> list[tuple[str, str]]:
    """Return module and name of everything that a file imports by `from module import name`."""
    return [
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def test_the_contracts_name_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (own["layers"] for own in contracts["contracts"] if "containers" in own)

    assert sorted(layers[1:]) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_names_every_module_and_no_other(room: str) -> None:
    (entry,) = re.findall(rf"^\* \*\*{room}\*\*(.*?)(?=^\* \*\*|^$)", MAP, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z0-9_]+)`", entry))
    modules = {path.stem for path in (PLATFORM / room).glob("*.py")} - {"__init__"}

    assert named == modules


def test_what_runs_a_method_knows_none_by_name() -> None:
    names = {path.rpartition(":")[2] for path in method_names().values()}
    assert {"RankMatch", "UniMatch", "Supervised"} <= names
    files = [path for room in WITHOUT_METHODS for path in (PLATFORM / room).glob("*.py")]
    assert len(files) > len(WITHOUT_METHODS)
    for path in files:
        code = ast.unparse(ast.parse(path.read_text()))  # without comments
        assert not [name for name in names if re.search(rf"\b{name}\b", code)], path.name


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_says_what_it_is_and_is_short(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":")), "the first line must be a sentence"
    assert text.count("\n") <= LONGEST_FILE


@pytest.mark.parametrize("package", ["semisweep_methods", "semisweep_studies"])
def test_methods_and_studies_take_public_names_from_the_top(package: str) -> None:
    for path in sorted(SOURCES[package].rglob("*.py")):
        deep = [
            name
            for module, name in names_of(path)
            if module.startswith("semisweep.") and name in semisweep.__all__
        ]
        assert not deep, f"{path.name}: from semisweep import {', '.join(deep)}"


def private_parts_of_ray(path: Path) -> list[str]:
    """Return the private names of Ray that a file imports, asks for, or has as a text."""
    private = re.compile(r"^ray\.(.*\.)?_|^ray\.train\.v2\b")
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            found.append(f"ray.{node.attr}" if node.attr in ("_private", "_raylet") else "")
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return [name for name in found if private.match(name)]


def test_private_names_of_ray_are_in_one_file() -> None:
    home = PLATFORM / "cluster" / "ray_internals.py"

    assert len(set(private_parts_of_ray(home))) > 20
    assert {path: private_parts_of_ray(path) for path in EVERY_FILE if path != home} == {
        path: [] for path in EVERY_FILE if path != home
    }


def test_imports_are_absolute() -> None:
    for path in EVERY_FILE:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0, path


def test_no_folder_called_platform_is_a_package() -> None:
    """It would hide Python's own module of that name, and torch and Ray with it."""
    found = [
        path
        for path in ROOT.rglob("platform/__init__.py")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]

    assert (ROOT / "platform").is_dir()
    assert not found


def test_no_folder_of_tests_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_tests_have_names_of_their_own_and_lie_in_the_rooms() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    names = [path.name for path in files]

    assert len(names) == len(set(names))
    places = {path.parent.relative_to(ROOT / "tests").as_posix() for path in files}
    assert places <= {".", "methods", "studies", "gpu", "fuzz", *ROOMS}


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


def test_public_names_are_what_type_checkers_see() -> None:
    tree = ast.parse((PLATFORM / "__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: str(node.module).removeprefix("semisweep.")
        for node in ast.walk(checked)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == semisweep._MODULES
    assert {*seen, "__version__"} == set(semisweep.__all__)


def test_public_names_are_not_those_of_rooms() -> None:
    """`semisweep.x` would be the one or the other, as it happens to have been imported."""
    modules = {*ROOMS, *(path.stem for path in PLATFORM.glob("*.py"))}

    assert not modules & set(semisweep.__all__)


def test_importing_semisweep_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "pandas", "numpy", "pyarrow", "timm", "optuna", "pydantic")
    script = f"import sys, semisweep; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


def test_examples_of_the_guides_import_public_names_only() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("*/README.md")):
        text = page.read_text()
        for names in re.findall(r"^from semisweep\.[\w.]+ import (.+)$", text, re.MULTILINE):
            assert not set(names.replace(" ", "").split(",")) & set(semisweep.__all__), page
        for names in re.findall(r"^from semisweep import (.+)$", text, re.MULTILINE):
            assert set(names.strip("()").replace(" ", "").split(",")) <= set(semisweep.__all__)
