"""The folder of a Ray that a sweep starts: its sockets' paths fit, whatever folder is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from driving import Driver, command, environment

from semisweep.cluster.own_ray import LONGEST_SOCKET, SOCKET, folder, short_folder

MODULES = Path(__file__).parents[1] / "crash"


def test_a_short_folder_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/short")
    with short_folder() as options:
        assert options == {}
    assert not Path("/tmp/short").exists()


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_long_folder_has_a_short_name_for_a_while(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    deep = tmp_path / ("d" * 100) / ("é" * 40)
    monkeypatch.setenv(name, str(deep))
    with short_folder() as options:
        place = Path(options["_temp_dir"])
        assert len(os.fsencode(place.parent / SOCKET)) <= LONGEST_SOCKET
        assert place.resolve() == folder() / "ray", "what is written lies where the user wants it"
        assert place.parent.stat().st_mode & 0o077 == 0
        (place / "log").touch()
    assert not place.parent.exists()
    assert (deep / "ray" / "log").exists()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["long", "a file"])
def test_a_sweep_runs_in_a_long_folder_and_says_which_one_it_cannot_use(
    kind: str, tmp_path: Path, tiny_shapes: Path
) -> None:
    place = tmp_path / ("d" * 100)
    if kind == "long":
        place.mkdir()
    else:
        place.touch()
    more = {"RAY_TMPDIR": str(place), "TMPDIR": str(place if kind == "long" else tmp_path)}
    arguments = ["run", "crash_studies:handful", "--slots", "1", "--store", "store"]
    driver = Driver(
        command(*arguments, "--data", f"shapes={tiny_shapes}"),
        tmp_path,
        environment(MODULES, tmp_path / "ledger", **more),
    )
    if kind == "long":
        assert driver.wait() == 0, driver.errors
        assert list(place.glob("ray/session_2*/logs/raylet.out"))
        return
    assert driver.wait() == 1
    said = driver.errors.splitlines()
    assert said[-1].startswith("error: Ray must start on this machine, got [Errno ")
    assert said[-1].endswith(f"again, with RAY_TMPDIR at a folder with room, not {place}")
    assert len(said) == 2, "the line before tells that Ray is starting"
