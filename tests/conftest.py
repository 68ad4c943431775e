"""What every test gets: a clean environment, one thread, and failures that show their values."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from object_storage import ObjectStorage

PROCESS_SECONDS = 180

# Before anything imports them: they hold assertions, but are no test modules.
pytest.register_assert_rewrite("semisweep.testing", "semisweep.training.method_fixtures")


@pytest.fixture(autouse=True, scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's SEMISWEEP_* variables and cache, from the fixtures of whole modules too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SEMISWEEP_")]:
            patch.delenv(name)
        patch.setenv("SEMISWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Give torch one thread, wherever it has been imported: results repeat bit for bit so."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_own_code_before() -> Iterator[None]:
    """Let every test begin without what earlier ones have named: folders, and modules in them."""
    from semisweep.core import own_code

    before = list(sys.path)
    yield
    own_code.forget()
    sys.path[:] = before


@pytest.fixture(scope="session")
def tiny_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small embedded data set: 48 images to train on, 4 to validate, 4 to test, 32 px."""
    from semisweep.data.shapes import make

    return make(tmp_path_factory.mktemp("data") / "shapes", train=48, val=4, test=4, size=32)


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    error: str


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Said]:
    """Run the command line in this process, in an empty folder."""
    from semisweep.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert isinstance(stop.value.code, int)
        return Said(stop.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Said]:
    """Run the command line in a process of its own, in the test's folder or another one.

    `path` goes first on the path of modules.
    """

    def run(*arguments: object, path: Path | None = None, folder: Path = tmp_path) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "semisweep", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": found_from(path)},
            capture_output=True,
            text=True,
            timeout=PROCESS_SECONDS,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def found_from(path: Path | None) -> str:
    """Return where a process looks for modules: in a folder, and where this one was told to."""
    own = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(part for part in (str(path or ""), own) if part)


@pytest.fixture
def refused() -> Callable[..., None]:
    """Check that a command ended as bad input must: with one line, which has all of `parts`."""

    def check(said: Said, *parts: str) -> None:
        assert said.code == 2
        assert said.error.count("\n") == 1
        assert said.error.startswith("error: ")
        assert "Traceback" not in said.error + said.out
        for part in parts:
            assert part in said.error

    return check


@pytest.fixture(scope="session")
def storage_process() -> Iterator[ObjectStorage]:
    """A real S3 server in a process of its own on loopback."""
    command = [sys.executable, str(Path(__file__).parent / "shared" / "s3_server.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield ObjectStorage(int(server.stdout.readline()))
        server.send_signal(signal.SIGKILL)


@pytest.fixture
def s3(storage_process: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """The S3 server, and an environment that leads there, also for processes of the test."""
    for name, value in storage_process.environment.items():
        monkeypatch.setenv(name, value)
    yield storage_process
    storage_process.faults(0)
    storage_process.ask("PUT", "careless?on=0")


@pytest.fixture(params=["disk", "leases", "s3"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> str:
    """Return URLs of new stores of each kind: a folder, one with leases, object storage."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3").new())
    if request.param == "leases":
        monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    return str(tmp_path / "store")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount something at a folder for the time of a test, or skip."""
    places: list[Path] = []

    def mount(*arguments: str) -> Path:
        place = tmp_path / f"mounted{len(places)}"
        place.mkdir()
        try:
            run = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if run.returncode:
            pytest.skip(f"mounting is not allowed here: {run.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def kept_store(tmp_path: Path) -> Iterator[Path]:
    """A store with a result and a failure, which a test must leave exactly as they are."""
    from semisweep import Store

    made = Store.open(tmp_path / "store", create=True)
    made.trial("aaaa").describe({"format": 1})
    made.trial("aaaa").complete({"last.test.miou": 0.5, "seed": 0, "run.seconds": 1.0})
    made.trial("bbbb").fail({"key": "bbbb", "error": "it broke", "attempts": 3, "trial": {}})
    made.write_study("quickstart", "paper", one_cell({"0/0": "aaaa", "0/1": "bbbb"}))
    before = contents(made.root)
    yield made.root
    assert contents(made.root) == before


def one_cell(trials: dict[str, str]) -> Any:
    """Return a resolved study of one cell."""
    from resolved import cell, table

    return table(
        cell(trials, published=71.6), name="quickstart", title="A table of tests", scale="paper"
    )


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of every file; the note that a data set is whole is no result."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "checked"
    }
