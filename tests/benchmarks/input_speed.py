"""Images a second of one core: this library's input against PIL and torchvision, step by step.

Both decode JPEG and PNG files of Pascal VOC's size, scale, crop and flip them, and make two strong
views of an unlabelled image (jitter, grey, blur, a box of CutMix), ready for a network. The other
pipeline is written as one writes it first: every step on a whole PIL image. Rounds of both take
turns, so that a busy machine slows both; nothing is cached. Then decode, resize and crop alone, as
an input worker does it for a GPU, which makes the strong views.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/input_speed.py [ROUNDS]
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import HEIGHT, WIDTH, voc_pictures
from PIL import Image, ImageFilter
from torchvision import transforms
from torchvision.transforms import functional as F

from semisweep import TrainingConfig
from semisweep.data.augmentation import normalise
from semisweep.data.splits import Split
from semisweep.data.voc_folder import VocFolder
from semisweep.training.loader import Item, Loader

IMAGES = 16
CROPS = (321, 513)
VIEWS = 2
BATCH = 8  # labelled images of a batch for a GPU, and as many unlabelled
BATCHES = 4
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_weak(image: Any, mask: Any, crop: int) -> tuple[Any, Any]:
    """Scale, pad, crop and flip whole PIL images."""
    long_side = random.randint(int(WIDTH * 0.5), int(WIDTH * 2.0))
    width, height = long_side, int(HEIGHT * long_side / WIDTH + 0.5)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    mask = mask.resize((width, height), Image.Resampling.NEAREST)
    right, down = max(crop - width, 0), max(crop - height, 0)
    image, mask = F.pad(image, [0, 0, right, down]), F.pad(mask, [0, 0, right, down], fill=255)
    left, top = random.randint(0, image.width - crop), random.randint(0, image.height - crop)
    box = (left, top, left + crop, top + crop)
    image, mask = image.crop(box), mask.crop(box)
    return (F.hflip(image), F.hflip(mask)) if random.random() < 0.5 else (image, mask)


JITTER = transforms.RandomApply([transforms.ColorJitter(0.5, 0.5, 0.5, 0.25)], p=0.8)
GREY = transforms.RandomGrayscale(p=0.2)
TO_TENSOR = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])


def plain_strong(image: Any) -> Any:
    """Change the colours of a PIL image with torchvision, and blur it with PIL."""
    image = GREY(JITTER(image))
    if random.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))
    return image


def plain_box(crop: int) -> torch.Tensor:
    """Return a CutMix box."""
    mask = torch.zeros(crop, crop)
    if random.random() < 0.5:
        area, aspect = random.uniform(0.02, 0.4) * crop * crop, random.uniform(0.3, 1 / 0.3)
        width, height = int((area / aspect) ** 0.5), int((area * aspect) ** 0.5)
        width, height = min(width, crop), min(height, crop)
        left, top = random.randint(0, crop - width), random.randint(0, crop - height)
        mask[top : top + height, left : left + width] = 1
    return mask


def plain_labelled(dataset: VocFolder, name: str, crop: int) -> Any:
    """Return image and label of a labelled image."""
    image = Image.open(dataset.image_file(name)).convert("RGB")
    image, mask = plain_weak(image, Image.open(dataset.mask_file(name)), crop)
    return TO_TENSOR(image), torch.from_numpy(np.array(mask)).long()


def plain_unlabelled(dataset: VocFolder, name: str, crop: int) -> Any:
    """Return weak image, strong views, boxes and valid pixels of an unlabelled image."""
    image = Image.open(dataset.image_file(name)).convert("RGB")
    nothing = Image.fromarray(np.zeros((image.height, image.width), np.uint8))
    image, mask = plain_weak(image, nothing, crop)
    views = [TO_TENSOR(plain_strong(image.copy())) for _ in range(VIEWS)]
    boxes = [plain_box(crop) for _ in range(VIEWS)]
    return TO_TENSOR(image), views, boxes, torch.from_numpy(np.array(mask)) != 255


def our_labelled(loader: Loader, name: str, turn: int) -> Any:
    """Return what a batch holds of a labelled image."""
    images, labels = loader._labelled_arrays([Item(turn, name)])
    return torch.from_numpy(normalise(images)), torch.from_numpy(labels.astype(np.int64))


def our_unlabelled(loader: Loader, name: str, turn: int) -> Any:
    """Return what a batch holds of an unlabelled image."""
    crops, valid, views, boxes = loader._unlabelled_arrays([Item(turn, name)], [None] * VIEWS)
    pixels = (torch.from_numpy(normalise(own)) for own in (crops, views))
    return *pixels, torch.from_numpy(boxes), torch.from_numpy(valid)


def rate(work: Callable[[str], Any], names: tuple[str, ...]) -> float:
    """Return images a second of this process' own time."""
    started = time.process_time()
    for name in names:
        work(name)
    return len(names) / (time.process_time() - started)


def compare(dataset: VocFolder, crop: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of images a second, theirs and ours, by kind of image."""
    names = tuple(str(number) for number in range(IMAGES))
    training = TrainingConfig(steps=1, labelled_batch=1, unlabelled_batch=2, crop_pixels=crop)
    loader = Loader(dataset, Split(names, names), training, 0, VIEWS, True)
    found: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(rounds + 1):
        pairs: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {
            "labelled": (
                lambda name: plain_labelled(dataset, name, crop),
                lambda name, turn=turn: our_labelled(loader, name, turn),
            ),
            "unlabelled": (
                lambda name: plain_unlabelled(dataset, name, crop),
                lambda name, turn=turn: our_unlabelled(loader, name, turn),
            ),
        }
        for kind, works in pairs.items():
            rates = [rate(work, names) for work in works]
            if turn:  # the first round warms up
                for own, value in zip(found.setdefault(kind, ([], [])), rates, strict=True):
                    own.append(value)
    return {kind: (statistics.median(a), statistics.median(b)) for kind, (a, b) in found.items()}


def for_a_gpu(dataset: VocFolder, crop: int, rounds: int) -> float:
    """Return the median of images a second in batches that a GPU finishes."""
    names = tuple(str(number) for number in range(IMAGES))
    training = TrainingConfig(
        steps=BATCHES * (rounds + 1), labelled_batch=BATCH, unlabelled_batch=BATCH, crop_pixels=crop
    )
    loader = Loader(dataset, Split(names, names), training, 0, VIEWS, True)
    found = []
    for turn in range(rounds + 1):
        started = time.process_time()
        for step in range(turn * BATCHES, (turn + 1) * BATCHES):
            loader.cropped(step)
        found.append(2 * BATCH * BATCHES / (time.process_time() - started))
    return statistics.median(found[1:])


def main() -> None:
    """Print both rates and their ratio for each crop, and the rate of what is made for a GPU."""
    torch.set_num_threads(1)
    random.seed(0)
    rounds = int(sys.argv[1]) if sys.argv[1:] else 8
    with tempfile.TemporaryDirectory() as folder:
        dataset = voc_pictures(Path(folder) / "voc", IMAGES)
        for crop in CROPS:
            for kind, (plain, ours) in compare(dataset, crop, rounds).items():
                print(
                    f"{kind:10} crop {crop}: PIL and torchvision {plain:6.1f} images/s, "
                    f"ours {ours:6.1f}, {ours / plain:.2f} times as many"
                )
            images = for_a_gpu(dataset, crop, rounds)
            print(
                f"for a GPU  crop {crop}: {images:6.1f} images/s, "
                f"{images / (2 * BATCH):.1f} batches of {BATCH} + {BATCH} a second and core"
            )


if __name__ == "__main__":
    main()
