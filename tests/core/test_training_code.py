"""The digest of the code that trains changes with that code alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import semisweep.core.training_code as training_code_module
from semisweep.core import provenance
from semisweep.core.training_code import module_file, read_source, training_code

METHOD = '''"""A method."""

import torch
from semisweep import Method, Study
from losses import term
from own.deep import inner


class Mine(Method):
    """Learns."""

    def step(self, batch, progress):
        # the loss
        yield term(batch, f"{progress:>{3}} of " f"{progress}", [1, *batch], scale=0.5)
'''
FILES = {
    "mine.py": METHOD,
    "losses.py": 'import unnamed\n\n\ndef term(*a, **b):\n    """Return."""\n    return a\n',
    "own/__init__.py": "",
    "own/deep/inner.py": "from .. import beside\n",
    "own/beside.py": "A = 1\n",
    "bystander.py": "B = 1\n",
}


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """Return a function: the digest of the method above, with some files otherwise."""
    count = 0

    def of(changes: dict[str, str] | None = None, method: str = "mine:Mine") -> str | None:
        nonlocal count
        count += 1
        folder = tmp_path / f"place{count}"
        for name, text in {**FILES, **(changes or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            for own in (training_code, training_code_module._top_level):
                own.cache_clear()
            return training_code(method)

    return of


def test_the_digest_is_of_the_code_wherever_it_lies(digest: Callable[..., str | None]) -> None:
    first = digest()

    assert first is not None
    assert len(first) == 20
    assert digest() == first
    assert digest({"bystander.py": "B = 2\n"}) == first


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mine.py", "# the loss", "# what is minimised"),
        ("mine.py", '"""Learns."""', '"""Learns faster."""'),
        ("mine.py", '    """Learns."""\n\n', ""),
        ("mine.py", "(batch, f", "(\n            batch,\n            f"),
        ("mine.py", "import Method, Study\n", "import Method, Study  # noqa\n\n"),
        ("losses.py", '    """Return."""\n', "    pass\n"),
        ("losses.py", "import unnamed\n", "import unnamed\nif TYPE_CHECKING:\n    import os\n"),
        ("mine.py", "class Mine", 'table = Study(\n    name="a",\n)\n\n\nclass Mine'),
    ],
)
def test_comments_layout_and_declarations_do_not_change_it(
    digest: Callable[..., str | None], name: str, old: str, new: str
) -> None:
    changed = FILES[name].replace(old, new)
    assert changed != FILES[name]

    assert digest({name: changed}) == digest()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mine.py", "0.5", "0.25"),
        ("mine.py", "[1, *batch]", "[*batch, 1]"),
        ("mine.py", " of ", " in "),
        ("mine.py", "{3}", "{4}"),
        ("losses.py", "return a", "return b"),
        ("losses.py", "import unnamed\n", ""),
        ("losses.py", "import unnamed\n", "if not TYPE_CHECKING:\n    import unnamed\n"),
        ("own/beside.py", "A = 1", "A = 1.0"),
        ("own/__init__.py", "", "import math\n"),
        ("own/beside.py", "A = 1", "A = ("),  # which does not even parse
    ],
)
def test_code_that_the_method_imports_changes_it(
    digest: Callable[..., str | None], name: str, old: str, new: str
) -> None:
    changed = FILES[name].replace(old, new) if old else new
    assert changed != FILES[name]

    assert digest({name: changed}) != digest()


def test_a_method_that_is_not_here_has_none(digest: Callable[..., str | None]) -> None:
    assert digest(method="nowhere:Mine") is None
    assert digest(method="own.nowhere:Mine") is None


def test_it_is_of_what_trains_and_not_of_what_draws_pages() -> None:
    found = set(training_code_module.sources("semisweep_methods.rankmatch"))

    assert {
        "semisweep_methods.rankmatch",
        "semisweep_methods.unimatch",
        "semisweep_methods.agents",
        "semisweep.training.trainer",
        "semisweep.training.optimizer",
        "semisweep.training.device_augmentation",
        "semisweep.data.augmentation",
        "semisweep.data.registry",
        "semisweep.networks.decoder",
        "semisweep.core.seeding",
    } <= found
    assert "semisweep_methods.stpg" not in found
    rooms = {".".join(name.split(".")[:2]) for name in found if name.startswith("semisweep.")}
    assert rooms == {f"semisweep.{room}" for room in ("networks", "data", "training", "core")}


def test_no_module_is_imported_to_read_it(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "package" / "mine.py").write_text("import torch\n")
    script = (
        "import sys; from semisweep.core.training_code import training_code as code; "
        "print(code('package.mine:A'), code('semisweep_methods.stpg:STPG'), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    own, shipped, heavy = done.stdout.split()
    assert own != shipped
    assert "None" not in (own, shipped)
    assert heavy == "False"


EXAMPLE = """
from __future__ import annotations
import losses as own, math
@decorated(1, b"x", 1e-7, 2j, ..., None, True)
class Mine(Base, metaclass=Meta):
    rate: float = 0.1 ** -2
    async def step(self, a, /, b: int = 1, *c, d, e=None, **f) -> int:
        global g
        with open(a) as x, b:
            yield f"{a!r:>{b}.2f}" 'and' f"{b=}", x[1:2, ..., ::3], {**f, 'k': [*c]}
        try:
            return lambda q: (y := q) if not a < b <= d else ~b
        except (A, B) as error:
            raise error from None
        finally:
            del a.b, c[0]
        match a:
            case {"k": [1, *rest], **more} | Point(x=0): assert rest, "no"
            case _: pass
        for i in [z async for z in b if z]: continue
        else: nonlocal_ = {i for i in b}
"""
EXAMPLES_DIGEST = "27370cbe60f565dd651c"


def test_every_version_of_python_finds_the_same_digest(tmp_path: Path) -> None:
    """Of those on the path; written down here for those that are elsewhere."""
    file = tmp_path / "example.py"
    file.write_text(EXAMPLE)
    source = read_source(file, "example")
    names = [f"python3.{minor}" for minor in range(10, 16)]
    commands = [command for name in names if (command := shutil.which(name)) and starts(command)]
    script = (
        "import importlib.util, pathlib, sys; "
        "spec = importlib.util.spec_from_file_location('code', sys.argv[1]); "
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); "
        "print(module.read_source(pathlib.Path(sys.argv[2]), 'example').digest)"
    )

    assert source.digest[:20] == EXAMPLES_DIGEST
    assert set(source.imports) >= {"losses", "math"}
    for command in commands:
        arguments = [command, "-c", script, str(training_code_module.__file__), str(file)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == source.digest, command


def starts(command: str) -> bool:
    """Return whether an interpreter is one, and not a stand-in for one that is missing."""
    return subprocess.run([command, "-c", ""], capture_output=True).returncode == 0


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    own = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(own, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_result_tells_the_commit_of_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("method_of_a_checkout.py", "beside.py"):
        (tmp_path / name).write_text("A = 1\n")
    run_git(tmp_path, "init", "--quiet")
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = run_git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "results.csv").write_text("which are no code\n")
    monkeypatch.syspath_prepend(tmp_path)
    clean = provenance.provenance("method_of_a_checkout:A")
    (tmp_path / "beside.py").write_text("A = 2\n")
    provenance.git.cache_clear()
    changed = provenance.provenance("method_of_a_checkout:A")

    assert (clean["source.method_commit"], clean["source.method_dirty"]) == (commit, "no")
    assert (changed["source.method_commit"], changed["source.method_dirty"]) == (commit, "yes")
    assert clean["source.code"] == training_code("method_of_a_checkout:A")
    assert clean.get("source.commit") != commit
    assert module_file("method_of_a_checkout") == tmp_path / "method_of_a_checkout.py"


def test_a_shipped_method_has_the_commit_of_semisweep() -> None:
    found = provenance.provenance("semisweep_methods.stpg:STPG")

    assert found["source.code"] == training_code("semisweep_methods.stpg:STPG")
    assert not [name for name in found if name.startswith("source.method_")]
