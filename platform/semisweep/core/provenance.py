"""Where a result comes from: package, source, libraries, machine."""

from __future__ import annotations

import hashlib
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from semisweep.core.device import device_name, driver_version, is_gpu
from semisweep.core.training_code import METHODS, module_file, training_code

LIBRARIES = ("torch", "timm", "numpy", "pillow")
CHECKOUT = (":/platform", ":/methods", ":/studies")  # where changes of semisweep's own show


def provenance(method: str) -> dict[str, str]:
    """Return the columns that tell which code made a result; `method` is "package.module:Class".

    source.code: the digest of what trains, which marks in tables are of. source.digest: that of all
    of semisweep. source.commit: of semisweep's checkout, source.method_commit: of the one that has
    the method, where that is another; each with whether it had changes.
    """
    columns = {"source.version": version("semisweep"), "source.digest": source("semisweep")}
    if code := training_code(method):
        columns["source.code"] = code
    home = _folder("semisweep") / "__init__.py"
    own = git(home, CHECKOUT)
    columns |= {f"source.{name}": value for name, value in own.items()}
    module = method.partition(":")[0]
    file = None if module.startswith(f"{METHODS}.") else module_file(module)
    if file is not None:
        columns |= {f"source.method_{name}": value for name, value in git(file).items()}
    columns |= {f"library.{name}": version(name) for name in LIBRARIES}
    return columns | {"library.python": platform.python_version()}


def machine(device: str) -> dict[str, str]:
    """Return the volatile columns that tell where a trial ran, and of a GPU which one it was."""
    columns = {"run.host": socket.gethostname(), "run.platform": platform.platform(terse=True)}
    if is_gpu(device):
        columns |= {"run.device_name": device_name(device), "run.driver": driver_version()}
    return columns


@cache
def version(distribution: str) -> str:
    """Return the installed version of a distribution; looking it up takes milliseconds.

    "unknown" where it is used from a folder on the path of modules without being installed.
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def source(package: str) -> str:
    """Return a digest of the whole Python source of a package: 20 hexadecimal digits."""
    total, folder = hashlib.sha256(), _folder(package)
    for path in sorted(folder.rglob("*.py")):
        total.update(f"{package}/{path.relative_to(folder)}\0".encode())
        total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:20]


@cache
def git(file: Path, watched: tuple[str, ...] = ("*.py",)) -> dict[str, str]:
    """Return commit and dirty flag of the checkout that knows `file`; empty outside of one.

    Dirty is one with changes, or new files, in the `watched` places: by default modules in the
    file's folder and below it.
    """
    answers = []
    for command in (
        ("git", "ls-files", "--error-unmatch", file.name),
        ("git", "rev-parse", "HEAD"),
        ("git", "status", "--porcelain", "--untracked-files=all", "--", *watched),
    ):
        try:
            run = subprocess.run(
                command, cwd=file.parent, capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        answers.append(run.stdout.strip())
    _, commit, changes = answers
    return {"commit": commit, "dirty": "yes" if changes else "no"}


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
