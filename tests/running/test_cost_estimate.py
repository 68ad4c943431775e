"""Estimates of cost: 80 % intervals hold the truth 8 times out of 10."""

from __future__ import annotations

import numpy as np
import pytest

from semisweep.running.cost_estimate import (
    STARTUP_SECONDS,
    Kind,
    MeasuredCost,
    Range,
    Wanted,
    estimate,
    guessed,
    stretches,
)

TABLES = 100
# Seconds of 1,500 steps of 14 trials in the order in which they ended, two at a time on two CPU
# cores that other work came to share: `semisweep run mini_learning_rate`.
RECORDED = (
    *(("Supervised", 709, 31.0), ("Supervised", 716, 30.4), ("Supervised", 740, 30.5)),
    *(("MeanTeacher", 777, 60.7), ("MeanTeacher", 799, 58.4), ("MeanTeacher", 836, 58.4)),
    *(("CutMixSeg", 858, 57.9), ("CutMixSeg", 891, 54.3), ("CutMixSeg", 911, 52.9)),
    *(("FixMatch", 960, 67.6), ("FixMatch", 989, 77.8), ("FixMatch", 1060, 96.8)),
    *(("CPS", 1171, 181.3), ("CPS", 1239, 175.3)),
)


def kind(method: str = "m0", **changed: int | str) -> Kind:
    base = Kind(method, "network", 64, 4, 4, "fp32", "cpu", 1)
    return base._replace(**changed)  # type: ignore[arg-type]


def past(method: str, seconds: float, ended: float, **sizes: float) -> MeasuredCost:
    return MeasuredCost(kind=kind(method), steps=1500, seconds=seconds, ended=ended, **sizes)


def makespan(seconds: list[float], slots: int) -> float:
    free = [0.0] * slots
    for each in seconds:
        free[free.index(min(free))] += each
    return max(free)


def simulated(seed: int) -> tuple[list[MeasuredCost], list[Wanted], list[float]]:
    """Return a history of one to five stretches of work, a plan, and what it then takes."""
    generator = np.random.default_rng(seed)
    own, shared = generator.uniform(0.03, 0.2), generator.uniform(0.05, 0.3)
    levels = generator.normal(-3, 0.6, 6)

    def seconds(index: int, common: float) -> float:
        return float(1500 * np.exp(levels[index] + common + own * generator.standard_normal()))

    before = []
    for stretch in range(generator.integers(1, 6)):
        common = shared * generator.standard_normal()
        for index in generator.integers(0, 6, generator.integers(4, 15)):
            ended = 1e6 * (stretch + 1) + generator.uniform(0, 600)
            before.append(past(f"m{index}", seconds(index, common), ended))
    seen = {trial.kind.method for trial in before}
    indices = [i for i in generator.integers(0, 6, 20) if f"m{i}" in seen]
    common = shared * generator.standard_normal()
    truths = [seconds(index, common) for index in indices]
    return before, [Wanted(kind(f"m{i}"), 1500) for i in indices], truths


def test_simulated_sweeps_lie_in_their_intervals_eight_times_out_of_ten() -> None:
    """Within three standard errors of 80 %; spreads and the number of stretches differ widely."""
    device, hours = [], []
    for seed in range(TABLES):
        before, wanted, truths = simulated(seed)
        found = estimate(before, wanted, slots=2)
        assert found.seconds is not None
        assert found.device_seconds is not None
        device.append(found.device_seconds.covers(sum(truths)))
        hours.append(found.seconds.covers(makespan(truths, 2) + STARTUP_SECONDS))

    error = 3 * (0.8 * 0.2 / TABLES) ** 0.5
    assert abs(np.mean(device) - 0.8) < error
    assert abs(np.mean(hours) - 0.8) < error


def test_recorded_trials_lie_in_the_intervals_made_before_they_ran() -> None:
    """Of nine trials of kinds that had run before, each foretold from what had ended by then."""
    trials = [past(method, seconds, ended) for method, ended, seconds in RECORDED]
    inside, widths = [], []
    for index, trial in enumerate(trials):
        before = trials[:index]
        if trial.kind in {other.kind for other in before}:
            found = estimate(before, [Wanted(trial.kind, 1500)], slots=1).device_seconds
            assert found is not None
            inside.append(found.covers(trial.seconds))
            widths.append(found.high / found.low)

    assert len(inside) == 9
    assert sum(inside) >= 7
    assert max(widths) < 3.5  # an interval of any width would hold everything


def test_more_history_gives_narrower_intervals() -> None:
    def width(stretch_count: int) -> float:
        before = [
            past("m0", 60 + own, 1e6 * (s + 1) + own)
            for s in range(stretch_count)
            for own in range(3)
        ]
        found = estimate(before, [Wanted(kind("m0"), 1500)] * 10, slots=1).device_seconds
        assert found is not None
        return found.high / found.low

    assert width(12) < width(3) < width(1)


def test_time_is_for_slots_and_device_time_for_workers() -> None:
    before = [
        MeasuredCost(kind=kind(workers=2), steps=1500, seconds=100.0, ended=1e6 * s)
        for s in range(1, 30)
    ]
    wanted = [Wanted(kind(workers=2), 3000)] * 6

    one, three = (estimate(before, wanted, slots) for slots in (1, 3))

    assert one.seconds is not None and three.seconds is not None  # noqa: PT018
    assert one.device_seconds == three.device_seconds
    assert one.device_seconds is not None
    assert one.device_seconds.middle == pytest.approx(2 * 6 * 200, rel=0.05)
    assert one.seconds.middle == pytest.approx(6 * 200 + STARTUP_SECONDS, rel=0.05)
    assert three.seconds.middle == pytest.approx(2 * 200 + STARTUP_SECONDS, rel=0.1)


def test_sizes_add_up_on_disk_and_the_largest_process_counts() -> None:
    before = [
        past("m0", 60, 1e6, disk_bytes=4e6, memory_bytes=1e9),
        past("m1", 60, 1e6, disk_bytes=8e6, memory_bytes=2e9),
    ]
    wanted = [Wanted(kind("m0"), 1500)] * 3 + [Wanted(kind("m1"), 1500)]

    found = estimate(before, wanted, slots=2)

    assert found.disk_bytes is not None
    assert found.memory_bytes is not None
    assert found.disk_bytes.middle == pytest.approx(20e6, rel=0.03)
    assert found.memory_bytes.middle == pytest.approx(2e9, rel=0.03)


def test_kinds_without_history_are_guessed_from_those_like_them_or_left_out() -> None:
    before = [past("m0", 60, 1e6), past("m1", 120, 1e6)]
    wanted = [Wanted(kind("m0"), 1500), Wanted(kind("new"), 1500)]
    wanted += [Wanted(kind("m0", crop_pixels=128), 1500)]
    wanted += [Wanted(kind("new", networks="other"), 1500)]

    found = estimate(before, wanted, slots=1)

    assert (found.known, found.guessed, found.unknown) == (1, 2, 1)
    nothing = estimate([], wanted, slots=1)
    assert (nothing.seconds, nothing.disk_bytes, nothing.unknown) == (None, None, 4)


def test_a_larger_crop_costs_in_proportion_to_its_pixels() -> None:
    before = [past("m0", 60, 1e6)]

    found = estimate(before, [Wanted(kind("m0", crop_pixels=128), 1500)], slots=1).device_seconds

    assert found is not None
    assert found.middle == pytest.approx(240, rel=0.1)
    assert found.high / found.low > 3
    assert guessed(kind("m9", networks="x"), {}) is None


def test_a_pause_begins_another_stretch_of_work() -> None:
    trials = [past("m0", 60, 1000.0), past("m0", 60, 9000.0), past("m0", 60, 1100.0)]
    trials += [MeasuredCost(kind=kind(), steps=1, seconds=7000.0, ended=15_000.0)]

    assert stretches(trials) == [1, 2, 1, 2]


def test_an_interval_covers_its_ends() -> None:
    assert [Range(1, 2, 3).covers(value) for value in (0.9, 1, 3, 3.1)] == [
        False, True, True, False,
    ]  # fmt: skip
