"""Trials are added to a GPU while that is worth it, by figures of GPUs that are simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from semisweep.cluster.gpu_climb import WINDOW_SECONDS, Climb, images_a_step
from semisweep.cluster.job import Job
from semisweep.core.config import encode
from semisweep.store.trial_records import TrialProgress
from semisweep.training.trial import TrainingConfig


def job(key: str, batch: int = 4) -> Job:
    training = TrainingConfig(steps=10, labelled_batch=batch, unlabelled_batch=batch)
    return Job(key=key, trial={"training": encode(training)}, store="", data_root="")


def climbed(
    climb: Climb, images_a_second: Callable[[int], float], trial_steps: int = 10**9
) -> tuple[list[int], list[str]]:
    """Return how many trials ran in each second, and what was said, on a GPU of some speed.

    Trials that end are followed by others; a new one takes five seconds to begin.
    """
    steps: dict[str, float] = {}
    born: dict[str, int] = {}
    counts, said, number = [], [], 0
    for second in range(1200):
        while len(steps) < climb.limit:
            steps[f"trial-{number}"], born[f"trial-{number}"] = 0.0, second
            number += 1
        for key in sorted(steps)[climb.limit :]:
            del steps[key]
        trains = [key for key in steps if second - born[key] >= 5]
        for key in trains:
            steps[key] += images_a_second(len(trains)) / len(trains) / 8
        for key in [key for key, step in steps.items() if step > trial_steps]:
            del steps[key]
        running = {
            key: TrialProgress(step=int(step), total_steps=10**9) for key, step in steps.items()
        }
        text = climb.observe(float(second), {key: job(key) for key in running}, running)
        said += [text] * bool(text)
        counts.append(len(running))
    return counts, said


def test_trials_are_added_while_images_a_second_rise_by_a_twentieth() -> None:
    climb = Climb(most=8)
    speeds = {1: 100.0, 2: 180.0, 3: 220.0, 4: 226.0}
    counts, said = climbed(climb, lambda count: speeds.get(count, 230.0))

    assert (climb.limit, climb.settled) == (3, True)
    assert max(counts) == 4
    assert said == [
        "--gpus auto has settled on 3 trials a GPU; images a second by trials at a time: "
        + ", ".join(f"{count}: {climb.rates[count]:.0f}" for count in (1, 2, 3, 4))
    ]
    for count, speed in speeds.items():
        assert climb.rates[count] == pytest.approx(speed, rel=0.02)


def test_never_more_than_memory_allows() -> None:
    climb = Climb(most=2)
    counts, said = climbed(climb, lambda count: 100.0 * count)
    assert (climb.limit, max(counts)) == (2, 2)
    assert len(said) == 1


def test_a_gpu_that_one_trial_fills_keeps_one() -> None:
    climb = Climb(most=8)
    climbed(climb, lambda count: 100.0)
    assert (climb.limit, climb.settled) == (1, True)


def test_short_trials_are_measured_with_the_gaps_between_them() -> None:
    """Of trials of eight seconds with five before each, two fill a GPU that one fills when busy."""
    climb = Climb(most=2)
    climbed(climb, lambda count: 100.0, trial_steps=100)
    assert WINDOW_SECONDS > 100 * 8 / 100.0
    assert (climb.limit, climb.settled) == (2, True)
    assert climb.rates[2] > 1.3 * climb.rates[1]


def test_nothing_is_decided_where_there_are_too_few_trials() -> None:
    climb = Climb(most=4)
    told = TrialProgress(step=1, total_steps=10**9)
    steps = {f"trial-{number}": 0 for number in range(2)}
    for second in range(200):
        climb.limit = 2
        there = list(steps)[: 1 if second > 10 else 2]
        for key in there:
            steps[key] += 1
        running = {key: replace(told, step=steps[key]) for key in there}
        assert climb.observe(float(second), {key: job(key) for key in there}, running) == ""
    assert climb.rates == {}


def test_images_of_a_step_are_those_of_both_batches() -> None:
    assert images_a_step(job("one", batch=6)) == 12
