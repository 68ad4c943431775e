"""Batches as a pure function of (seed, step): nothing is remembered from one step to the next.

Labelled images run through pass after pass without a break, each pass in an order of its own; a
batch may hold the end of one pass and the start of the next. Unlabelled images run through epoch
after epoch; what does not fill a batch at the end of an epoch is dropped, so that the images of
one batch are always different ones.

The global batch is cut into contiguous shares, one a worker, so that workers together see what one
worker alone would see.

Partner rule, for whoever applies `Batch.cutmix`: in a share of U unlabelled images, the image
pasted into image i comes from its neighbour in the pair (0, 1), (2, 3), ...; where U is odd the
last three go round, U-3 <- U-2 <- U-1 <- U-3. So the partner is always another image, and as
shares hold whole pairs, the same one for any number of workers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from semisweep.core.errors import ConfigError, SemisweepError
from semisweep.core.seeding import numbers
from semisweep.data.augmentation import (
    PADDING,
    cutmix_box,
    draw_boxes,
    draw_colours,
    strong,
    weak,
)
from semisweep.data.base import DataSet
from semisweep.data.reading import IGNORE, Pixels
from semisweep.data.shared_pixels import SharedPixels, shared_pixels
from semisweep.data.splits import Split
from semisweep.training.device_augmentation import (
    CroppedBatch,
    box_tensor,
    colour_tensors,
    finished,
    normalised_images,
    to_device,
)
from semisweep.training.method import Batch
from semisweep.training.trial import TrainingConfig

T = TypeVar("T")
CPU = torch.device("cpu")
PREFETCHED = 2  # batches that each input worker makes ahead
SHARED_MEMORY = "/dev/shm"


class Item(NamedTuple):
    """One image of a batch; `turn` counts passes over the labelled images, or epochs."""

    turn: int
    image_id: str


class RawBatch(NamedTuple):
    """A batch as it is made for a CPU: bytes, a quarter of what training takes."""

    image: Tensor  # [B, H, W, 3]      uint8
    label: Tensor  # [B, H, W]         uint8
    weak: Tensor  # [U, H, W, 3]       uint8
    strong: Tensor  # [V, U, H, W, 3]  uint8
    cutmix: Tensor  # [V, U, H, W]     bool
    valid: Tensor  # [U, H, W]         bool


Made = RawBatch | CroppedBatch


class Loader:
    """The batches of one worker.

    `views`: strong views an unlabelled image. Where unlabelled images are not used, U = 0. Raises
    `ConfigError` for a number of workers that does not fit, or too few unlabelled images.
    """

    def __init__(
        self,
        dataset: DataSet,
        split: Split,
        training: TrainingConfig,
        seed: int,
        views: int,
        uses_unlabelled: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        assert 0 <= rank < world
        _check_world(training, uses_unlabelled, world)
        check_lists(training, split, uses_unlabelled)
        self.dataset = dataset
        self.training = training
        self.seed = seed
        self.views = views
        self.uses_unlabelled = uses_unlabelled
        self.rank = rank
        self.world = world
        # Equal lists must give equal batches, in whatever order their files are.
        self._labelled = sorted(split.labelled)
        self._unlabelled = sorted(split.unlabelled)

    def batch(self, step: int) -> Batch:
        """Return this worker's share of iteration `step`: float32 images, int64 labels."""
        return on_device(self.raw(step), CPU)

    def raw(self, step: int) -> RawBatch:
        """Return this worker's share of iteration `step` as bytes."""
        images, labels = self._labelled_arrays(self.labelled_items(step))
        items = self.unlabelled_items(step)
        crops, valid, views, boxes = self._unlabelled_arrays(items, self._mixing_chances(step))
        return RawBatch(*map(torch.from_numpy, (images, labels, crops, views, boxes, valid)))

    def cropped(self, step: int) -> CroppedBatch:
        """Return the same as bytes and draws, of which a GPU makes strong views and boxes."""
        labelled, items = self.labelled_items(step), self.unlabelled_items(step)
        images, labels = self._labelled_crops(labelled)
        crops, valid = self._unlabelled_crops(items)
        size, augmentation = self.training.crop_pixels, self.training.augmentation
        count = augmentation.cutmix_boxes
        boxes = [
            draw_boxes(self._numbers("cutmix", item, view), size, augmentation, chance)
            for view, chance in enumerate(self._mixing_chances(step))
            for item in items
        ]
        strong_colours = [
            draw_colours(self._numbers("strong", item, view), augmentation)
            for view in range(self.views)
            for item in items
        ]
        labelled_colours = [
            draw_colours(self._numbers("labelled colours", item), augmentation)
            for item in (labelled if augmentation.labelled_colours else [])
        ]
        return CroppedBatch(
            torch.from_numpy(images),
            torch.from_numpy(labels),
            torch.from_numpy(crops),
            torch.from_numpy(valid),
            box_tensor(boxes, count).view(self.views, len(items), count, 4),
            colour_tensors(strong_colours),
            colour_tensors(labelled_colours) if labelled_colours else None,
        )

    def batches(
        self, start: int, stop: int, workers: int = 0, device: torch.device = CPU
    ) -> Iterator[Batch]:
        """Yield the batches of steps start to stop - 1 on a device.

        With `workers`, so many processes make them ahead; the batches are the same. A GPU makes
        strong views itself: equal to those of a CPU up to one level of a byte. Raises `ConfigError`
        where shared memory, through which processes hand batches over, is too small, and
        `RuntimeError` in one line where one of these processes is lost.
        """
        yield from (on_device(own, device) for own in self.made(start, stop, workers, device))

    def made(self, start: int, stop: int, workers: int, device: torch.device) -> Iterator[Made]:
        """Return the batches of `batches` as they are before they are on the device."""
        make: Callable[[int], Made] = self.raw if device.type == "cpu" else self.cropped
        if workers:
            return self._prefetched(make, range(start, stop), workers, device)
        return map(make, range(start, stop))

    def made_bytes(self, device: torch.device = CPU) -> int:
        """Return how many bytes a batch takes before it is on a device, but for what is drawn."""
        views = self.views if device.type == "cpu" else 0
        labelled = self.training.labelled_batch // self.world
        unlabelled = self.training.unlabelled_batch // self.world if self.uses_unlabelled else 0
        # Of each pixel three channels and its label, validity or place in a CutMix box.
        return 4 * self.training.crop_pixels**2 * (labelled + unlabelled * (1 + views))

    def _prefetched(
        self, make: Callable[[int], Made], steps: range, workers: int, device: torch.device
    ) -> Iterator[Made]:
        _check_shared_memory(self.made_bytes(device), workers)
        loader = DataLoader(
            _Steps(make, steps),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=PREFETCHED,
            collate_fn=_unchanged,
            pin_memory=device.type == "cuda",  # so that copies to the GPU need not be waited for
            worker_init_fn=partial(_share, self.dataset, shared_pixels(self.dataset)),
            generator=torch.Generator(),  # its own: a loader must not move the global one
        )
        results = iter(loader)
        for _ in steps:
            try:
                result = next(results)
            except RuntimeError as error:
                raise _explained(error, workers) from None
            if isinstance(result, SemisweepError):
                raise result
            yield result

    def labelled_items(self, step: int) -> list[Item]:
        """Return what this worker's labelled images of iteration `step` are, in order."""
        share = self.training.labelled_batch // self.world
        start = step * self.training.labelled_batch + self.rank * share
        places = [divmod(start + i, len(self._labelled)) for i in range(share)]
        orders = {turn: self._order("labelled", turn) for turn, _ in places}
        return [Item(turn, self._labelled[orders[turn][place]]) for turn, place in places]

    def unlabelled_items(self, step: int) -> list[Item]:
        """Return what this worker's unlabelled images of iteration `step` are, in order."""
        if not self.uses_unlabelled:
            return []
        epoch, place = divmod(step, self.training.steps_per_epoch(len(self._unlabelled)))
        share = self.training.unlabelled_batch // self.world
        start = place * self.training.unlabelled_batch + self.rank * share
        order = self._order("unlabelled", epoch)
        return [Item(epoch, self._unlabelled[i]) for i in order[start : start + share]]

    def _order(self, kind: str, turn: int) -> Sequence[int]:
        count = len(self._labelled if kind == "labelled" else self._unlabelled)
        return _order(self.seed, kind, turn, count)

    def _mixing_chances(self, step: int) -> list[float | None]:
        """Return the draw that all boxes of a view share, the same for all workers, if they do."""
        if not self.training.augmentation.cutmix_together:
            return [None] * self.views
        return [
            float(numbers(self.seed, "cutmix together", step, view).random())
            for view in range(self.views)
        ]

    def _numbers(self, purpose: str, item: Item, *parts: int) -> np.random.Generator:
        return numbers(self.seed, purpose, item.turn, item.image_id, *parts)

    def _labelled_arrays(self, items: list[Item]) -> tuple[Pixels, Pixels]:
        images, labels = self._labelled_crops(items)
        augmentation = self.training.augmentation
        if augmentation.labelled_colours:
            for i, item in enumerate(items):
                generator = self._numbers("labelled colours", item)
                images[i] = strong(images[i], generator, augmentation)
        return images, labels

    def _unlabelled_arrays(
        self, items: list[Item], chances: Sequence[float | None]
    ) -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
        count, size, augmentation = (
            len(items),
            self.training.crop_pixels,
            self.training.augmentation,
        )
        crops, valid = self._unlabelled_crops(items)
        views = np.empty((self.views, count, size, size, 3), dtype=np.uint8)
        boxes = np.empty((self.views, count, size, size), dtype=np.bool_)
        for i, item in enumerate(items):
            for view in range(self.views):
                generator = self._numbers("strong", item, view)
                views[view, i] = strong(crops[i], generator, augmentation)
                generator = self._numbers("cutmix", item, view)
                boxes[view, i] = cutmix_box(generator, size, augmentation, chances[view])
        return crops, valid, views, boxes

    def _labelled_crops(self, items: list[Item]) -> tuple[Pixels, Pixels]:
        size = self.training.crop_pixels
        images = np.empty((len(items), size, size, 3), dtype=np.uint8)
        labels = np.empty((len(items), size, size), dtype=np.uint8)
        for i, item in enumerate(items):
            images[i], labels[i] = self._weak("labelled", item, IGNORE)
        return images, labels

    def _unlabelled_crops(self, items: list[Item]) -> tuple[Pixels, np.ndarray]:
        size = self.training.crop_pixels
        crops = np.empty((len(items), size, size, 3), dtype=np.uint8)
        valid = np.empty((len(items), size, size), dtype=np.bool_)
        for i, item in enumerate(items):
            crops[i], padding = self._weak("unlabelled", item, PADDING)
            np.not_equal(padding, PADDING, out=valid[i])
        return crops, valid

    def _weak(self, kind: str, item: Item, pad_label: int) -> tuple[Pixels, Pixels]:
        image = self.dataset.decoded(item.image_id)  # before its mask, which must have its size
        mask = self.dataset.mask(item.image_id) if kind == "labelled" else None
        generator = numbers(self.seed, "weak", kind, item.turn, item.image_id)
        training = self.training
        return weak(image, mask, generator, training.crop_pixels, training.augmentation, pad_label)


@lru_cache(maxsize=8)
def _order(seed: int, kind: str, turn: int, count: int) -> Sequence[int]:
    """Return the order of `count` images in a turn; kept, as all steps of the turn ask for it."""
    return tuple(numbers(seed, kind, turn).permutation(count).tolist())


def on_device(made: Made, device: torch.device) -> Batch:
    """Return a batch ready for training on a device, which finishes what is cropped only."""
    if isinstance(made, CroppedBatch):
        return finished(to_device(made, device))
    image, weak_view, strong_views = (
        normalised_images(own, CPU) for own in (made.image, made.weak, made.strong)
    )
    return Batch(image, made.label.long(), weak_view, strong_views, made.cutmix, made.valid)


def _check_shared_memory(batch_bytes: int, workers: int) -> None:
    """Raise `ConfigError` unless shared memory holds what input workers have ready at a time."""
    needed, free = batch_bytes * PREFETCHED * workers, free_shared_memory()
    if needed > free:
        raise ConfigError(
            f"shared memory must hold the batches that input workers make, got {free >> 20} MiB "
            f"free in {SHARED_MEMORY}, {needed >> 20} MiB needed, data_workers={workers}; make it "
            "larger (docker run --shm-size), or take fewer --data-workers"
        )


def free_shared_memory() -> int:
    """Return the bytes that are free in shared memory; without end where it is no file system."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return sys.maxsize
    return found.f_bavail * found.f_frsize


def _explained(error: RuntimeError, workers: int) -> RuntimeError:
    """Return the error of an input worker that was lost in one line, any other as it is."""
    first = str(error).strip().partition("\n")[0]
    if not first.startswith("DataLoader worker"):
        return error
    return RuntimeError(
        f"an input worker must live, got {first.rstrip('.')} (by the kernel, for memory?), "
        f"data_workers={workers}; fewer --data-workers need less"
    )


class _Steps(Dataset[Made | SemisweepError]):
    """Batches of steps as torch's `DataLoader` wants them; errors come back as values, whole."""

    def __init__(self, make: Callable[[int], Made], steps: range) -> None:
        self.make = make
        self.steps = steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Made | SemisweepError:
        try:
            return self.make(self.steps[index])
        except SemisweepError as error:
            return error


def _share(dataset: DataSet, shared: SharedPixels | None, worker: int) -> None:
    """Let an input worker keep decoded images where the others find them."""
    if shared is not None:
        dataset.keep_decoded(shared)


def _unchanged(result: T) -> T:
    return result


def worker_counts(training: TrainingConfig, uses_unlabelled: bool) -> list[int]:
    """Return the numbers of workers that can share the global batches of `training`.

    Both batches must divide. More than one worker needs whole pairs of unlabelled images each, as
    CutMix partners are pairs.
    """
    labelled, unlabelled = training.labelled_batch, training.unlabelled_batch

    def fits(workers: int) -> bool:
        if labelled % workers:
            return False
        return not uses_unlabelled or workers == 1 or unlabelled % (2 * workers) == 0

    return [workers for workers in range(1, labelled + 1) if fits(workers)]


def _check_world(training: TrainingConfig, uses_unlabelled: bool, world: int) -> None:
    counts = worker_counts(training, uses_unlabelled)
    if world in counts:
        return
    batches = f"labelled_batch={training.labelled_batch}"
    rule = "the number of workers must divide the global batch"
    if uses_unlabelled:
        rule += ", unlabelled images into whole pairs"
        batches += f", unlabelled_batch={training.unlabelled_batch}"
    raise ConfigError(
        f"{rule}, got workers={world}, {batches}; numbers that work: {', '.join(map(str, counts))}"
    )


def check_lists(training: TrainingConfig, split: Split, uses_unlabelled: bool) -> None:
    """Raise `ConfigError` unless the lists of a split fill the global batches of `training`."""
    if not split.labelled:
        raise ConfigError("training must have at least one labelled image, got labelled images=0")
    if not uses_unlabelled:
        return
    batch = training.unlabelled_batch
    if len(split.unlabelled) < batch:
        raise ConfigError(
            f"unlabelled_batch must be at most the number of unlabelled images, "
            f"got unlabelled_batch={batch}, unlabelled images={len(split.unlabelled)}; "
            "label fewer images or make the batch smaller"
        )
    if batch == 1 and training.augmentation.cutmix > 0:
        raise ConfigError(
            "CutMix must have another image to paste from, got unlabelled_batch=1, "
            f"augmentation.cutmix={training.augmentation.cutmix}; "
            "use a batch of 2 or more, or set training.augmentation.cutmix=0"
        )
