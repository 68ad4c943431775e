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

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from semisweep.core.errors import ConfigError, SemisweepError
from semisweep.core.seeding import numbers
from semisweep.data.augmentation import PADDING, cutmix_box, normalise, strong, weak
from semisweep.data.base import DataSet
from semisweep.data.reading import IGNORE, Pixels
from semisweep.data.splits import Split
from semisweep.training.method import Batch
from semisweep.training.trial import TrainingConfig

T = TypeVar("T")


class Item(NamedTuple):
    """One image of a batch; `turn` counts passes over the labelled images, or epochs."""

    turn: int
    image_id: str


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
        images, labels = self._labelled_arrays(self.labelled_items(step))
        chances = [self._mixing_chance(step, view) for view in range(self.views)]
        items = self.unlabelled_items(step)
        crops, valid, views, boxes = self._unlabelled_arrays(items, chances)
        return Batch(
            image=torch.from_numpy(normalise(images)),
            label=torch.from_numpy(labels.astype(np.int64)),
            weak=torch.from_numpy(normalise(crops)),
            strong=torch.from_numpy(normalise(views)),
            cutmix=torch.from_numpy(boxes),
            valid=torch.from_numpy(valid),
        )

    def batches(self, start: int, stop: int, workers: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start to stop - 1; `workers` processes prefetch, if any."""
        if workers == 0:
            yield from (self.batch(step) for step in range(start, stop))
            return
        loader = DataLoader(
            _Steps(self, start, stop),
            batch_size=None,
            num_workers=workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # its own: a loader must not move the global one
        )
        for result in loader:
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
        order: Sequence[int] = numbers(self.seed, kind, turn).permutation(count).tolist()
        return order

    def _mixing_chance(self, step: int, view: int) -> float | None:
        """Return the draw that all boxes of a view share, the same for all workers, if they do."""
        if not self.training.augmentation.cutmix_together:
            return None
        return float(numbers(self.seed, "cutmix together", step, view).random())

    def _labelled_arrays(self, items: list[Item]) -> tuple[Pixels, Pixels]:
        size = self.training.crop_pixels
        images = np.empty((len(items), size, size, 3), dtype=np.uint8)
        labels = np.empty((len(items), size, size), dtype=np.uint8)
        for i, item in enumerate(items):
            mask = self.dataset.mask(item.image_id)
            images[i], labels[i] = self._weak("labelled", item, mask, IGNORE)
            if self.training.augmentation.labelled_colours:
                generator = numbers(self.seed, "labelled colours", item.turn, item.image_id)
                images[i] = strong(images[i], generator, self.training.augmentation)
        return images, labels

    def _unlabelled_arrays(
        self, items: list[Item], chances: Sequence[float | None]
    ) -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
        count, size, training = len(items), self.training.crop_pixels, self.training
        crops = np.empty((count, size, size, 3), dtype=np.uint8)
        valid = np.empty((count, size, size), dtype=np.bool_)
        views = np.empty((self.views, count, size, size, 3), dtype=np.uint8)
        boxes = np.empty((self.views, count, size, size), dtype=np.bool_)
        for i, item in enumerate(items):
            crops[i], padding = self._weak("unlabelled", item, None, PADDING)
            valid[i] = padding != PADDING
            for view in range(self.views):
                place = (item.turn, item.image_id, view)
                generator = numbers(self.seed, "strong", *place)
                views[view, i] = strong(crops[i], generator, training.augmentation)
                generator = numbers(self.seed, "cutmix", *place)
                boxes[view, i] = cutmix_box(generator, size, training.augmentation, chances[view])
        return crops, valid, views, boxes

    def _weak(
        self, kind: str, item: Item, mask: Pixels | None, pad_label: int
    ) -> tuple[Pixels, Pixels]:
        image = self.dataset.image(item.image_id)
        generator = numbers(self.seed, "weak", kind, item.turn, item.image_id)
        training = self.training
        return weak(image, mask, generator, training.crop_pixels, training.augmentation, pad_label)


class _Steps(Dataset[Batch | SemisweepError]):
    """A loader's steps as torch's `DataLoader` wants them; errors come back as values, whole."""

    def __init__(self, loader: Loader, start: int, stop: int) -> None:
        self.loader = loader
        self.steps = range(start, stop)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch | SemisweepError:
        try:
            return self.loader.batch(self.steps[index])
        except SemisweepError as error:
            return error


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
