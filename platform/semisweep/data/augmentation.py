"""Random changes of training images: weak, strong, CutMix; pure functions of a numpy generator.

The pipeline of the UniMatch family. Every function draws all its numbers first, in a fixed order,
so that a probability set to zero or one shifts no other draw of the same image.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from semisweep.core.config import Count, Fraction, NonNegative, Positive, config, setting
from semisweep.core.errors import ConfigError
from semisweep.data.colours import ColourChange, Floats, change_colours
from semisweep.data.reading import Decoded, Pixels, decoded_size

PADDING = 254  # marks padding where there is no label: never a class, never a ground truth's void

MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)  # ImageNet's, of values in [0, 1]
DEVIATION = np.array((0.229, 0.224, 0.225), dtype=np.float32)


# Boxes of CutMix that are drawn until one fits. Of the largest of the UniMatch family, 0.4 of the
# image, one in seventeen does, and all of so many fail once in 10^13 boxes.
TRIES = 512

Scale = Annotated[float, Field(gt=0, le=16)]
Window = tuple[NonNegative, NonNegative]


@config
class AugmentationConfig:
    """Random changes of the training images; the defaults are the UniMatch family's.

    `scale`: the range of the factor on the size. It is uniform, or, with `scale_law` "halves", as
    often below 1 as above and uniform on either side; `scales`, where given, are all factors there
    are. `unlabelled_scale`: the range of unlabelled images, where it is another one. `padding`:
    what fills a crop that reaches beyond the image, whose pixels have no label.
    `labelled_colours`: labelled images get the colours of strong views. `cutmix_boxes`: so many
    boxes, each of its share of `cutmix_area`; where two overlap the host shows again.
    `cutmix_shape`: what is drawn besides the area: the aspect, among those that fit, or with its
    place again and again until the box fits, which makes long boxes rarer; or the width in whole
    pixels; or the logarithm of the height. `cutmix_together`: all images of a batch are mixed, or
    none.
    """

    scale: tuple[Scale, Scale] = setting(
        (0.5, 2.0), code="long side x U(0.5, 2.0)", matters=lambda own: not own.scales
    )
    scale_law: Literal["uniform", "halves"] = setting(
        "uniform",
        neutral="uniform",
        code="U2PL: halves",
        matters=lambda own: not own.scales,
    )
    unlabelled_scale: tuple[Scale, Scale] | None = setting(
        None,
        neutral=None,
        code="CSS on Cityscapes: U(0.5, 2.0), where labelled images keep their size",
        matters=lambda own: not own.scales,
    )
    scales: tuple[Scale, ...] = setting((), neutral=(), code="CPS: 0.5, 0.75, 1, 1.5, 1.75, 2")
    padding: Literal["zero", "reflect"] = setting("zero", neutral="zero", code="CSS: reflect")
    labelled_colours: bool = setting(False, neutral=False, code="CSS: as strong views")
    flip: Fraction = setting(0.5, code="horizontal, 0.5")
    jitter: Fraction = setting(0.8, code="strong view, p = 0.8")
    brightness: NonNegative = setting(0.5, code="0.5")
    contrast: NonNegative = setting(0.5, code="0.5")
    saturation: NonNegative = setting(0.5, code="0.5")
    hue: Annotated[float, Field(ge=0, le=0.5)] = setting(0.25, code="0.25")
    grayscale: Fraction = setting(0.2, code="strong view, p = 0.2")
    blur: Fraction = setting(0.5, code="strong view, p = 0.5")
    blur_sigma_pixels: Window = setting((0.1, 2.0), code="sigma ~ U(0.1, 2.0)")
    cutmix: Fraction = setting(0.5, code="one box a view, p = 0.5")
    cutmix_area: tuple[Fraction, Fraction] = setting((0.02, 0.4), code="area U(0.02, 0.4)")
    cutmix_aspect: tuple[Positive, Positive] = setting(
        (0.3, 1 / 0.3),
        code="aspect U(0.3, 1/0.3)",
        matters=lambda own: own.cutmix_shape in ("aspect", "redrawn_aspect"),
    )
    cutmix_boxes: Count = setting(1, neutral=1, code="CPS: 3, each a third of the area")
    cutmix_shape: Literal["aspect", "redrawn_aspect", "width", "log_height"] = setting(
        "aspect",
        neutral="aspect",
        code="UniMatch: redrawn_aspect; U2PL, CSS: width; CPS: log_height",
        why="without a value: what trials of earlier versions have",
    )
    cutmix_together: bool = setting(False, neutral=False, code="U2PL: the whole batch")

    def __post_init__(self) -> None:
        ranges = ("scale", "unlabelled_scale", "blur_sigma_pixels", "cutmix_area", "cutmix_aspect")
        for name in ranges:
            low, high = getattr(self, name) or (0, 0)
            if low > high:
                raise ConfigError(f"a range must not fall, got {name}=({low}, {high})")


def weak(
    image: Decoded,
    mask: Pixels | None,
    generator: np.random.Generator,
    crop_pixels: int,
    augmentation: AugmentationConfig,
    pad_label: int,
) -> tuple[Pixels, Pixels]:
    """Return a randomly scaled, cropped and flipped square of image [H, W, 3] and mask [H, W].

    The image is an array or as PIL has decoded it.

    By default the long side is drawn uniformly from the integers in `scale` times the long side.
    What is smaller than the crop is padded at the bottom and right, with 0 or a reflection in the
    image and with `pad_label` in the mask. Without a mask, which labelled images have, there are
    zeros where the image is.
    """
    height, width = decoded_size(image)
    target = _long_side(max(height, width), generator, augmentation, labelled=mask is not None)
    down, right, turn = generator.random(3)
    size = _scaled(height, width, max(1, target))
    window = [
        (int(where * (max(side, crop_pixels) - crop_pixels + 1)), side)
        for where, side in zip((down, right), size, strict=True)
    ]
    rows, columns = (slice(start, min(start + crop_pixels, side)) for start, side in window)
    flip = bool(turn < augmentation.flip)
    part = _bilinear(image, size, rows, columns)
    if flip:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if mask is not None:
        mask = _nearest(mask, size, rows, columns)
        mask = mask[:, ::-1] if flip else mask
    return _padded(np.asarray(part), mask, crop_pixels, flip, augmentation.padding, pad_label)


def _padded(
    image: Pixels, mask: Pixels | None, size: int, flip: bool, padding: str, pad_label: int
) -> tuple[Pixels, Pixels]:
    """Return image and mask at `size`; padding is at the right before a flip, so at the left."""
    height, width = image.shape[:2]
    place = slice(0, height), slice(size - width, size) if flip else slice(0, width)
    label = np.full((size, size), pad_label, dtype=np.uint8)
    label[place] = 0 if mask is None else mask
    if (height, width) == (size, size):
        return image, label
    if padding == "reflect":
        across = (size - width, 0) if flip else (0, size - width)
        return np.pad(image, ((0, size - height), across, (0, 0)), mode="reflect"), label
    square = np.zeros((size, size, 3), dtype=np.uint8)
    square[place] = image
    return square, label


def _long_side(
    long_side: int,
    generator: np.random.Generator,
    augmentation: AugmentationConfig,
    labelled: bool,
) -> int:
    own = None if labelled else augmentation.unlabelled_scale
    low, high = own or augmentation.scale
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


def _bilinear(image: Decoded, size: tuple[int, int], rows: slice, columns: slice) -> Image.Image:
    """Return a part of an image resized to `size`, to the last bit as PIL resizes it.

    Where an image grows, PIL goes over the columns first, rounds, and then over the rows, so that
    nothing is lost by doing so one after the other, for the part's own columns and rows alone.
    """
    height, width = decoded_size(image)
    if (height, width) == size:
        return _cut(image, rows, columns)
    method = Image.Resampling.BILINEAR
    if size[0] <= height or size[1] <= width:  # some go over the rows first
        whole = image if isinstance(image, Image.Image) else Image.fromarray(image)
        return _cut(whole.resize((size[1], size[0]), method), rows, columns)
    needed = _reach(rows, height, size[0])
    wide = _cut(image, needed, slice(0, width))
    wide = wide.resize((size[1], wide.height), method)
    part = wide.crop((columns.start, 0, columns.stop, wide.height))
    tall = Image.new("RGB", (part.width, height))  # PIL must see the whole height to scale alike
    tall.paste(part, (0, needed.start))
    tall = tall.resize((part.width, size[0]), method)
    return tall.crop((0, rows.start, part.width, rows.stop))


def _cut(image: Decoded, rows: slice, columns: slice) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.crop((columns.start, rows.start, columns.stop, rows.stop))
    return Image.fromarray(np.ascontiguousarray(image[rows, columns]))


def _reach(part: slice, length: int, resized: int) -> slice:
    """Return which of `length` lines the lines of a part of their enlarged selves are made of.

    The filter reaches one line to either side; one more to be sure.
    """
    scale, margin = length / resized, 2
    first = math.floor((part.start + 0.5) * scale - margin)
    last = math.ceil((part.stop - 0.5) * scale + margin)
    return slice(max(0, first), min(length, last))


def _nearest(mask: Pixels, size: tuple[int, int], rows: slice, columns: slice) -> Pixels:
    """Return a part of a mask [H, W] resized to `size`, as PIL resizes it: from where it takes."""
    if mask.shape == size:
        return mask[rows, columns]
    places = [
        _nearest_places(length, resized)[part]
        for length, resized, part in zip(mask.shape, size, (rows, columns), strict=True)
    ]
    return mask.take(places[0], axis=0).take(places[1], axis=1)


def _nearest_places(length: int, resized: int) -> npt.NDArray[np.int32]:
    line = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    places: npt.NDArray[np.int32] = np.asarray(line.resize((resized, 1), Image.Resampling.NEAREST))
    return places.reshape(-1)


def strong(
    image: Pixels, generator: np.random.Generator, augmentation: AugmentationConfig
) -> Pixels:
    """Return image [H, W, 3] with colours jittered, greyed or blurred, each with its probability.

    Values are clipped after each change but rounded only once, at the end.
    """
    return change_colours(image, *draw_colours(generator, augmentation))


def draw_colours(generator: np.random.Generator, augmentation: AugmentationConfig) -> ColourChange:
    """Return the colours of a strong view: brightness, contrast, saturation, hue in random order.

    Each number is drawn, whether it is used or not.
    """
    jitter, grey, blur = generator.random(3)
    order = generator.permutation(4)
    factors = [
        generator.uniform(max(0.0, 1 - spread), 1 + spread)
        for spread in (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    ]
    turn = generator.uniform(-augmentation.hue, augmentation.hue)
    sigma = generator.uniform(*augmentation.blur_sigma_pixels)
    steps = tuple((int(kind), [*factors, turn][kind]) for kind in order)
    return ColourChange(
        steps if jitter < augmentation.jitter else (),
        bool(grey < augmentation.grayscale),
        sigma if blur < augmentation.blur else None,
    )


class Box(NamedTuple):
    """A box of CutMix in pixels, inside the image."""

    top: int
    left: int
    height: int
    width: int


def cutmix_box(
    generator: np.random.Generator,
    size: int,
    augmentation: AugmentationConfig,
    chance: float | None = None,
) -> npt.NDArray[np.bool_]:
    """Return a mask [size, size] that is True in one random box or more, or nowhere.

    The mask is turned over in one box of `draw_boxes` after the other.
    """
    mask = np.zeros((size, size), dtype=np.bool_)
    for top, left, height, width in draw_boxes(generator, size, augmentation, chance):
        mask[top : top + height, left : left + width] ^= True
    return mask


def draw_boxes(
    generator: np.random.Generator,
    size: int,
    augmentation: AugmentationConfig,
    chance: float | None = None,
) -> list[Box]:
    """Return `augmentation.cutmix_boxes` boxes in an image [size, size], or none.

    There are boxes where a uniform draw, or `chance` in its place, is below `augmentation.cutmix`.
    Each has its share of an area that is drawn uniformly, and lies fully inside, uniformly.
    """
    drawn, *first = generator.random(5)
    if (drawn if chance is None else chance) >= augmentation.cutmix:
        return []
    boxes = []
    for index in range(augmentation.cutmix_boxes):
        share, shape, down, right = generator.random(4) if index else first
        if augmentation.cutmix_shape == "redrawn_aspect":
            found = _redrawn_box(share, generator.random((TRIES, 3)), size, augmentation)
            if found is not None:
                boxes.append(found)
                continue
        height, width = _box_sides(share, shape, size, augmentation)
        top = int(down * (size - height + 1))
        left = int(right * (size - width + 1))
        boxes.append(Box(top, left, height, width))
    return boxes


def _redrawn_box(
    share: float, numbers: npt.NDArray[np.float64], size: int, augmentation: AugmentationConfig
) -> Box | None:
    """Return the first of some boxes that lies in the image; None where none does.

    Each of numbers [N, 3], uniform in [0, 1), is an aspect, uniform in its range, and a place,
    uniform in the whole image. Sides are cut off to whole pixels.
    """
    low, high = augmentation.cutmix_area
    pixels = (low + (high - low) * share) / augmentation.cutmix_boxes * size * size
    flattest, tallest = augmentation.cutmix_aspect
    aspect = flattest + (tallest - flattest) * numbers[:, 0]
    sides = np.sqrt(np.stack([pixels * aspect, pixels / aspect])).astype(int)  # [2, N]
    starts = (numbers[:, 1:].T * size).astype(int)
    fitting = np.flatnonzero((starts + sides <= size).all(axis=0))
    if not len(fitting):
        return None
    (top, left), (height, width) = starts[:, fitting[0]], sides[:, fitting[0]]
    return Box(int(top), int(left), int(height), int(width))


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


def normalisation() -> tuple[Floats, Floats]:
    """Return the factor of a byte, and what is then subtracted, of each channel: ImageNet's."""
    scale, shift = 1 / (255 * DEVIATION), MEAN / DEVIATION
    return scale.astype(np.float32), shift.astype(np.float32)


def normalise(images: Pixels) -> Floats:
    """Return images [..., H, W, 3] as [..., 3, H, W] with ImageNet's mean and deviation removed."""
    scale, shift = (own[:, None, None] for own in normalisation())
    planes = np.empty((*images.shape[:-3], 3, *images.shape[-3:-1]), dtype=np.float32)
    for image, own in zip(
        images.reshape(-1, *images.shape[-3:]), planes.reshape(-1, *planes.shape[-3:]), strict=True
    ):
        np.multiply(image.transpose(2, 0, 1), scale, out=own)
        own -= shift
    return planes
