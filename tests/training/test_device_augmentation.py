"""What a GPU makes of draws is what a CPU makes of them, up to one level of a byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from semisweep import AugmentationConfig
from semisweep.core.config import replace
from semisweep.core.seeding import numbers
from semisweep.data.augmentation import cutmix_box, draw_boxes, draw_colours, normalise, strong
from semisweep.data.colours import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    ColourChange,
    change_colours,
)
from semisweep.training.device_augmentation import (
    CroppedBatch,
    box_masks,
    box_tensor,
    changed_colours,
    colour_tensors,
    finished,
    to_device,
)
from semisweep_studies.augmentations import CPS, CSS, U2PL, UNIMATCH

USUAL = AugmentationConfig()
PLAIN = AugmentationConfig(jitter=0.0, grayscale=0.0, blur=0.0)
SIZES = [(1, 1), (1, 9), (7, 1), (13, 22), (64, 51)]
LARGEST_SHARE = 2e-3  # of bytes that may be one level away
READING = ("item", "_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")


def some_images(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return noise, a slope, greys and a uniform colour, in turns."""
    draws = np.random.default_rng(seed)
    images = draws.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    images[1::4] = np.linspace(0, 255, width, dtype=np.uint8)[:, None]
    images[2::4] = images[2::4, :, :, :1]
    images[3::4] = draws.integers(0, 256, 3, dtype=np.uint8)
    return images


def changed(images: np.ndarray, changes: list[ColourChange]) -> np.ndarray:
    """Return what a device makes of images [N, H, W, 3], as such."""
    planes = torch.from_numpy(images).movedim(-1, 1)
    found = changed_colours(planes, colour_tensors(changes))
    assert found.dtype == torch.float32
    assert torch.equal(found, found.round())
    return found.movedim(1, -1).numpy()


def check_equal(images: np.ndarray, changes: list[ColourChange]) -> None:
    found = changed(images, changes)
    pairs = zip(images, changes, strict=True)
    wanted = np.stack([change_colours(image, *change) for image, change in pairs])
    away = np.abs(found - wanted)
    assert away.max() <= 1
    assert (away > 0).mean() <= LARGEST_SHARE, (away > 0).mean()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "config",
    [
        USUAL,
        CSS,
        AugmentationConfig(jitter=1.0, grayscale=0.5, blur=1.0, hue=0.5),
        AugmentationConfig(brightness=2.0, contrast=2.0, saturation=3.0, blur=0.0),
        AugmentationConfig(jitter=0.0, grayscale=0.0, blur=1.0, blur_sigma_pixels=(0.0, 9.0)),
        AugmentationConfig(jitter=1.0, grayscale=0.0, blur=0.0, brightness=0.0, contrast=0.0),
        AugmentationConfig(jitter=1.0, grayscale=1.0, blur=0.0, saturation=0.0, hue=0.0),
    ],
)
def test_colours_are_those_of_the_cpu(size: tuple[int, int], config: Any) -> None:
    count = 24
    changes = [draw_colours(numbers("colours", index), config) for index in range(count)]

    check_equal(some_images(count, *size), changes)


@pytest.mark.parametrize("kind", [BRIGHTNESS, CONTRAST, SATURATION, HUE])
@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 1.0, 1.9, -0.3])
def test_each_step_alone_is_that_of_the_cpu(kind: int, amount: float) -> None:
    if amount < 0 and kind != HUE:
        amount = 0.7
    check_equal(some_images(8, 33, 20), [ColourChange(((kind, amount),), False, None)] * 8)


def test_images_of_a_batch_do_not_mix() -> None:
    images = some_images(6, 21, 17)
    changes = [draw_colours(numbers(index), USUAL) for index in range(6)]
    together = changed(images, changes)

    for index in range(6):
        alone = changed(images[index : index + 1], changes[index : index + 1])
        assert np.abs(alone[0] - together[index]).max() <= 1
        assert (alone[0] == together[index]).mean() > 0.99


def test_an_image_without_any_change_keeps_its_bytes() -> None:
    images = some_images(8, 19, 23)
    nothing = draw_colours(numbers(0), PLAIN)
    assert nothing == ColourChange((), False, None)
    assert (changed(images, [nothing] * 8) == images).all()
    others = [draw_colours(numbers(index), replace(USUAL, {"jitter": 1.0})) for index in range(7)]

    assert (changed(images, [nothing, *others])[0] == images[0]).all()


def test_drawing_and_changing_is_a_strong_view() -> None:
    image = some_images(1, 20, 30)[0]
    for index in range(20):
        change = draw_colours(numbers(index), USUAL)
        assert (change_colours(image, *change) == strong(image, numbers(index), USUAL)).all()


@pytest.mark.parametrize("size", [1, 2, 17, 64])
@pytest.mark.parametrize(
    "config",
    [
        *(
            USUAL,
            UNIMATCH,
            CPS,
            CSS,
            U2PL,
            AugmentationConfig(cutmix=0.0),
            AugmentationConfig(cutmix=1.0),
        ),
        AugmentationConfig(cutmix=1.0, cutmix_boxes=4, cutmix_area=(0.0, 1.0)),
    ],
)
def test_boxes_are_those_of_the_cpu(size: int, config: Any) -> None:
    drawn = [draw_boxes(numbers("box", index), size, config) for index in range(40)]
    found = box_masks(box_tensor(drawn, config.cutmix_boxes), size)

    assert found.shape == (40, size, size)
    for index in range(40):
        wanted = cutmix_box(numbers("box", index), size, config)
        assert (found[index].numpy() == wanted).all()


def cropped(config: Any, labelled: int = 3, unlabelled: int = 4, views: int = 2) -> CroppedBatch:
    size = 24
    generator = np.random.default_rng(1)
    flags = generator.random((unlabelled, size, size)) < 0.9
    label = generator.integers(0, 21, (labelled, size, size), dtype=np.uint8)
    shown, count = range(views * unlabelled), config.cutmix_boxes
    boxes = [draw_boxes(numbers("box", index), size, config) for index in shown]
    changes = [draw_colours(numbers(index), config) for index in shown]
    colours = colour_tensors([draw_colours(numbers("l", i), config) for i in range(labelled)])
    return CroppedBatch(
        torch.from_numpy(some_images(labelled, size, size)),
        torch.from_numpy(label),
        torch.from_numpy(some_images(unlabelled, size, size, 1)),
        torch.from_numpy(flags),
        box_tensor(boxes, count).view(views, unlabelled, count, 4),
        colour_tensors(changes),
        colours if config.labelled_colours else None,
    )


class Recorded(TorchDispatchMode):
    """Notes the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", [USUAL, CSS, CPS, PLAIN], ids=["usual", "css", "cps", "plain"])
def test_no_value_is_read_while_a_batch_is_finished(config: Any) -> None:
    """A GPU need not have come to it: tensors without values will do."""
    given = cropped(config)
    with Recorded() as recorded:
        found = finished(given)
    assert not set(recorded.names) & set(READING)
    assert len(recorded.names) <= 130 * (2 if config.labelled_colours else 1)  # each a launch
    empty = finished(to_device(given, torch.device("meta")))

    for one, other in zip(empty, found, strict=True):
        assert one.device.type == "meta"
        assert (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())


def test_what_is_recorded_would_show_a_value_that_is_read() -> None:
    with Recorded() as recorded:
        torch.ones(2).nonzero()
        torch.ones(1).item()

    assert len(set(recorded.names) & set(READING)) == 2


def planes(batch: Any) -> Iterator[torch.Tensor]:
    yield from (batch.image, batch.weak, batch.strong)


def test_a_finished_batch_is_normalised_and_in_channels_last_order() -> None:
    given = cropped(PLAIN)
    found = finished(given)
    wanted = torch.from_numpy(normalise(given.weak.numpy()))

    assert torch.allclose(found.weak, wanted, rtol=0, atol=2e-6)
    assert torch.equal(found.strong[0], found.weak)
    assert torch.equal(found.strong[1], found.weak)
    assert found.label.dtype == torch.int64
    assert (found.label == given.label).all()
    assert torch.equal(found.valid, given.valid)
    assert all(own.dtype == torch.float32 for own in planes(found))
    for own in planes(found):
        assert own.flatten(0, -4).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("unlabelled", "views"), [(0, 1), (0, 2), (4, 0)])
def test_a_batch_may_lack_unlabelled_images_or_views(unlabelled: int, views: int) -> None:
    found = finished(cropped(USUAL, unlabelled=unlabelled, views=views))

    assert found.weak.shape == (unlabelled, 3, 24, 24)
    assert found.strong.shape == (views, unlabelled, 3, 24, 24)
    assert found.cutmix.shape == (views, unlabelled, 24, 24)
    assert found.valid.shape == (unlabelled, 24, 24)
