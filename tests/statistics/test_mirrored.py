"""Statistics take no side: with the arms exchanged, signs and bounds turn, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from semisweep.statistics.decisions import column_noise, comparison, decide
from semisweep.statistics.image_bootstrap import image_test, mean_iou
from semisweep.statistics.intervals import paired_difference
from semisweep.statistics.order_agreement import agreement
from semisweep.statistics.verdicts import Evidence, difference_p, judge

TURNED = {"better": "worse", "worse": "better"}


def arms(shift: float, images: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return confusion matrices [2, N, 2, 2] of two arms of 100 pixels, on images of all kinds."""
    numbers = np.random.default_rng(seed)
    found = []
    for mean in (0.7 + shift, 0.7):
        share = np.clip(mean + numbers.normal(0, 0.12, (2, images, 2)), 0, 1)
        right = np.rint(50 * share).astype(int)
        counts = np.zeros((2, images, 2, 2), dtype=int)
        for index in range(2):
            counts[..., index, index] = right[..., index]
            counts[..., index, 1 - index] = 50 - right[..., index]
        found.append(counts)
    return found[0], found[1]


@pytest.mark.parametrize("shift", [-0.2, -0.03, 0.0, 0.03, 0.2])
def test_exchanging_the_arms_of_a_bootstrap_turns_the_difference_and_its_interval(
    shift: float,
) -> None:
    ours, base = arms(shift, images=20)
    found, turned = (image_test(*pair, resamples=400) for pair in ((ours, base), (base, ours)))

    assert turned.p == found.p
    assert turned.difference == pytest.approx(-found.difference)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert turned[4:] == pytest.approx(found[4:])


@pytest.mark.parametrize("shift", [-0.2, -0.05, 0.0, 0.05, 0.2])
def test_a_bootstrap_draws_images_as_if_all_draws_were_written_down(shift: float) -> None:
    """Of five images there are 5 ** 5 equally probable draws; each is scored in a slow loop."""
    ours, base = arms(shift, seed=3)
    every = np.array(
        [
            np.mean(
                [
                    mean_iou(ours[own][list(drawn)].sum(axis=0))
                    - mean_iou(base[own][list(drawn)].sum(axis=0))
                    for own in range(2)
                ]
            )
            for drawn in itertools.product(range(5), repeat=5)
        ]
    )
    resamples = 4000
    found = image_test(ours, base, resamples=resamples)
    tail = min((every <= 0).mean(), (every >= 0).mean())
    error = 4 * np.sqrt(tail * (1 - tail) / resamples) + 1 / resamples  # of the share that is drawn

    assert found.p == pytest.approx(min(1, 2 * tail), abs=2 * error)
    assert found.image_std == pytest.approx(every.std(), rel=0.05)
    for bound, level in ((found.low, 0.025), (found.high, 0.975)):
        beside = np.quantile(every, [level - 0.01, level + 0.01])
        assert beside[0] <= bound <= beside[1]


def test_half_of_the_false_claims_are_of_either_side() -> None:
    """On 200 test sets without a difference; a one-sided p-value would name one side alone."""
    signs = []
    for seed in range(200):
        ours, base = arms(0.0, images=30, seed=seed)
        found = image_test(ours, base, resamples=200)
        if found.p <= 0.2:
            signs.append(np.sign(found.difference))
        if abs(found.p - 0.05) > 0.02:
            assert (found.p < 0.05) == (not found.low <= 0 <= found.high)

    assert 0.1 < len(signs) / 200 < 0.35
    assert 0.25 < np.mean(np.array(signs) > 0) < 0.75


@pytest.mark.parametrize("shift", [-2.0, -0.2, 0.3, 4.0])
def test_exchanging_the_rows_of_a_paired_difference_turns_it(shift: float) -> None:
    numbers = np.random.default_rng(1)
    a = {f"{i % 3}/{i}": float(x) for i, x in enumerate(numbers.normal(shift, 1, 9))}
    b = {f"{i % 3}/{i}": float(x) for i, x in enumerate(numbers.normal(0, 1, 9))}
    found, turned = paired_difference(a, b), paired_difference(b, a)

    assert turned.mean == pytest.approx(-found.mean)
    assert (turned.n, turned.std) == (found.n, pytest.approx(found.std))


def test_verdicts_of_turned_differences_are_turned() -> None:
    numbers = np.random.default_rng(2)
    shifts = (0.0, 3.0, -3.0, 0.4, -0.4, 0.01, 1.0)
    rows = {
        f"{index}": {f"0/{i}": shift + float(x) for i, x in enumerate(numbers.normal(0, 0.3, 6))}
        for index, shift in enumerate(shifts)
    }
    decisions = []
    for sign in (1, -1):
        own = {row: {u: sign * x for u, x in units.items()} for row, units in rows.items()}
        noise = column_noise(own, "0")
        others = [row for row in own if row != "0"]
        compared = [comparison(row, "0", own, noise, confirmatory=True) for row in others]
        decisions.append(decide(compared, margin=1.0, alpha=0.05, next_alpha=0.01))
    found, turned = decisions

    assert {own.verdict for own in found if own} >= {"better", "worse", "equivalent"}
    for own, other in zip(found, turned, strict=True):
        assert own is not None
        assert other is not None
        assert other.verdict == TURNED.get(own.verdict, own.verdict)
        assert other.p == pytest.approx(own.p)
        assert (other.low, other.high) == pytest.approx((-own.high, -own.low))
        assert (other.within_margin, other.further) == (own.within_margin, own.further)


def test_p_values_depend_on_the_size_of_a_difference_alone() -> None:
    mean, std, n = np.array([0.1, 0.6, 2.0]), np.array([0.5, 0.6, 0.7]), np.array([3.0, 5.0, 8.0])
    found, turned = (
        judge(Evidence(sign * mean, n, std, std, n, std, n), margin=1.0, alpha=0.05)
        for sign in (1, -1)
    )

    assert difference_p(mean, std, n) == pytest.approx(difference_p(-mean, std, n))
    assert found.p_equivalent == pytest.approx(turned.p_equivalent)
    assert (found.better == turned.worse).all()
    assert (found.worse == turned.better).all()
    assert found.better.any()


def test_the_agreement_with_a_turned_order_is_turned() -> None:
    numbers = np.random.default_rng(4)
    published = [1.0, 2.0, 3.0, 4.0, 5.0]
    ours = np.array([0.0, 3.0, 2.5, 2.6, 9.0]) + numbers.normal(0, 1.0, (6, 5))
    found, turned = (agreement([(published, sign * ours)]) for sign in (1, -1))

    assert found is not None
    assert turned is not None
    assert -1 < found.low < found.tau < found.high
    assert (turned.tau, turned.low, turned.high) == (-found.tau, -found.high, -found.low)
    assert turned.kept == turned.pairs - found.kept
