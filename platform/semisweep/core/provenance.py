"""Where a result comes from: package, source, libraries, machine."""

from __future__ import annotations

import hashlib
import platform
import socket
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from semisweep.core.device import device_name, driver_version, is_gpu

LIBRARIES = ("torch", "timm", "numpy", "pillow")


def provenance(method: str) -> dict[str, str]:
    """Return the columns that tell which code made a result; `method` is "package.module:Class"."""
    packages = ("semisweep", method.partition(":")[0].partition(".")[0])
    home = _folder("semisweep")
    columns = {"source.version": version("semisweep"), "source.digest": source(packages)}
    columns |= {f"source.{name}": value for name, value in git(home).items()}
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
def source(packages: Iterable[str]) -> str:
    """Return a digest of the Python source of the packages: 20 hexadecimal digits."""
    total = hashlib.sha256()
    for name in packages:
        folder = _folder(name)
        for path in sorted(folder.rglob("*.py")):
            total.update(f"{name}/{path.relative_to(folder)}\0".encode())
            total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:20]


@cache
def git(folder: Path) -> dict[str, str]:
    """Return commit and dirty flag of the checkout that holds `folder`; empty outside of one."""
    answers = []
    for command in (
        ("git", "ls-files", "--error-unmatch", "__init__.py"),
        ("git", "rev-parse", "HEAD"),
        ("git", "status", "--porcelain", "--", ":/platform", ":/methods", ":/studies"),
    ):
        try:
            run = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        answers.append(run.stdout.strip())
    _, commit, changes = answers
    return {"commit": commit, "dirty": "yes" if changes else "no"}


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return Path.cwd()
    return Path(spec.origin).parent
