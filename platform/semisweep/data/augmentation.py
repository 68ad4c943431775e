"""Random changes of training images: weak, strong, CutMix; pure functions of a numpy generator.

The pipeline of the UniMatch family. Every function draws all its numbers first, in a fixed order,
so that a probability set to zero or one shifts no other draw of the same image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from semisweep.data.reading import Pixels

if TYPE_CHECKING:
    from semisweep.trial import AugmentationConfig

Floats = npt.NDArray[np.float32]

PADDING = 254  # marks padding where there is no label: never a class, never a ground truth's void

MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)  # ImageNet's, of values in [0, 1]
DEVIATION = np.array((0.229, 0.224, 0.225), dtype=np.float32)

GREY = np.array((0.299, 0.587, 0.114), dtype=np.float32)  # ITU-R 601 luma

BLUR_REACH = 3.0  # a Gaussian is cut off at this many standard deviations


def weak(
    image: Pixels,
    mask: Pixels,
    generator: np.random.Generator,
    crop_pixels: int,
    augmentation: AugmentationConfig,
    pad_label: int,
) -> tuple[Pixels, Pixels]:
    """Return a randomly scaled, cropped and flipped square of image [H, W, 3] and mask [H, W].

    By default the long side is drawn uniformly from the integers in `scale` times the long side.
    What is smaller than the crop is padded at the bottom and right, with 0 or a reflection in the
    image and with `pad_label` in the mask.
    """
    height, width = image.shape[:2]
    target = _long_side(max(height, width), generator, augmentation)
    down, right, turn = generator.random(3)
    size = _scaled(height, width, max(1, target))
    window = [
        (int(where * (max(side, crop_pixels) - crop_pixels + 1)), side)
        for where, side in zip((down, right), size, strict=True)
    ]
    rows, columns = (slice(start, min(start + crop_pixels, side)) for start, side in window)
    image = _resize(image, size, Image.Resampling.BILINEAR)[rows, columns]
    mask = _resize(mask, size, Image.Resampling.NEAREST)[rows, columns]
    missing = [(0, crop_pixels - side) for side in mask.shape]
    if any(after for _, after in missing):
        mode: Any = "reflect" if augmentation.padding == "reflect" else "constant"
        image = np.pad(image, (*missing, (0, 0)), mode=mode)
        mask = np.pad(mask, missing, constant_values=pad_label)
    if turn < augmentation.flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _long_side(
    long_side: int, generator: np.random.Generator, augmentation: AugmentationConfig
) -> int:
    low, high = augmentation.scale
    if augmentation.scales:
        which = int(generator.integers(len(augmentation.scales)))
        return int(long_side * augmentation.scales[which] + 0.5)
    if augmentation.scale_law == "halves":
        half, share = generator.random(2)
        start, stop = (low, min(1.0, high)) if half < 0.5 else (max(1.0, low), high)
        return int(long_side * (start + (stop - start) * share) + 0.5)
    return int(generator.integers(int(long_side * low), int(long_side * high), endpoint=True))


def _scaled(height: int, width: int, long_side: int) -> tuple[int, int]:
    if height > width:
        return long_side, max(1, int(width * long_side / height + 0.5))
    return max(1, int(height * long_side / width + 0.5)), long_side


def _resize(pixels: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), method))


def strong(
    image: Pixels, generator: np.random.Generator, augmentation: AugmentationConfig
) -> Pixels:
    """Return image [H, W, 3] with colours jittered, greyed or blurred, each with its probability.

    Brightness, contrast, saturation and hue change in a random order. Values are clipped after each
    change but rounded only once, at the end.
    """
    jitter, grey, blur = generator.random(3)
    order = generator.permutation(4)
    factors = [
        generator.uniform(max(0.0, 1 - spread), 1 + spread)
        for spread in (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    ]
    turn = generator.uniform(-augmentation.hue, augmentation.hue)
    sigma = generator.uniform(*augmentation.blur_sigma_pixels)
    planes: Floats = image.transpose(2, 0, 1).astype(np.float32, order="C")
    if jitter < augmentation.jitter:
        for which in order:
            planes = _jitter(planes, int(which), [*factors, turn])
    if grey < augmentation.grayscale:
        planes = np.broadcast_to(luma(planes), planes.shape)
    if blur < augmentation.blur:
        planes = gaussian_blur(planes, sigma)
    return np.ascontiguousarray((planes + 0.5).astype(np.uint8).transpose(1, 2, 0))


def _jitter(planes: Floats, which: int, amounts: list[float]) -> Floats:
    amount = amounts[which]
    if which == 0:
        return blend(planes, np.float32(0), amount)
    if which == 1:
        return blend(planes, np.float32(luma(planes).mean(dtype=np.float64)), amount)
    if which == 2:
        return blend(planes, luma(planes), amount)
    return turn_hue(planes, amount)


def blend(planes: Floats, base: Floats | np.float32, amount: float) -> Floats:
    """Return `base` plus `amount` times what differs from it, clipped to [0, 255]."""
    mixed = planes - base
    mixed *= np.float32(amount)
    mixed += base
    return np.clip(mixed, np.float32(0), np.float32(255), out=mixed)


def luma(planes: Floats) -> Floats:
    """Return the grey values [H, W] of planes [3, H, W]."""
    grey: Floats = planes[0] * GREY[0] + planes[1] * GREY[1] + planes[2] * GREY[2]
    return grey


def turn_hue(planes: Floats, turn: float) -> Floats:
    """Return planes [3, H, W] with their HSV hue turned by `turn` of a full circle."""
    red, green, blue = planes
    value = planes.max(axis=0)
    chroma = value - planes.min(axis=0)
    reddest, greenest = value == red, value == green
    start = np.array((0, 2, 4), dtype=np.float32) + np.float32(6 * turn)
    hue = np.where(reddest, green - blue, np.where(greenest, blue - red, red - green))
    hue /= np.maximum(chroma, np.float32(1e-6))  # grey: any hue will do
    hue += np.where(reddest, start[0], np.where(greenest, start[1], start[2]))
    hue -= 6 * np.floor(hue / 6)  # in [0, 6]
    turned = np.empty_like(planes)
    for channel, centre, sign, level in ((0, 3, 1, -1), (1, 2, -1, 2), (2, 4, -1, 2)):
        share = np.subtract(hue, np.float32(centre), out=turned[channel])
        np.abs(share, out=share)
        share *= np.float32(sign)
        share += np.float32(level)
        np.clip(share, np.float32(0), np.float32(1), out=share)
        share -= np.float32(1)
        share *= chroma
        share += value
    return turned


def gaussian_blur(planes: Floats, sigma_pixels: float) -> Floats:
    """Return planes [3, H, W] smoothed by a Gaussian; the border is continued outwards."""
    reach = math.ceil(BLUR_REACH * sigma_pixels)
    if reach == 0:
        return planes
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma_pixels) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    smooth = np.empty(planes.shape, dtype=np.float32)
    for channel in range(3):
        across = _smooth(planes[channel], weights.astype(np.float32), 0)
        smooth[channel] = _smooth(across, weights.astype(np.float32), 1)
    return np.minimum(smooth, np.float32(255), out=smooth)


def _smooth(plane: Floats, weights: Floats, axis: int) -> Floats:
    reach, size = len(weights) - 1, plane.shape[axis]
    padded = plane.take(np.arange(-reach, size + reach), axis=axis, mode="clip")
    lead = (slice(None),) * axis
    total: Floats = plane * weights[0]
    pair = np.empty_like(total)
    for distance in range(1, reach + 1):
        before = padded[(*lead, slice(reach - distance, reach - distance + size))]
        after = padded[(*lead, slice(reach + distance, reach + distance + size))]
        np.add(before, after, out=pair)
        pair *= weights[distance]
        total += pair
    return total


def cutmix_box(
    generator: np.random.Generator,
    size: int,
    augmentation: AugmentationConfig,
    chance: float | None = None,
) -> npt.NDArray[np.bool_]:
    """Return a mask [size, size] that is True in one random box or more, or nowhere.

    Boxes appear where a uniform draw, or `chance` in its place, is below `augmentation.cutmix`.
    Each has its share of an area that is drawn uniformly, and lies fully inside, uniformly; the
    mask is turned over in one box after the other.
    """
    drawn, *first = generator.random(5)
    mask = np.zeros((size, size), dtype=np.bool_)
    if (drawn if chance is None else chance) >= augmentation.cutmix:
        return mask
    for index in range(augmentation.cutmix_boxes):
        share, shape, down, right = generator.random(4) if index else first
        height, width = _box_sides(share, shape, size, augmentation)
        top = int(down * (size - height + 1))
        left = int(right * (size - width + 1))
        mask[top : top + height, left : left + width] ^= True
    return mask


def _box_sides(
    share: float, shape: float, size: int, augmentation: AugmentationConfig
) -> tuple[int, int]:
    """Return height and width of a box in pixels; `share` and `shape` are uniform in [0, 1).

    The aspect, height over width, is uniform in its range, which narrows to what fits into the
    image; or the width is uniform among the pixels with which the box fits, so that its area is
    exact but for the rounding of the height; or the height is the area to a uniform power.
    """
    low, high = augmentation.cutmix_area
    area = low + (high - low) * share
    if area == 0:
        return 0, 0
    part = area / augmentation.cutmix_boxes
    if augmentation.cutmix_shape == "width":
        narrowest = math.ceil(part * size)
        width = narrowest + int(shape * (size - narrowest + 1))
        return min(size, round(part * size * size / width)), width
    if augmentation.cutmix_shape == "log_height":
        shrink = math.sqrt(1 / augmentation.cutmix_boxes)
        height = area**shape
        return round(size * height * shrink), round(size * area / height * shrink)
    flattest, tallest = (min(max(end, area), 1 / area) for end in augmentation.cutmix_aspect)
    aspect = flattest + (tallest - flattest) * shape
    height = math.sqrt(part * aspect)
    return min(size, round(size * height)), min(size, round(size * math.sqrt(part / aspect)))


def normalise(images: Pixels) -> Floats:
    """Return images [..., H, W, 3] as [..., 3, H, W] with ImageNet's mean and deviation removed."""
    scale = 1 / (255 * DEVIATION)
    shift = MEAN / DEVIATION
    planes = np.moveaxis(images, -1, -3).astype(np.float32, order="C")
    planes *= scale[:, None, None]
    planes -= shift[:, None, None]
    return planes
