"""Augmentation: ranges, padding, flips, colours against slow loops, boxes."""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from semisweep import AugmentationConfig
from semisweep.core.config import replace
from semisweep.core.seeding import numbers
from semisweep.data import colours
from semisweep.data.augmentation import PADDING, cutmix_box, draw_boxes, normalise, strong, weak
from semisweep.data.colours import blend, gaussian_blur, luma, turn_hue
from semisweep_studies.augmentations import CPS, CSS, CSS_CITYSCAPES, U2PL, UNIMATCH

STILL = AugmentationConfig(scale=(1.0, 1.0), flip=0.0)
PLAIN = AugmentationConfig(jitter=0.0, grayscale=0.0, blur=0.0)


def some_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose red and green are row + 1 and column + 1, and a mask of columns."""
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows + 1, columns + 1, np.full_like(rows, 9)], axis=-1)
    return image.astype(np.uint8), columns.astype(np.uint8)


def share(count: int, true: Callable[[np.random.Generator], bool]) -> float:
    return sum(true(numbers("share", index)) for index in range(count)) / count


def close(value: float, chance: float, count: int) -> bool:
    """Return whether a share is within four standard errors of its probability."""
    return abs(value - chance) < 4 * math.sqrt(chance * (1 - chance) / count)


@pytest.mark.parametrize(("height", "width"), [(20, 30), (30, 20), (24, 24)])
def test_the_long_side_is_scaled_by_every_factor_in_range(height, width):
    image, mask = np.full((height, width, 3), 7, dtype=np.uint8), np.ones((height, width), np.uint8)
    long_sides = set()
    for index in range(400):
        _, padded = weak(image, mask, numbers(index), 70, AugmentationConfig(), PADDING)
        inside = padded != PADDING
        rows, columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
        long_side = max(rows, columns)
        short = min(height, width) * long_side / max(height, width)
        assert (rows >= columns) == (height >= width) or rows == columns
        assert min(rows, columns) == int(short + 0.5)
        long_sides.add(int(long_side))

    longest = max(height, width)
    assert min(long_sides) == longest // 2
    assert max(long_sides) == longest * 2
    assert len(long_sides) > 0.95 * (2 * longest - longest // 2)


def test_padding_is_marked_at_the_bottom_and_right():
    image, mask = coordinates(10, 14)
    image, mask = weak(image, mask, numbers(0), 20, STILL, PADDING)

    assert image.shape == (20, 20, 3)
    assert (mask[:10, :14] == np.arange(14)).all()
    assert (mask[10:] == PADDING).all()
    assert (mask[:, 14:] == PADDING).all()
    assert (image[10:] == 0).all()
    assert (image[:, 14:] == 0).all()
    assert (image[:10, :14, 2] == 9).all()


def test_crops_are_placed_everywhere_and_move_labels_with_images():
    image, mask = coordinates(12, 16)
    corners = set()
    for index in range(300):
        crop, label = weak(image, mask, numbers(index), 10, STILL, 255)
        assert crop.shape == (10, 10, 3)
        assert (crop[..., 1] == label + 1).all()
        corners.add((int(crop[0, 0, 0]) - 1, int(crop[0, 0, 1]) - 1))

    assert corners == {(row, column) for row in range(3) for column in range(7)}


def test_flips_move_labels_with_images():
    image, mask = coordinates(8, 8)
    flipped, label = weak(image, mask, numbers(0), 8, replace(STILL, {"flip": 1.0}), 255)

    assert (flipped == image[:, ::-1]).all()
    assert (label == mask[:, ::-1]).all()


def test_images_are_flipped_half_the_time():
    image, mask = coordinates(4, 4)
    config = replace(STILL, {"flip": 0.5})
    flipped = share(
        800, lambda generator: weak(image, mask, generator, 4, config, 255)[1][0, 0] != 0
    )

    assert close(flipped, 0.5, 800)


def test_masks_are_never_interpolated():
    mask = np.where(np.arange(400).reshape(20, 20) % 3 == 0, 200, 3).astype(np.uint8)
    for index in range(50):
        _, label = weak(some_image(20, 20), mask, numbers(index), 16, AugmentationConfig(), 255)
        assert set(np.unique(label)) <= {3, 200, 255}


def test_switching_flips_off_leaves_scale_and_crop_alone():
    image, mask = some_image(20, 20), np.zeros((20, 20), np.uint8)
    for index in range(20):
        always, never = (
            weak(image, mask, numbers(index), 16, AugmentationConfig(flip=flip), PADDING)
            for flip in (1.0, 0.0)
        )
        assert (always[0] == never[0][:, ::-1]).all()
        assert (always[1] == never[1][:, ::-1]).all()


def test_a_strong_view_without_any_change_is_the_image():
    image = some_image(9, 11)

    assert (strong(image, numbers(0), PLAIN) == image).all()


@pytest.mark.parametrize(("field", "chance"), [("jitter", 0.8), ("grayscale", 0.2), ("blur", 0.5)])
def test_each_change_has_its_probability(field, chance):
    image = some_image(8, 8)
    config = replace(PLAIN, {field: chance, "blur_sigma_pixels": (1.0, 2.0)})
    changed = share(600, lambda generator: (strong(image, generator, config) != image).any())

    assert close(changed, chance, 600)


def test_grayscale_makes_channels_equal():
    image = some_image(8, 8)
    grey = strong(image, numbers(0), replace(PLAIN, {"grayscale": 1.0}))
    expected = image @ np.array([0.299, 0.587, 0.114])

    assert np.abs(grey - expected[..., None]).max() <= 0.51


@pytest.mark.parametrize("turn", [-0.25, -0.1, 0.0, 0.2, 0.25, 0.5])
def test_hue_turns_as_the_slow_conversion_does(turn):
    image = some_image(6, 6, seed=3)
    image[0] = image[0, :, :1]  # greys
    image[1, :, 1] = image[1, :, 0]  # two channels equal
    turned = turn_hue(image.transpose(2, 0, 1).astype(np.float32), turn)
    for row in range(6):
        for column in range(6):
            hue, saturation, value = colorsys.rgb_to_hsv(*(image[row, column] / 255))
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            assert turned[:, row, column] == pytest.approx(np.array(expected) * 255, abs=1e-2)


def test_blending_is_clipped():
    planes = some_image(5, 5).transpose(2, 0, 1).astype(np.float32)
    grey = luma(planes)
    expected = np.clip(grey + 1.5 * (planes - grey), 0, 255)

    assert blend(planes, grey, 1.5) == pytest.approx(expected, abs=1e-2)
    assert blend(planes, np.float32(0), 0.5) == pytest.approx(planes / 2)


@pytest.mark.parametrize(
    ("field", "statistic"),
    [
        ("brightness", lambda image: image.mean()),
        ("contrast", lambda image: image.mean(axis=-1).std()),
        ("saturation", lambda image: np.ptp(image, axis=-1).mean()),
    ],
)
def test_jitter_covers_its_range_around_one(field, statistic):
    image = (some_image(8, 8) // 4 + 96).astype(np.uint8)  # far from both ends: nothing clips
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    config = replace(PLAIN, {**none, "jitter": 1.0, field: 0.25})
    before = statistic(image.astype(float))
    factors = [
        statistic(strong(image, numbers(index), config).astype(float)) / before
        for index in range(200)
    ]

    assert 0.72 < min(factors) < 0.78
    assert 1.22 < max(factors) < 1.28
    assert np.mean(factors) == pytest.approx(1, abs=0.04)


def test_jitter_changes_come_in_every_order():
    """Contrast before or after brightness differ by the mean they contract to, once it clips."""
    image = some_image(8, 8)
    config = replace(PLAIN, {"jitter": 1.0, "saturation": 0.0, "hue": 0.0})
    orders = set()
    for index in range(40):
        generator = numbers(index)
        generator.random(3)
        order = tuple(int(which) for which in generator.permutation(4) if which < 2)
        bright, contrast = generator.uniform(0.5, 1.5), generator.uniform(0.5, 1.5)
        planes = image.transpose(2, 0, 1).astype(np.float32)
        for which in order:
            base = np.float32(luma(planes).mean()) if which else np.float32(0)
            planes = blend(planes, base, contrast if which else bright)
        found = strong(image, numbers(index), config).transpose(2, 0, 1)
        assert np.abs(found - planes).max() <= 0.52
        orders.add(order)

    assert orders == {(0, 1), (1, 0)}


def test_blur_is_the_gaussian_of_a_slow_loop():
    planes = some_image(7, 9).transpose(2, 0, 1).astype(np.float32)
    sigma, reach = 1.3, 4
    offsets = range(-reach, reach + 1)
    kernel = np.array([math.exp(-(o**2) / (2 * sigma**2)) for o in offsets])
    kernel /= kernel.sum()
    smooth = gaussian_blur(planes, sigma)
    for row in range(7):
        for column in range(9):
            expected = sum(
                kernel[i + reach]
                * kernel[j + reach]
                * planes[:, min(max(row + i, 0), 6), min(max(column + j, 0), 8)]
                for i in offsets
                for j in offsets
            )
            assert smooth[:, row, column] == pytest.approx(expected, abs=1e-2)


def test_blur_keeps_white_white_and_sharp_images_sharp_at_sigma_zero():
    white = np.full((3, 8, 8), 255, dtype=np.float32)
    image = some_image(8, 8).transpose(2, 0, 1).astype(np.float32)

    assert gaussian_blur(white, 2.0) == pytest.approx(white, abs=1e-3)
    assert (gaussian_blur(white, 2.0) <= 255).all()
    assert (gaussian_blur(image, 0.0) == image).all()


def test_a_strong_view_does_not_change_its_input():
    image = some_image(8, 8)
    before = image.copy()
    for index in range(10):
        strong(image, numbers(index), AugmentationConfig())

    assert (image == before).all()


def test_boxes_have_area_and_aspect_in_range_and_are_whole():
    config = AugmentationConfig(cutmix=1.0)
    size, areas, corners = 200, [], []
    for index in range(500):
        box = cutmix_box(numbers(index), size, config)
        rows, columns = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
        height, width = len(rows), len(columns)
        assert box.sum() == height * width == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.02 * 0.95 <= box.mean() <= 0.4 * 1.05
        assert 0.3 * 0.93 <= height / width <= 1 / 0.3 * 1.07
        areas.append(box.mean())
        corners.append((rows[0] / (size - height + 1), columns[0] / (size - width + 1)))

    assert np.mean(areas) == pytest.approx(0.21, abs=0.02)
    assert np.mean(corners, axis=0) == pytest.approx((0.5, 0.5), abs=0.06)
    assert np.std(corners, axis=0) == pytest.approx((0.29, 0.29), abs=0.03)


def test_boxes_appear_with_their_probability():
    drawn = share(800, lambda generator: cutmix_box(generator, 16, AugmentationConfig()).any())

    assert close(drawn, 0.5, 800)


def test_a_box_that_cannot_have_its_aspect_still_fits():
    whole = AugmentationConfig(cutmix=1.0, cutmix_area=(1.0, 1.0), cutmix_aspect=(2.0, 3.0))
    nothing = AugmentationConfig(cutmix=1.0, cutmix_area=(0.0, 0.0))

    assert cutmix_box(numbers(0), 16, whole).all()
    assert not cutmix_box(numbers(0), 16, nothing).any()


def redrawn_until_it_fits(generator: random.Random, size: int) -> tuple[int, ...]:
    """Return top, left, height and width of a box as UniMatch's release draws it."""
    pixels = generator.uniform(0.02, 0.4) * size * size
    while True:
        aspect = generator.uniform(0.3, 1 / 0.3)
        height, width = int(math.sqrt(pixels * aspect)), int(math.sqrt(pixels / aspect))
        top, left = generator.randrange(size), generator.randrange(size)
        if top + height <= size and left + width <= size:
            return top, left, height, width


def test_boxes_of_the_unimatch_family_follow_its_release():
    config, size, count = replace(UNIMATCH, {"cutmix": 1.0}), 321, 8000
    other = random.Random(0)
    drawn = [draw_boxes(numbers("box", index), size, config)[0] for index in range(count)]
    found = np.array(drawn, dtype=float)
    wanted = np.array([redrawn_until_it_fits(other, size) for _ in range(count)], dtype=float)

    for ours, theirs in zip(found.T, wanted.T, strict=True):
        assert ks_2samp(ours, theirs).pvalue > 0.01
    assert ks_2samp(found[:, 2] / found[:, 3], wanted[:, 2] / wanted[:, 3]).pvalue > 0.01
    assert close((found[:, 2] > 0.9 * size).mean(), 0.0235, count)
    at_once = [
        draw_boxes(numbers("box", i), size, replace(config, {"cutmix_shape": "aspect"}))
        for i in range(count)
    ]
    assert np.mean([box.height > 0.9 * size for (box,) in at_once]) > 0.06


def test_a_redrawn_box_that_never_fits_has_an_aspect_that_does():
    whole = replace(UNIMATCH, {"cutmix": 1.0, "cutmix_area": (1.0, 1.0), "cutmix_aspect": (2, 3)})

    assert cutmix_box(numbers(0), 16, whole).all()


def test_normalised_images_have_channels_first_and_imagenet_statistics_removed():
    images = np.stack([some_image(4, 5), some_image(4, 5, seed=1)])
    found = normalise(images)
    expected = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]

    assert found.shape == (2, 3, 4, 5)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found == pytest.approx(expected.transpose(0, 3, 1, 2), abs=1e-5)
    assert (normalise(images[0]) == found[0]).all()


def long_side_factors(config: AugmentationConfig, count: int = 400, side: int = 40) -> list[float]:
    """Return the factors by which the long side of an image of 40 x 30 pixels is scaled."""
    image, mask = np.full((30, side, 3), 7, dtype=np.uint8), np.ones((30, side), dtype=np.uint8)
    found = []
    for index in range(count):
        _, padded = weak(image, mask, numbers(index), 2 * side, config, PADDING)
        found.append(float((padded != PADDING).any(axis=0).sum()) / side)
    return found


def test_the_scales_of_cps_are_its_six_equally_often() -> None:
    factors = Counter(long_side_factors(CPS, 1200))

    assert set(factors) == {0.5, 0.75, 1.0, 1.5, 1.75, 2.0}
    assert all(close(times / 1200, 1 / 6, 1200) for times in factors.values())


def test_css_scales_unlabelled_images_of_cityscapes_alone() -> None:
    image, mask = some_image(20, 40), np.ones((20, 40), dtype=np.uint8)
    inside = []
    for index in range(400):
        _, labelled = weak(image, mask, numbers(index), 80, CSS_CITYSCAPES, PADDING)
        _, unlabelled = weak(image, None, numbers(index), 80, CSS_CITYSCAPES, PADDING)
        inside.append([(own != PADDING).any(axis=0).sum() for own in (labelled, unlabelled)])
    kept, scaled = zip(*inside, strict=True)

    assert set(kept) == {40}
    assert (min(scaled), max(scaled)) == (20, 80)
    assert abs(np.mean(scaled) / 40 - 1.25) < 0.1


def test_the_scales_of_u2pl_are_below_one_as_often_as_above_and_uniform_on_either_side() -> None:
    factors = np.array(long_side_factors(U2PL, 1000))
    small, large = factors[factors < 1], factors[factors > 1]

    assert factors.min() == 0.5
    assert factors.max() > 1.95
    assert close(len(small) / (len(small) + len(large)), 0.5, 1000)
    assert small.mean() == pytest.approx(0.75, abs=0.02)
    assert large.mean() == pytest.approx(1.5, abs=0.04)


def test_the_scales_of_css_end_at_one_and_a_half_and_those_of_its_cityscapes_are_one() -> None:
    factors = long_side_factors(CSS)

    assert min(factors) == 0.5
    assert max(factors) == 1.5
    assert set(long_side_factors(CSS_CITYSCAPES, 20)) == {1.0}


def test_reflected_padding_mirrors_the_image_and_has_no_label() -> None:
    image, mask = coordinates(10, 14)
    still = replace(CSS, {"scale": (1.0, 1.0), "flip": 0.0})
    found, label = weak(image, mask, numbers(0), 20, still, PADDING)

    assert (found == np.pad(image, ((0, 10), (0, 6), (0, 0)), mode="reflect")).all()
    assert (label[:10, :14] == mask).all()
    assert (label[10:] == PADDING).all()
    assert (label[:, 14:] == PADDING).all()


@pytest.mark.parametrize("preset", [CPS, U2PL], ids=["cps", "u2pl"])
def test_presets_without_colours_leave_strong_views_as_they_are(preset: AugmentationConfig) -> None:
    image = some_image(9, 11)

    assert all((strong(image, numbers(index), preset) == image).all() for index in range(30))


def test_the_colours_of_css_have_its_probabilities() -> None:
    """Jitter 0.8 and blur 0.5 are independent; nothing is greyed."""
    image = some_image(8, 8)
    jittered = replace(CSS, {"blur": 0.0})
    blurred = replace(CSS, {"jitter": 0.0, "blur_sigma_pixels": (1.0, 1.15)})

    for config, chance in ((jittered, 0.8), (blurred, 0.5), (CSS, 0.9)):
        changed = share(500, lambda g, c=config: (strong(image, g, c) != image).any())
        assert close(changed, chance, 500) or (config is CSS and changed > 0.8)
    assert CSS.blur_sigma_pixels == (0.15, 1.15)


def test_three_boxes_are_turned_over_one_after_the_other() -> None:
    """As French et al. draw them: areas from 0.25 to 0.5 between the three, heights log-uniform."""
    size, areas, heights = 120, [], []
    for index in range(400):
        mask = cutmix_box(numbers(index), size, CPS)
        generator, expected = numbers(index), np.zeros((size, size), dtype=int)
        draws = np.concatenate([generator.random(5)[1:], generator.random(8)]).reshape(3, 4)
        total = 0.0
        for share_of_range, power, down, right in draws:
            area = 0.25 + 0.25 * share_of_range
            height = area**power
            rows = round(size * height / math.sqrt(3))
            columns = round(size * area / height / math.sqrt(3))
            top, left = int(down * (size - rows + 1)), int(right * (size - columns + 1))
            expected[top : top + rows, left : left + columns] += 1
            assert area / 3 == pytest.approx(rows * columns / size**2, rel=0.05)
            total += rows * columns / size**2
            heights.append(height)
        assert (mask == expected % 2).all()
        assert 0.24 <= total <= 0.52
        areas.append(mask.mean())

    assert max(areas) <= 0.52
    assert np.mean(areas) < 0.375  # where boxes overlap, the host is back
    assert min(heights) < 0.35
    assert max(heights) > 0.98
    assert np.mean(np.log(heights)) == pytest.approx(0.5 * np.mean(np.log([0.375])), abs=0.05)


@pytest.mark.parametrize("size", [40, 321, 513])
def test_the_box_of_u2pl_and_css_is_half_of_the_image_but_for_rounding(size: int) -> None:
    widths = []
    for index in range(200):
        mask = cutmix_box(numbers(index), size, CSS)
        rows, columns = mask.any(axis=1).sum(), mask.any(axis=0).sum()
        assert mask.sum() == rows * columns
        assert abs(int(mask.sum()) - size * size / 2) <= columns / 2
        widths.append(int(columns) / size)

    assert 0.5 <= min(widths) < 0.53
    assert 0.97 < max(widths) <= 1
    assert np.mean(widths) == pytest.approx(0.75, abs=0.04)
    assert share(600, lambda generator: cutmix_box(generator, 16, CSS).any()) == 1.0


def test_a_shared_chance_decides_for_every_box() -> None:
    assert all(cutmix_box(numbers(index), 16, U2PL, 0.49).any() for index in range(20))
    assert not any(cutmix_box(numbers(index), 16, U2PL, 0.5).any() for index in range(20))


def test_more_boxes_leave_the_first_where_it_was() -> None:
    one = replace(AugmentationConfig(), {"cutmix": 1.0, "cutmix_area": (0.01, 0.02)})
    for index in range(20):
        first = cutmix_box(numbers(index), 100, one)
        three = replace(one, {"cutmix_boxes": 3, "cutmix_area": (0.03, 0.06)})
        assert (cutmix_box(numbers(index), 100, three) & first).sum() >= 0.5 * first.sum()


@pytest.mark.parametrize("seed", range(12))
def test_a_crop_is_to_the_last_bit_that_of_the_whole_resized_image(seed: int) -> None:
    """Whatever PIL does first; the images are enlarged, made smaller, narrow, tall or tiny."""
    draws = np.random.default_rng(seed)
    height, width = ((375, 500), (500, 333), (7, 90), (64, 5))[seed % 4]
    image, mask = some_image(height, width, seed), draws.integers(0, 22, (height, width), np.uint8)
    for index in range(6):
        config = AugmentationConfig(scale=(0.3, 3.0), flip=float(index % 2))
        crop, label = weak(image, mask, numbers(seed, index), 97, config, PADDING)
        expected = slow_weak(image, mask, numbers(seed, index), 97, config)
        assert (crop == expected[0]).all()
        assert (label == expected[1]).all()
        without, valid = weak(image, None, numbers(seed, index), 97, config, PADDING)
        assert (without == crop).all()
        assert ((valid == PADDING) == (label == PADDING)).all()


def slow_weak(
    image: np.ndarray, mask: np.ndarray, generator: np.random.Generator, crop: int, config: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Resize, pad, crop and flip the whole image, one after the other."""
    longest = max(image.shape[:2])
    target = int(generator.integers(int(longest * 0.3), int(longest * 3.0), endpoint=True))
    down, right, _ = generator.random(3)
    size = [target if s == longest else max(1, int(s * target / longest + 0.5)) for s in mask.shape]
    shape = (size[1], size[0])
    image = np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))
    mask = np.asarray(Image.fromarray(mask).resize(shape, Image.Resampling.NEAREST))
    missing = [(0, max(0, crop - side)) for side in size]
    image = np.pad(image, (*missing, (0, 0)))
    mask = np.pad(mask, missing, constant_values=PADDING)
    top, left = (int(w * (n - crop + 1)) for w, n in zip((down, right), mask.shape, strict=True))
    parts = (part[top : top + crop, left : left + crop] for part in (image, mask))
    first, second = (part[:, ::-1] if config.flip else part for part in parts)
    return first, second


@pytest.mark.parametrize("size", [(37, 53), (64, 64), (1, 9)])
def test_a_decoded_image_gives_what_its_array_gives_and_is_left_alone(size: tuple[int, int]):
    image, mask = some_image(*size), some_image(*size)[..., 0]
    picture = Image.fromarray(image)
    for index in range(60):
        found = weak(picture, mask, numbers(index), 40, AugmentationConfig(), PADDING)
        wanted = weak(image, mask, numbers(index), 40, AugmentationConfig(), PADDING)
        assert (found[0] == wanted[0]).all()
        assert (found[1] == wanted[1]).all()
    assert (np.asarray(picture) == image).all()


@pytest.mark.parametrize("size", [(20, 30), (140, 130), (1, 1), (2, 40_000)])
def test_strips_change_no_pixel(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole images at once and a row at a time give the same, to the last bit."""
    image = some_image(*size)
    for index in range(8):
        found = []
        for pixels in (1, 2**14, 2**30):
            monkeypatch.setattr(colours, "STRIP_PIXELS", pixels)
            found.append(strong(image, numbers(index), AugmentationConfig(blur=0.8)))
        assert (found[0] == found[1]).all()
        assert (found[0] == found[2]).all()


def test_the_pixels_of_strong_views_are_pinned() -> None:
    """Recorded when they were made of whole images; other pixels are other trials."""
    image = some_image(37, 53, seed=5)
    total = hashlib.sha256()
    for index in range(25):
        total.update(strong(image, numbers("pinned", index), AugmentationConfig()).tobytes())

    assert total.hexdigest()[:20] == "c22d85b58ee20138f6bc"
