"""Data sets on many machines: where they lie, and that they are the same."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from semisweep.cluster.machine_data import (
    NODE_DATA,
    check_same,
    known_digest,
    machine_name,
    machine_root,
)
from semisweep.core.errors import DataError
from semisweep.data.check import content_digest
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.study.request import Request, Resources, Roots


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the roots of two data sets that differ in their pixels alone."""
    root = tmp_path_factory.mktemp("data")
    sizes = {"train": 4, "val": 1, "test": 1, "size": 32}
    return (
        make(root / "one" / "shapes", seed=0, **sizes),
        make(root / "two" / "shapes", seed=1, **sizes),
    )


def test_a_machine_may_keep_its_data_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert machine_root("voc", "/driver/voc") == Path("/driver/voc")
    monkeypatch.setenv(NODE_DATA, str(tmp_path))
    assert machine_root("voc", "/driver/voc") == tmp_path / "voc"


def test_the_same_images_pass_and_others_are_refused_by_the_machines_name(
    folders: tuple[Path, Path],
) -> None:
    one, two = (open_dataset("shapes", folder) for folder in folders)
    digest = content_digest(one)

    check_same(one, digest)
    check_same(two, "")  # nothing to compare with
    with pytest.raises(DataError, match="driver's images of 'shapes'") as refusal:
        check_same(two, digest)
    assert f"machine={socket.gethostname()}" in str(refusal.value)
    assert str(folders[1]) in str(refusal.value)


def test_images_are_compared_where_other_machines_take_part(folders: tuple[Path, Path]) -> None:
    roots = Roots(folders[0].parent)
    alone = Request(roots=roots)
    together = Request(roots=roots, resources=Resources(address="host:6379"))

    assert known_digest("shapes", alone) == ""
    assert known_digest("shapes", together) == content_digest(open_dataset("shapes", folders[0]))


def test_a_machine_without_ray_has_its_own_name() -> None:
    assert machine_name() == socket.gethostname()
