"""The test on images: the variance of images and of replicates told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from semisweep.core.errors import ConfigError
from semisweep.statistics.image_bootstrap import image_test, mean_iou
from semisweep.training.metric import mean_iou as slow_mean_iou

CLASSES = 3


def confusions(accuracy: np.ndarray, seed: int) -> np.ndarray:
    """Return [R, N, C, C] with 300 pixels an image, from the share [R, N] that is right."""
    numbers = np.random.default_rng(seed)
    right = numbers.binomial(100, np.clip(accuracy, 0, 1)[..., None], (*accuracy.shape, CLASSES))
    found = np.zeros((*accuracy.shape, CLASSES, CLASSES), dtype=np.int64)
    for index in range(CLASSES):
        found[..., index, index] = right[..., index]
        found[..., index, (index + 1) % CLASSES] = 100 - right[..., index]
    return found


def test_mean_iou_is_that_of_the_metric() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (20, 4, 4))
    counts[3, 2, :] = counts[3, :, 2] = 0  # a class that does not occur
    counts[4] = 0

    expected = [slow_mean_iou(one) for one in counts]

    assert mean_iou(counts) == pytest.approx(expected, nan_ok=True)


def test_the_difference_is_that_of_the_whole_test_set() -> None:
    ours, base = (confusions(np.full((2, 30), share), seed) for seed, share in ((0, 0.9), (1, 0.8)))
    expected = [
        slow_mean_iou(a.sum(axis=0)) - slow_mean_iou(b.sum(axis=0))
        for a, b in zip(ours, base, strict=True)
    ]

    found = image_test(ours, base, resamples=300)

    assert found.difference == pytest.approx(np.mean(expected))
    assert found.replicate_std == pytest.approx(np.std(expected, ddof=1))
    assert found.low < found.difference < found.high
    assert found.p < 0.01


def test_equal_arms_differ_by_nothing() -> None:
    ours = confusions(np.full((2, 10), 0.8), 0)

    found = image_test(ours, ours, resamples=100)

    assert found[:6] == (0, 0, 0, 1, 0, 0)


def test_what_comes_from_images_is_not_taken_for_seeds() -> None:
    """An arm is better on some images and worse on others, alike in every replicate."""
    effect = np.random.default_rng(0).normal(0, 0.15, 40)
    base = confusions(np.full((4, 40), 0.7), 1)
    ours = confusions(np.broadcast_to(0.7 + effect, (4, 40)), 2)

    found = image_test(ours, base, resamples=500)

    assert found.image_std > 3 * found.replicate_std


def test_what_comes_from_seeds_is_not_taken_for_images() -> None:
    effect = np.array([[-0.15], [0.1], [0.15], [-0.1]])
    base = confusions(np.full((4, 40), 0.7), 1)
    ours = confusions(np.broadcast_to(0.7 + effect, (4, 40)), 2)

    found = image_test(ours, base, resamples=500)

    assert found.replicate_std > 10 * found.image_std
    assert found.total_std == pytest.approx(found.replicate_std / 2, rel=0.05)


def test_the_images_are_the_same_for_both_arms() -> None:
    """How hard an image is cancels out: the arms differ by the same on every one."""
    hardness = np.random.default_rng(0).uniform(0.3, 0.9, (2, 60))
    hardness[1] = hardness[0]
    base, ours = confusions(hardness, 1), confusions(hardness + 0.05, 2)

    paired = image_test(ours, base, resamples=300)
    shuffled = image_test(ours[:, np.random.default_rng(3).permutation(60)], base, resamples=300)

    assert paired.difference == pytest.approx(shuffled.difference)
    assert paired.image_std < shuffled.image_std / 3


def test_one_replicate_has_no_spread_of_its_own() -> None:
    found = image_test(
        confusions(np.full((1, 9), 0.9), 0), confusions(np.full((1, 9), 0.8), 1), resamples=100
    )

    assert math.isnan(found.replicate_std)
    assert found.image_std > 0


def test_a_result_depends_on_its_seed_alone() -> None:
    ours, base = confusions(np.full((2, 9), 0.9), 0), confusions(np.full((2, 9), 0.8), 1)

    assert image_test(ours, base, resamples=250) == image_test(ours, base, resamples=250)
    assert image_test(ours, base, resamples=250) != image_test(ours, base, resamples=250, seed=1)


def test_arms_without_a_difference_are_rarely_told_apart() -> None:
    """300 test sets of 60 images: about 5 % of p-values are below 5 %."""
    numbers = np.random.default_rng(0)
    false = 0
    for trial in range(300):
        hardness = numbers.uniform(0.4, 0.9, 60)
        ours, base = (
            confusions((hardness + numbers.normal(0, 0.1, 60))[None], 2 * trial + arm)
            for arm in range(2)
        )
        false += image_test(ours, base, resamples=300, seed=trial).p <= 0.05

    assert stats.binom.ppf(0.001, 300, 0.05) <= false <= stats.binom.ppf(0.999, 300, 0.07)


@pytest.mark.parametrize(
    ("shape", "other", "what"),
    [
        ((2, 5, 3, 3), (3, 5, 3, 3), "common replicates"),
        ((2, 5, 3, 4), (2, 5, 3, 4), "classes, classes"),
        ((5, 3, 3), (5, 3, 3), "replicates, images"),
        ((2, 1, 3, 3), (2, 1, 3, 3), "images=1"),
        ((0, 5, 3, 3), (0, 5, 3, 3), "replicates=0"),
        ((2, 5, 3, 3), (2, 5, 3, 3), "pixels=0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    shape: tuple[int, ...], other: tuple[int, ...], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        image_test(np.zeros(shape, dtype=np.int64), np.zeros(other, dtype=np.int64))
