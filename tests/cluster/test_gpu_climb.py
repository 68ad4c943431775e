"""Trials are added to a GPU while that is worth it, by figures of GPUs that are simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from semisweep.cluster.gpu_climb import Climb, images_a_step
from semisweep.cluster.job import Job
from semisweep.core.config import encode
from semisweep.store.trial_records import TrialProgress
from semisweep.training.trial import TrainingConfig

SECONDS = 1200


def job(key: str, method: str = "some", batch: int = 4) -> Job:
    training = TrainingConfig(steps=10, labelled_batch=batch, unlabelled_batch=batch)
    trial = {"method": method, "training": encode(training), "seed": key}
    return Job(key=key, trial=trial, store="", data_root="")


def climbed(
    climb: Climb,
    images_a_second: Callable[[int], float],
    trial_steps: int = 10**9,
    method: Callable[[int], str] = lambda number: "some",
) -> tuple[list[int], list[str]]:
    """Return how many trials ran in each second, and what was said, on a GPU of some speed.

    Trials that end are followed by others; a new one takes five seconds to begin. Those of a
    method called "slow" see a tenth of the images.
    """
    steps: dict[str, float] = {}
    jobs: dict[str, Job] = {}
    born: dict[str, int] = {}
    counts, said = [], []
    for second in range(SECONDS):
        while len(steps) < climb.limit:
            key = f"trial-{len(jobs):04d}"
            steps[key], born[key], jobs[key] = 0.0, second, job(key, method(len(jobs)))
        trains = [key for key in steps if second - born[key] >= 5]
        for key in trains:
            share = images_a_second(len(trains)) / len(trains) / 8
            steps[key] += share / 10 if jobs[key].trial["method"] == "slow" else share
        for key in [key for key, step in steps.items() if step > trial_steps]:
            del steps[key]
        running = {
            key: TrialProgress(step=int(step), total_steps=10**9) for key, step in steps.items()
        }
        text = climb.observe(float(second), {key: jobs[key] for key in running}, running)
        said += [text] * bool(text)
        counts.append(len(running))
        while len(steps) > climb.limit:
            del steps[max(steps)]
    return counts, said


def test_trials_are_added_while_images_a_second_rise_by_a_twentieth() -> None:
    climb = Climb(most=8)
    speeds = {1: 100.0, 2: 180.0, 3: 220.0, 4: 226.0}
    counts, said = climbed(climb, lambda count: speeds.get(count, 230.0))

    assert (climb.limit, climb.settled) == (3, True)
    assert max(counts) == 4
    assert said == [
        "--gpus auto has settled on trials on the GPU: 3; images a second, by one trial more: "
        + ", ".join(f"{climb.gains[count]:.2f} times with {count}" for count in (2, 3, 4))
    ]
    for count in (2, 3, 4):
        gain = speeds[count] / speeds[count - 1]
        assert climb.gains[count] == pytest.approx(gain, rel=0.03)


def test_never_more_than_memory_allows() -> None:
    climb = Climb(most=2)
    counts, said = climbed(climb, lambda count: 100.0 * count)
    assert (climb.limit, max(counts)) == (2, 2)
    assert len(said) == 1


def test_a_gpu_that_one_trial_fills_keeps_one() -> None:
    climb = Climb(most=8)
    climbed(climb, lambda count: 100.0)
    assert (climb.limit, climb.settled) == (1, True)


def test_a_slower_method_that_is_added_is_not_taken_for_a_slower_gpu() -> None:
    """Of the same images a second, the first trial shows that the GPU has room for another."""
    climb = Climb(most=2)
    climbed(climb, lambda count: 100.0 * count, method=lambda number: "slow" if number else "some")
    assert climb.limit == 2
    assert climb.gains[2] == pytest.approx(2, rel=0.03)


def test_nothing_is_decided_between_kinds_that_cannot_be_compared() -> None:
    climb = Climb(most=3)
    _, said = climbed(
        climb, lambda count: 100.0, trial_steps=400, method=lambda number: f"method {number}"
    )
    assert (climb.limit, climb.settled, said) == (2, False, [])


def test_nothing_is_decided_where_there_are_too_few_trials() -> None:
    climb = Climb(most=4, limit=2)
    told = TrialProgress(step=1, total_steps=10**9)
    steps = {f"trial-{number}": 0 for number in range(2)}
    for second in range(200):
        there = list(steps)[: 1 if second > 10 else 2]
        for key in there:
            steps[key] += 1
        running = {key: replace(told, step=steps[key]) for key in there}
        assert climb.observe(float(second), {key: job(key) for key in there}, running) == ""
    assert climb.rates == {}


def test_images_of_a_step_are_those_of_both_batches() -> None:
    assert images_a_step(job("one", batch=6)) == 12
