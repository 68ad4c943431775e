"""Estimates of cost: a measured rate times steps, within a range."""

from __future__ import annotations

import pytest

from semisweep.running.cost_estimate import (
    SLACK,
    SLACK_OF_ONE,
    STARTUP_SECONDS,
    Kind,
    MeasuredCost,
    PlannedTrial,
    Range,
    estimate,
    makespan,
)

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


def past(method: str, seconds: float, **sizes: float) -> MeasuredCost:
    return MeasuredCost(kind=kind(method), steps=1500, seconds=seconds, **sizes)


def device_range(before: list[MeasuredCost], *wanted: PlannedTrial) -> Range:
    found = estimate(before, wanted, slots=1).device_seconds
    assert found is not None
    return found


def test_recorded_trials_lie_in_the_ranges_made_before_they_ran() -> None:
    """Of nine trials of kinds that had run before, each foretold from what had ended by then."""
    trials = [past(method, seconds) for method, _, seconds in RECORDED]
    inside, widths = [], []
    for index, trial in enumerate(trials):
        before = trials[:index]
        if trial.kind in {other.kind for other in before}:
            found = device_range(before, PlannedTrial(trial.kind, 1500))
            inside.append(found.covers(trial.seconds))
            widths.append(found.high / found.low)

    assert len(inside) == 9
    assert sum(inside) >= 7
    assert max(widths) < 3.5  # a range of any width would hold everything


def test_a_rate_is_that_of_the_trials_measured_and_its_range_their_spread() -> None:
    found = device_range(
        [past("m0", 60), past("m0", 90), past("m1", 999)], PlannedTrial(kind(), 3000)
    )

    assert found == pytest.approx((2 * 60 / SLACK, 2 * 75, 2 * 90 * SLACK))


def test_one_measured_trial_gives_a_wider_range_than_two_alike() -> None:
    one = device_range([past("m0", 60)], PlannedTrial(kind(), 1500))
    two = device_range([past("m0", 60)] * 2, PlannedTrial(kind(), 1500))

    assert one == pytest.approx((60 / SLACK_OF_ONE, 60, 60 * SLACK_OF_ONE))
    assert one.low < two.low < two.middle < two.high < one.high


def test_time_is_for_slots_and_device_time_for_workers() -> None:
    before = [MeasuredCost(kind=kind(workers=2), steps=1500, seconds=100.0)]
    wanted = [PlannedTrial(kind(workers=2), 3000)] * 6

    one, three = (estimate(before, wanted, slots) for slots in (1, 3))

    assert one.seconds is not None and three.seconds is not None  # noqa: PT018
    assert one.device_seconds == three.device_seconds
    assert one.device_seconds is not None
    assert one.device_seconds.middle == 2 * 6 * 200
    assert one.seconds.middle == 6 * 200 + STARTUP_SECONDS
    assert three.seconds.middle == 2 * 200 + STARTUP_SECONDS


def test_each_trial_goes_to_the_slot_that_is_free_first() -> None:
    assert makespan([5, 1, 1, 1, 4], 2) == 7
    assert makespan([5, 1], 3) == 5


def test_sizes_add_up_on_disk_and_the_largest_process_counts() -> None:
    before = [
        past("m0", 60, disk_bytes=3e6, memory_bytes=1e9),
        past("m0", 60, disk_bytes=5e6),
        past("m1", 60, disk_bytes=8e6, memory_bytes=2e9),
        past("m2", 60, disk_bytes=8e9, memory_bytes=2e10),
    ]
    wanted = [PlannedTrial(kind("m0"), 1500)] * 3 + [PlannedTrial(kind("m1"), 1500)]

    found = estimate(before, wanted, slots=2)

    assert found.disk_bytes == 20e6
    assert found.memory_bytes == 2e9


def test_kinds_that_were_not_measured_are_unknown() -> None:
    before = [past("m0", 60)]
    wanted = [PlannedTrial(kind("m0"), 1500), PlannedTrial(kind("new"), 1500)]
    wanted += [PlannedTrial(kind("m0", crop_pixels=128), 1500)]

    found = estimate(before, wanted, slots=1)

    assert (found.known, found.unknown) == (1, 2)
    assert (found.disk_bytes, found.memory_bytes) == (None, None)
    nothing = estimate([], wanted, slots=1)
    assert (nothing.seconds, nothing.disk_bytes, nothing.unknown) == (None, None, 3)


def test_a_range_covers_its_ends() -> None:
    assert [Range(1, 2, 3).covers(value) for value in (0.9, 1, 3, 3.1)] == [
        False, True, True, False,
    ]  # fmt: skip
