"""A test of two arms on the same images, which tells the images' variance from the replicates'.

A mean IoU is one number of a whole test set, so its standard deviation over seeds says nothing of
what another test set would have given. Here the images are drawn anew, with replacement and the
same ones for both arms and all replicates, and their confusion matrices summed again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semisweep.core.errors import ConfigError

Counts = npt.NDArray[np.integer]
Numbers = npt.NDArray[np.float64]
CHUNK = 200  # resamples at a time, which bounds the memory


class ImageTest(NamedTuple):
    """A difference of mean IoU (fractions) and where its variance comes from."""

    difference: float  # the mean over replicates
    low: float  # over other images, for the very replicates at hand
    high: float
    p: float  # two-sided, of "on such images these trained networks are equally good"
    image_std: float  # of the difference, over other images
    replicate_std: float  # of one replicate's difference, on these images; NaN for one replicate
    total_std: float  # of the mean difference over both; what is of both is counted twice


def image_test(
    ours: Counts, base: Counts, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> ImageTest:
    """Return the difference in mean IoU of `ours` to `base`, and its images' and seeds' variance.

    Both are confusion matrices [R, N, C, C] of the same R paired replicates on the same N images,
    whose labels they count alike.
    The interval is the percentile one, the p-value the share of resamples on the other side of
    zero. The result is a function of `seed`. Raises `ConfigError` for arrays that do not match.
    """
    _check(ours, base)
    replicates, images = ours.shape[:2]
    both = np.stack([ours, base]).reshape(2 * replicates, images, -1).astype(np.float64)
    flat = both.transpose(1, 0, 2).reshape(images, -1)  # [N, 2 R C C]
    shape = (-1, 2, *ours.shape[:1], *ours.shape[2:])
    each = _differences((np.ones((1, images)) @ flat).reshape(shape))[0]  # [R]
    numbers = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        weights = numbers.multinomial(images, np.full(images, 1 / images), size=count)
        found.append(_differences((weights @ flat).reshape(shape)).mean(axis=1))
    drawn = np.concatenate(found)
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    image_std = float(drawn.std(ddof=1))
    replicate_std = float(each.std(ddof=1)) if replicates > 1 else float("nan")
    return ImageTest(
        difference=float(each.mean()),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * float(tail + 1) / (len(drawn) + 1)),
        image_std=image_std,
        replicate_std=replicate_std,
        total_std=float(np.hypot(image_std, replicate_std / np.sqrt(replicates))),
    )


def mean_iou(counts: npt.NDArray[np.number]) -> Numbers:
    """Return the mean IoU of confusion matrices [..., C, C], whose rows are the truth.

    Classes that do not occur are left out; NaN where none does.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - hits
    occurs = union > 0
    share = np.divide(hits, union, out=np.zeros_like(hits), where=occurs)
    with np.errstate(invalid="ignore"):
        return np.asarray(share.sum(axis=-1) / occurs.sum(axis=-1), dtype=np.float64)


def _differences(counts: Numbers) -> Numbers:
    """Return ours minus base [B, R] of summed confusion matrices [B, 2, R, C, C]."""
    values = mean_iou(counts)
    return np.asarray(values[:, 0] - values[:, 1], dtype=np.float64)


def _check(ours: Counts, base: Counts) -> None:
    if ours.shape != base.shape or ours.ndim != 4 or ours.shape[2] != ours.shape[3]:
        raise ConfigError(
            "confusion matrices must be [replicates, images, classes, classes], equal for both "
            f"arms, got ours={ours.shape}, base={base.shape}; compare common replicates only"
        )
    if not ours.shape[0] or ours.shape[1] < 2 or not ours.any():
        raise ConfigError(
            "a test on images needs a replicate, two images and counted pixels, "
            f"got replicates={ours.shape[0]}, images={ours.shape[1]}, pixels={ours.sum()}"
        )
    other = (ours.sum(axis=-1) != base.sum(axis=-1)).any(axis=(0, 2))
    if other.any():
        raise ConfigError(
            "both arms must be tested on the same labels, got other counts of pixels of a class on "
            f"{other.sum()} of {other.size} images; train or score the older trials again"
        )
