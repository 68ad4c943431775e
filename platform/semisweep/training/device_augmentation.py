"""Strong views and CutMix boxes made on a GPU, a whole batch at a time, from draws of the CPU.

The numbers are those of `semisweep.data.augmentation`, and so are the pixels, up to one level where
a sum rounds otherwise. Nothing here reads a value of a tensor, so that nothing waits for the
device: what decides which operations run is a shape, known before. Only sums and products of
elements are used, no convolution or matrix product, whose precision is a setting (TF32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from semisweep.data.augmentation import Box, normalisation, normalise
from semisweep.data.colours import (
    CONTRAST,
    GREY,
    HUE,
    SATURATION,
    ColourChange,
    gaussian_weights,
)
from semisweep.training.functional import moved
from semisweep.training.method import Batch

BLENDS = 3  # steps of jitter other than hue: at most so many before it, and so many after it
SIXTHS = 6  # of the circle of hues
WHITE = 255.0


class ColourTensors(NamedTuple):
    """Changes of the colours of N images, of which M are blurred, as they cross to a device.

    Steps of jitter keep their order by having places: those before hue, hue, and those after it.
    A step blends an image with its base: black, its own grey values or the mean of these. Where an
    image has no step at a place, its amount is 1.
    """

    steps: Tensor  # [2, BLENDS, 3, N]  float32: amount, share of grey values and mean in the base
    turns: Tensor  # [N]                float32, sixths of the circle of hues
    greys: Tensor  # [N]                float32, 1 where the image becomes grey
    blurred: Tensor  # [M]              int64, which images are blurred
    weights: Tensor  # [R + 1, M]       float32, the Gaussian from its middle outwards


class CroppedBatch(NamedTuple):
    """A batch as it crosses to a GPU: bytes, without the strong views, and what was drawn for them.

    `labelled_colours` is None where labelled images keep their colours. Where a view has no box of
    CutMix, its boxes have no height.
    """

    image: Tensor  # [B, H, W, 3]  uint8
    label: Tensor  # [B, H, W]     uint8
    weak: Tensor  # [U, H, W, 3]   uint8
    valid: Tensor  # [U, H, W]     bool
    boxes: Tensor  # [V, U, K, 4]  int32: top, left, height, width
    strong_colours: ColourTensors  # of V U images
    labelled_colours: ColourTensors | None  # of B images


def colour_tensors(changes: Sequence[ColourChange]) -> ColourTensors:
    """Return changes of colours as tensors on the CPU, float32 and int64."""
    steps = np.zeros((2, BLENDS, 3, len(changes)), dtype=np.float32)
    steps[:, :, 0] = 1
    turns = np.zeros(len(changes), dtype=np.float32)
    for index, change in enumerate(changes):
        after, place = 0, 0
        for kind, amount in change.steps:
            if kind == HUE:
                turns[index] = SIXTHS * amount
                after, place = 1, 0
            else:
                steps[after, place, :, index] = amount, kind == SATURATION, kind == CONTRAST
                place += 1
    greys = np.array([own.grey for own in changes], dtype=np.float32)
    sigmas = [own.sigma_pixels for own in changes]
    blurred = np.array([i for i, own in enumerate(sigmas) if own is not None], dtype=np.int64)
    kernels = [gaussian_weights(own) for own in sigmas if own is not None]
    weights = np.zeros((max(map(len, kernels), default=1), len(kernels)), dtype=np.float32)
    for index, kernel in enumerate(kernels):
        weights[: len(kernel), index] = kernel
    return ColourTensors(*map(torch.from_numpy, (steps, turns, greys, blurred, weights)))


def box_tensor(boxes: Sequence[Sequence[Box]], count: int) -> Tensor:
    """Return the boxes of N views, `count` = K or none each, as int32 [N, K, 4] on the CPU."""
    nothing = [Box(0, 0, 0, 0)] * count
    rows = [list(own) or nothing for own in boxes]
    return torch.tensor(rows, dtype=torch.int32).view(len(boxes), count, 4)


def box_masks(boxes: Tensor, size: int) -> Tensor:
    """Return masks [..., size, size] of boxes [..., K, 4]: turned over in one after the other."""
    places = torch.arange(size, dtype=boxes.dtype, device=boxes.device)
    starts, sides = boxes[..., :2, None], boxes[..., 2:, None]
    inside = (places >= starts) & (places < starts + sides)  # [..., K, 2, size]: rows, columns
    each = inside[..., 0, :, None] & inside[..., 1, None, :]
    mask = each[..., 0, :, :]
    for index in range(1, boxes.shape[-2]):
        mask = mask ^ each[..., index, :, :]
    return mask


def changed_colours(images: Tensor, changes: ColourTensors) -> Tensor:
    """Return bytes [N, 3, H, W] with changed colours, on their device, as whole numbers in float32.

    Values are clipped after each step, and rounded once, at the end.
    """
    planes = images.to(torch.float32, memory_format=torch.contiguous_format)
    for after in range(2):
        if after:
            planes = _turned(planes, changes.turns)
        for place in range(BLENDS):
            planes = _blended(planes, *changes.steps[after, place])
    planes = torch.lerp(planes, _luma(planes), _each(changes.greys))
    if len(changes.blurred):
        blurred = _blurred(planes.index_select(0, changes.blurred), changes.weights)
        planes.index_copy_(0, changes.blurred, blurred)
    return planes.add_(0.5).floor_()


def _each(values: Tensor) -> Tensor:
    """Return values [N] so that each meets its image [3, H, W]."""
    return values.view(-1, 1, 1, 1)


def _luma(planes: Tensor) -> Tensor:
    """Return grey values [N, 1, H, W]."""
    red, green, blue = GREY.tolist()
    grey: Tensor = planes[:, :1] * red
    grey.add_(planes[:, 1:2], alpha=green)
    return grey.add_(planes[:, 2:], alpha=blue)


def _blended(planes: Tensor, amounts: Tensor, of_luma: Tensor, of_mean: Tensor) -> Tensor:
    """Return each image's base plus its amount times what differs from it, clipped."""
    luma = _luma(planes)
    mean = luma.mean(dim=(2, 3), keepdim=True)
    base = luma.mul_(_each(of_luma)).addcmul_(mean, _each(of_mean))
    return torch.lerp(base, planes, _each(amounts)).clamp_(0, WHITE)


def _turned(planes: Tensor, turns: Tensor) -> Tensor:
    """Return planes with their HSV hue turned by `turns` sixths of a circle, [N]."""
    value, largest = planes.max(dim=1, keepdim=True)
    chroma = value - planes.amin(dim=1, keepdim=True)
    # Where red is largest, hue is what green exceeds blue by, and so on round the circle.
    differences = planes.roll(-1, 1).sub_(planes.roll(-2, 1))
    start = torch.add(_each(turns), largest, alpha=2)
    hue = torch.addcdiv(start, differences.gather(1, largest), chroma.clamp_min(1e-6))
    offsets = torch.arange(5, 0, -2, device=planes.device).view(1, 3, 1, 1)  # of red, green, blue
    shares = torch.add(hue, offsets).remainder_(SIXTHS)
    shares = torch.minimum(shares, 4 - shares).clamp_(0, 1)
    turned = torch.addcmul(value, chroma, shares, value=-1)
    return torch.where(_each(turns) == 0, planes, turned)


def _blurred(planes: Tensor, weights: Tensor) -> Tensor:
    """Return planes [M, 3, H, W] smoothed by weights [R + 1, M]; the border is continued."""
    for axis in (2, 3):
        planes = _smoothed(planes, weights, axis)
    return planes.clamp_(0, WHITE)


def _smoothed(planes: Tensor, weights: Tensor, axis: int) -> Tensor:
    reach, size = len(weights) - 1, planes.shape[axis]
    padded = pad(
        planes, (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0), mode="replicate"
    )
    total = planes * _each(weights[0])
    for distance in range(1, reach + 1):
        before = padded.narrow(axis, reach - distance, size)
        after = padded.narrow(axis, reach + distance, size)
        total.addcmul_(before + after, _each(weights[distance]))
    return total


def to_device(cropped: CroppedBatch, device: torch.device) -> CroppedBatch:
    """Return a batch on a device; a GPU copies it from pinned memory when it comes to it."""
    return _of_each(lambda own: moved(own, device), cropped)


def _of_each(change: Callable[[Tensor], Tensor], cropped: CroppedBatch) -> CroppedBatch:
    image, label, weak, valid, boxes = map(change, cropped[:5])
    strong = ColourTensors(*map(change, cropped.strong_colours))
    labelled = cropped.labelled_colours
    if labelled is not None:
        labelled = ColourTensors(*map(change, labelled))
    return CroppedBatch(image, label, weak, valid, boxes, strong, labelled)


def finished(cropped: CroppedBatch) -> Batch:
    """Return a batch for training, made where the bytes are.

    Images are normalised, float32, and views of memory in channels-last order; labels are int64.
    """
    views, count = cropped.boxes.shape[:2]
    size = cropped.weak.shape[1]
    image, weak = (own.movedim(-1, 1) for own in (cropped.image, cropped.weak))
    if cropped.labelled_colours is not None:
        image = changed_colours(image, cropped.labelled_colours)
    shown = weak.expand(views, -1, -1, -1, -1).reshape(-1, *weak.shape[1:])
    strong = changed_colours(shown, cropped.strong_colours) if len(shown) else shown
    return Batch(
        _normalised(image),
        cropped.label.long(),
        _normalised(weak),
        _normalised(strong).view(views, count, *weak.shape[1:]),
        box_masks(cropped.boxes, size),
        cropped.valid,
    )


def normalised_images(images: Tensor, device: torch.device) -> Tensor:
    """Return images of bytes [..., H, W, 3] on the CPU as floats [..., 3, H, W] on a device."""
    if device.type == "cpu":
        return torch.from_numpy(normalise(images.numpy()))
    return _normalised(moved(images, device).movedim(-1, -3))


def _normalised(images: Tensor) -> Tensor:
    """Return [N, 3, H, W], bytes or whole numbers, without ImageNet's mean and deviation."""
    scale, shift = _normalisation(images.device)
    images = images.to(torch.float32, memory_format=torch.channels_last)
    return images * scale - shift


@lru_cache
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return `normalisation` on a device; once, as each copy would wait for all of its work."""
    scale, shift = (torch.from_numpy(own).view(3, 1, 1).to(device) for own in normalisation())
    return scale, shift
