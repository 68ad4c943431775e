"""Private names of Ray: that this one has them, and what is said of one that has not."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from semisweep.cluster import ray_internals
from semisweep.core.errors import ClusterError

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
SCRIPT = """
import sys
import semisweep.cluster.connection
print("ray" in sys.modules)
"""


def test_ray_has_every_name() -> None:
    assert len(set(ray_internals.EVERY)) == len(ray_internals.EVERY)
    ray_internals.check()


def without(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a name away from Ray, from the class that brings it."""
    holder, name = ray_internals._holder(text)
    owners: list[Any] = [own for own in getattr(holder, "__mro__", [holder]) if name in vars(own)]
    for own in owners:
        monkeypatch.delattr(own, name)


@pytest.mark.parametrize(
    "text",
    [
        "ray._private.services:find_bootstrap_address",
        "ray._private.worker:print_to_stdstream",
        "ray.train.v2.api.data_parallel_trainer:DataParallelTrainer._create_default_callbacks",
        "ray.train.v2._internal.execution.failure_handling:FailurePolicy.make_decision",
        "ray.train.v2._internal.execution.scaling_policy.fixed:FixedScalingPolicy"
        ".after_controller_start",
    ],
)
def test_a_name_that_is_missing_is_told_in_one_line(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    assert text in ray_internals.EVERY
    without(text, monkeypatch)

    with pytest.raises(ClusterError) as said:
        ray_internals.check()

    assert str(said.value) == (
        "Ray must have the private names that semisweep uses, "
        f"got ray={ray.__version__} without {text}; install ray{ray_internals.TESTED}"
    )


@pytest.mark.parametrize("text", ["ray._nothing:name", "ray._private.worker:x", "ray:x.y"])
def test_modules_and_parts_of_names_may_be_missing_too(text: str) -> None:
    with pytest.raises(ClusterError, match="must have the private names"):
        ray_internals._found(text)


def test_a_name_is_missed_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    without("ray._private.utils:set_sigterm_handler", monkeypatch)

    with pytest.raises(ClusterError, match="set_sigterm_handler; install ray"):
        ray_internals.without_sigterm_handler().__enter__()


def test_the_versions_that_were_tested_are_those_that_are_installed() -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cluster"]]
    ranges = [text.partition("]")[2] for text in wanted if text.startswith("ray[")]

    assert ranges == [ray_internals.TESTED] * 2


def test_ray_is_imported_no_earlier_than_it_is_used() -> None:
    command = [sys.executable, "-c", SCRIPT]

    assert subprocess.check_output(command, text=True).strip() == "False"
