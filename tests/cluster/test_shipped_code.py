"""The user's own code is copied for a cluster: what may be code, and not too much of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from semisweep.cluster.connection import shipping
from semisweep.cluster.shipped_code import copy_code
from semisweep.core import own_code
from semisweep.core.errors import ConfigError


def write(root: Path, *names: str, size: int = 8) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)
    return root


def copied(target: Path) -> set[str]:
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}


def test_code_and_what_it_reads_goes_along_and_nothing_else(tmp_path: Path) -> None:
    lab = write(
        tmp_path / "lab",
        *("x.py", "parts/y.py", "parts/names.txt", ".git/config", "__pycache__/x.pyc"),
        *("store/semisweep.json", "store/trials/a", "env/pyvenv.cfg", "env/big.py"),
        *("data/dataset.toml", "data/images/1.png"),
    )

    copy_code([str(lab)], tmp_path / "copy")

    assert copied(tmp_path / "copy") == {"x.py", "parts/y.py", "parts/names.txt"}


def test_too_much_is_refused_with_its_largest_part(tmp_path: Path) -> None:
    lab = write(tmp_path / "lab", "x.py")
    write(lab, "pictures/1.png", "pictures/2.png", size=2**20)

    with pytest.raises(ConfigError, match=r"at most 1 MiB, got folder=.*lab with 2 MiB, of which"):
        copy_code([str(lab)], tmp_path / "copy", most_bytes=2**20)
    assert not (tmp_path / "copy").exists()


def test_two_files_of_one_name_are_refused_and_equal_ones_are_not(tmp_path: Path) -> None:
    folders = [str(write(tmp_path / name, "x.py", f"{name}.py")) for name in ("a", "b")]
    copy_code(folders, tmp_path / "copy")
    write(tmp_path / "b", "x.py", size=9)

    assert copied(tmp_path / "copy") == {"x.py", "a.py", "b.py"}
    with pytest.raises(ConfigError, match=r"run the studies one by one"):
        copy_code(folders, tmp_path / "again")


def test_ray_is_given_the_copy_on_a_cluster_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_JOB_RUNTIME_ENV", "0")
    own_code.register(str(write(tmp_path, "mine_on_a_cluster.py") / "mine_on_a_cluster.py"))

    with shipping(None) as here, shipping("127.0.0.1:6379") as there:
        place = Path(there["runtime_env"]["working_dir"])
        assert here == {}
        assert copied(place) == {"mine_on_a_cluster.py"}
    assert not place.exists()
