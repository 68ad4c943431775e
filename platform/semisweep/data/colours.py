"""Colours of strong views: brightness, contrast, saturation, hue, grey and blur, in float32.

Everything runs over strips of rows that stay in a core's own cache: on whole images most of the
time goes into fetching memory. What a pixel becomes does not depend on the strips.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semisweep.data.reading import Pixels

Floats = npt.NDArray[np.float32]

GREY = np.array((0.299, 0.587, 0.114), dtype=np.float32)  # ITU-R 601 luma

BLUR_REACH = 3.0  # a Gaussian is cut off at this many standard deviations

STRIP_PIXELS = 2**14  # the dozen arrays of a strip take less than a megabyte

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_LOCAL = threading.local()

BLACK, WHITE, HALF = np.float32(0), np.float32(255), np.float32(0.5)


class ColourChange(NamedTuple):
    """What happens to the colours of one image, in the order of the fields."""

    steps: tuple[tuple[int, float], ...]  # kind of jitter and amount, each kind at most once
    grey: bool
    sigma_pixels: float | None  # of the blur


def change_colours(
    image: Pixels, steps: Sequence[tuple[int, float]], grey: bool, sigma_pixels: float | None
) -> Pixels:
    """Return image [H, W, 3] with steps of jitter (kind, amount) in order, then greyed or blurred.

    Values are clipped after each step and rounded only once, at the end.
    """
    height, width = image.shape[:2]
    planes = _scratch(height, width)
    kinds = [kind for kind, _ in steps]
    turning = kinds.index(CONTRAST) if CONTRAST in kinds else 0
    mean = BLACK
    if CONTRAST in kinds:
        grey_values = np.empty((height, width), dtype=np.float32)
        for rows in strips(height, width):
            _read(image, planes, rows)
            _jitter(planes[:, rows], steps[:turning], mean)
            grey_values[rows] = luma(planes[:, rows])
        mean = np.float32(grey_values.mean(dtype=np.float64))
    changed = np.empty_like(image)
    for rows in strips(height, width):
        if CONTRAST not in kinds:
            _read(image, planes, rows)
        _jitter(planes[:, rows], steps[turning:], mean)
        if grey:
            planes[:, rows] = luma(planes[:, rows])
        if sigma_pixels is None:
            _write(planes[:, rows], changed, rows)
    if sigma_pixels is not None:
        smooth = gaussian_blur(planes, sigma_pixels)
        for rows in strips(height, width):
            _write(smooth[:, rows], changed, rows)
    return changed


def _scratch(height: int, width: int) -> Floats:
    """Return three planes of anything, of this thread's own; asking for new ones takes longer."""
    planes: Floats | None = getattr(_LOCAL, "planes", None)
    if planes is None or planes.shape[1:] != (height, width):
        planes = _LOCAL.planes = np.empty((3, height, width), dtype=np.float32)
    return planes


def strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image, some at a time."""
    step = max(1, STRIP_PIXELS // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _read(image: Pixels, planes: Floats, rows: slice) -> None:
    for channel in range(3):
        planes[channel, rows] = image[rows, :, channel]


def _write(planes: Floats, image: Pixels, rows: slice) -> None:
    rounded = (planes + HALF).astype(np.uint8)
    for channel in range(3):
        image[rows, :, channel] = rounded[channel]


def _jitter(planes: Floats, steps: Sequence[tuple[int, float]], mean: np.float32) -> None:
    """Change planes [3, h, W] in place; `mean`: what contrast is changed around."""
    for kind, amount in steps:
        if kind == HUE:
            planes[:] = turn_hue(planes, amount)
        elif kind == BRIGHTNESS:
            planes *= np.float32(amount)
            np.clip(planes, BLACK, WHITE, out=planes)
        else:
            _blend(planes, luma(planes) if kind == SATURATION else mean, amount)


def blend(planes: Floats, base: Floats | np.float32, amount: float) -> Floats:
    """Return `base` plus `amount` times what differs from it, clipped to [0, 255]."""
    return _blend(planes.copy(), base, amount)


def _blend(planes: Floats, base: Floats | np.float32, amount: float) -> Floats:
    planes -= base
    planes *= np.float32(amount)
    planes += base
    np.clip(planes, BLACK, WHITE, out=planes)
    return planes


def luma(planes: Floats) -> Floats:
    """Return the grey values [H, W] of planes [3, H, W]."""
    grey: Floats = planes[0] * GREY[0]
    part = planes[1] * GREY[1]
    grey += part
    grey += np.multiply(planes[2], GREY[2], out=part)
    return grey


def turn_hue(planes: Floats, turn: float) -> Floats:
    """Return planes [3, H, W] with their HSV hue turned by `turn` of a full circle."""
    red, green, blue = planes
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    hue, start = _sixths(planes, value, np.float32(6 * turn))
    hue /= np.clip(chroma, np.float32(1e-6), WHITE)  # grey: any hue will do
    hue += start
    circles = hue / np.float32(6)
    np.floor(circles, out=circles)
    circles *= np.float32(6)
    hue -= circles  # in [0, 6]
    turned = np.empty_like(planes)
    for channel, centre in ((0, 3), (1, 2), (2, 4)):
        share = np.subtract(hue, np.float32(centre), out=turned[channel])
        np.abs(share, out=share)
        if channel == 0:
            share -= np.float32(1)
        else:
            np.subtract(np.float32(2), share, out=share)
        np.clip(share, BLACK, np.float32(1), out=share)
        share -= np.float32(1)
        share *= chroma
        share += value
    return turned


def _sixths(planes: Floats, value: Floats, shift: np.float32) -> tuple[Floats, Floats]:
    """Return the difference of the two smaller colours, and the sixth of the circle it is in.

    Weights of 0 and 1 choose, as numpy takes many times longer to choose by conditions; sums with
    zeros are exact.
    """
    red, green, blue = planes
    reddest = (value == red).astype(np.float32)
    greenest = (value == green).astype(np.float32)
    greenest *= np.float32(1) - reddest
    bluest = np.float32(1) - reddest
    bluest -= greenest
    choices = (
        (reddest, green - blue, np.float32(0) + shift),
        (greenest, blue - red, np.float32(2) + shift),
        (bluest, red - green, np.float32(4) + shift),
    )
    chosen, sixth = np.zeros_like(value), np.zeros_like(value)
    for weight, difference, start in choices:
        difference *= weight
        chosen += difference
        weight *= start
        sixth += weight
    return chosen, sixth


def gaussian_blur(planes: Floats, sigma_pixels: float) -> Floats:
    """Return planes [3, H, W] smoothed by a Gaussian; the border is continued outwards."""
    weights = gaussian_weights(sigma_pixels)
    reach = len(weights) - 1
    if reach == 0:
        return planes
    height, width = planes.shape[1:]
    smooth = np.empty_like(planes)
    for channel in range(3):
        for rows in strips(height, width):
            tall = _continued(planes[channel], rows, reach)
            wide = np.empty((rows.stop - rows.start, width + 2 * reach), dtype=np.float32)
            middle = wide[:, reach : reach + width]
            _smooth(tall, weights, 0, middle)
            wide[:, :reach] = middle[:, :1]
            wide[:, reach + width :] = middle[:, -1:]
            total = smooth[channel, rows]
            _smooth(wide, weights, 1, total)
            np.clip(total, BLACK, WHITE, out=total)
    return smooth


def gaussian_weights(sigma_pixels: float) -> Floats:
    """Return the weights of a pixel and of its neighbours at distances 1, 2, ... to either side."""
    reach = math.ceil(BLUR_REACH * sigma_pixels)
    if reach == 0:
        return np.ones(1, dtype=np.float32)
    exact = np.exp(-0.5 * (np.arange(reach + 1) / sigma_pixels) ** 2)
    exact /= exact[0] + 2 * exact[1:].sum()
    return exact.astype(np.float32)


def _continued(plane: Floats, rows: slice, reach: int) -> Floats:
    """Return some rows of a plane and `reach` more on either side; a view where it has them."""
    start, stop = rows.start - reach, rows.stop + reach
    if start >= 0 and stop <= len(plane):
        return plane[start:stop]
    return plane.take(np.arange(start, stop), axis=0, mode="clip")


def _smooth(padded: Floats, weights: Floats, axis: int, total: Floats) -> None:
    """Write weighted sums along an axis into `total`, which is shorter by twice the reach."""
    reach, size = len(weights) - 1, total.shape[axis]
    lead = (slice(None),) * axis
    np.multiply(padded[(*lead, slice(reach, reach + size))], weights[0], out=total)
    pair = np.empty(total.shape, dtype=np.float32)
    for distance in range(1, reach + 1):
        before = padded[(*lead, slice(reach - distance, reach - distance + size))]
        after = padded[(*lead, slice(reach + distance, reach + distance + size))]
        np.add(before, after, out=pair)
        pair *= weights[distance]
        total += pair
