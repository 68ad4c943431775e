"""States under their names: a newer writer's of a step stays alone, with those of earlier steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from semisweep.store import checkpoint_file, files


def named(folder: files.Location) -> list[tuple[str, int, bytes | None]]:
    """Return stem, step and content of each state of a folder."""
    return sorted((own.stem, own.step, own.read()) for own in checkpoint_file.find(folder))


@pytest.mark.parametrize("step", range(1, 6))
def test_a_state_takes_the_place_of_those_of_its_step_and_of_later_ones(
    tmp_path: Path, step: int
) -> None:
    """Under its own stem alone: they are of an attempt that was given up."""
    for own in (2, 3, 4):
        checkpoint_file.write(tmp_path, "checkpoint", own, b"given up %d" % own)
        checkpoint_file.write(tmp_path, "weights-best", own, b"best %d" % own)
    checkpoint_file.write(tmp_path, "checkpoint", step, b"new")

    assert named(tmp_path) == [
        *(("checkpoint", own, b"given up %d" % own) for own in (2, 3, 4) if own < step),
        ("checkpoint", step, b"new"),
        *(("weights-best", own, b"best %d" % own) for own in (2, 3, 4)),
    ]


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_second_name_takes_the_place_of_its_step_and_of_later_ones_too(
    tmp_path: Path, step: int
) -> None:
    for own in (2, 3, 4):
        checkpoint_file.write(tmp_path, "weights-best", own, b"best %d" % own)
        checkpoint_file.write(tmp_path, "weights-last", own, b"last %d" % own)
    checkpoint_file.link(tmp_path, "weights-last", "weights-best", step)

    assert named(tmp_path)[3:] == [
        *(("weights-last", own, b"last %d" % own) for own in (2, 3, 4) if own < step),
        ("weights-last", step, b"best %d" % step),
    ]
    assert [own for _, own, _ in named(tmp_path)[:3]] == [2, 3, 4]


def test_what_is_beyond_a_step_goes_under_every_name(tmp_path: Path) -> None:
    for own in (2, 3, 4):
        checkpoint_file.write(tmp_path, "checkpoint", own, b"a %d" % own)
        checkpoint_file.write(tmp_path, "weights-best", own, b"b %d" % own)
    checkpoint_file.remove_beyond(tmp_path, 3)

    assert [(stem, own) for stem, own, _ in named(tmp_path)] == [
        (stem, own) for stem in ("checkpoint", "weights-best") for own in (2, 3)
    ]
