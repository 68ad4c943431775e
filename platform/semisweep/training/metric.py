"""Confusion matrices, IoU, and a method evaluated on a part of a data set.

IoU is a fraction everywhere; only tables show percent. Every image is counted exactly once;
released code often pads the validation set to a multiple of the number of GPUs, which counts some
twice. A class absent from both truth and prediction has no IoU and is left out of the mean, as in
CPS and ST++; UniMatch and U2PL count it as zero.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semisweep.core.errors import DataError
from semisweep.training.compilation import eager
from semisweep.training.distributed import sum_over_workers, world
from semisweep.training.functional import moved
from semisweep.training.protocols import IGNORE, Protocol, class_scores, counted_label

if TYPE_CHECKING:
    from semisweep.data.base import DataSet
    from semisweep.training.method import Method

# These bound the memory of one forward pass, whatever the size of the images.
FORWARD_PIXELS = 2**20
GPU_FORWARD_PIXELS = 2**22
READ_AHEAD = 2  # batches of images
MOST_READERS = 8

Counts = npt.NDArray[np.int64]
ClassMap = npt.NDArray[np.integer]
Pixels = npt.NDArray[np.uint8]


def confusion(prediction: ClassMap, label: ClassMap, classes: int) -> Counts:
    """Return pixel counts [C, C] of one image; rows are the truth, columns the prediction.

    Pixels whose label is 255 are ignored. Raises `DataError` for another label or a prediction that
    is no class.
    """
    truth, guess = label.astype(np.int64), prediction.astype(np.int64)
    if truth.shape != guess.shape:
        raise DataError(
            f"prediction and label must have the same shape, "
            f"got prediction={guess.shape}, label={truth.shape}"
        )
    counted = truth != IGNORE
    truth, guess = truth[counted], guess[counted]
    for what, values in (("label", truth), ("prediction", guess)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            wrong = values.min() if values.min() < 0 else values.max()
            raise DataError(f"a {what} must be a class below {classes}, got {what}={wrong}")
    flat = np.bincount(truth * classes + guess, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def iou(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the intersection over union of each class [C]; NaN where there is no union."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - hits
    values = np.full_like(hits, np.nan)
    np.divide(hits, union, out=values, where=union > 0)
    return values


def mean_iou(counts: Counts) -> float:
    """Return the mean IoU of the classes that occur; NaN where none does."""
    values = iou(counts)
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def summary(confusions: Counts, classes: Sequence[str]) -> dict[str, float]:
    """Return "miou", "pixel_accuracy" and "iou.<class>" of confusion matrices [N, C, C], summed."""
    total = confusions.sum(axis=0)
    pixels = int(total.sum())
    accuracy = float(np.trace(total)) / pixels if pixels else float("nan")
    values = {"miou": mean_iou(total), "pixel_accuracy": accuracy}
    named = zip(classes, iou(total), strict=True)
    return values | {f"iou.{name}": float(value) for name, value in named}


def evaluate(
    method: Method,
    dataset: DataSet,
    part: str,
    protocol: Protocol = Protocol(),  # noqa: B008  a frozen value
    device: torch.device | str = "cpu",
    batch_images: int = 32,
    ids: Sequence[str] | None = None,
    readers: int | None = None,
) -> Counts:
    """Return one confusion matrix an image [N, C, C], in the order of the part's ids.

    With `ids`, of those images of the part alone. Every worker must call it, and all get the same;
    how images are batched does not depend on the number of workers. The method predicts in
    evaluation mode and gets its modes back. `readers`: threads that read images ahead, None for as
    many as there are cores for a GPU, and none for a CPU, which has its cores for itself.
    """
    ids = dataset.part(part) if ids is None else ids
    device, classes = torch.device(device), len(dataset.classes)
    readers = _readers(device) if readers is None else readers
    rank, size = world()
    batches = [
        range(start, min(start + batch_images, len(ids)))
        for start in range(0, len(ids), batch_images)
    ][rank::size]

    def read(index: int) -> Shown:
        label = dataset.mask(ids[index])
        return Shown(index, dataset.image(ids[index]), counted_label(label, protocol))

    places: list[int] = []
    parts: list[Tensor] = []
    modes = [(module, module.training) for module in method.modules()]
    method.eval()
    try:
        with torch.inference_mode(), eager(method):
            for shown in _read_ahead(read, batches, readers):
                for group in _same_size(shown, protocol, _forward_pixels(device)):
                    places += [one.place for one in group]
                    parts.append(_counted(method, group, protocol, device, classes))
    finally:
        for module, training in modes:
            module.training = training
    found = torch.zeros((len(ids), classes, classes), dtype=torch.int64)
    if parts:
        found[places] = torch.cat(parts).cpu()  # what a GPU was given is waited for here alone
    if size > 1:
        found = sum_over_workers(found.to(device)).cpu()
    return found.numpy()


class Shown(NamedTuple):
    """An image [H, W, 3] that is evaluated, and what its prediction is compared with [h, w].

    `place`: among those that are evaluated.
    """

    place: int
    image: Pixels
    label: Pixels


def _readers(device: torch.device) -> int:
    return 0 if device.type == "cpu" else min(MOST_READERS, len(os.sched_getaffinity(0)))


def _forward_pixels(device: torch.device) -> int:
    return FORWARD_PIXELS if device.type == "cpu" else GPU_FORWARD_PIXELS


def _read_ahead(
    read: Callable[[int], Shown], batches: Sequence[range], readers: int
) -> Iterator[list[Shown]]:
    """Yield what is read of each batch in order, by threads that are up to two batches ahead."""
    if not readers:
        yield from ([read(index) for index in batch] for batch in batches)
        return
    with ThreadPoolExecutor(readers, thread_name_prefix="reader") as pool:
        waiting: deque[list[Future[Shown]]] = deque()
        try:
            for batch in batches:
                waiting.append([pool.submit(read, index) for index in batch])
                if len(waiting) > READ_AHEAD:
                    yield [one.result() for one in waiting.popleft()]
            while waiting:
                yield [one.result() for one in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)


def _counted(
    method: Method, group: Sequence[Shown], protocol: Protocol, device: torch.device, classes: int
) -> Tensor:
    """Return the confusion matrices [N, C, C] of images of one size, where the device is."""
    predicted = _classes(method, [one.image for one in group], protocol, device)
    label = moved(torch.from_numpy(np.stack([one.label for one in group])), device)
    return confusions(predicted, label, classes)


def confusions(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return pixel counts [N, C, C] of prediction and label [N, H, W]; see `confusion`.

    Predictions must be classes, labels classes or 255: nothing is looked at, so nothing is waited
    for.
    """
    if prediction.shape != label.shape:
        raise DataError(
            f"prediction and label must have the same shape, "
            f"got prediction={tuple(prediction.shape)}, label={tuple(label.shape)}"
        )
    images, cells = len(label), classes * classes
    own = torch.arange(images, device=label.device)[:, None, None] * cells
    place = own + label.long() * classes + prediction
    place = place.where(label != IGNORE, images * cells).flatten()  # the last count is dropped
    counts = torch.zeros(images * cells + 1, dtype=torch.int64, device=label.device)
    counts.scatter_add_(0, place, torch.ones_like(place))
    return counts[:-1].view(images, classes, classes)


def predictions(
    method: Method, images: Sequence[Pixels], protocol: Protocol, device: torch.device | str
) -> Pixels:
    """Return the classes [N, h, w] that a method in evaluation mode sees in images of one size."""
    return _classes(method, images, protocol, torch.device(device)).to(torch.uint8).cpu().numpy()


def _classes(
    method: Method, images: Sequence[Pixels], protocol: Protocol, device: torch.device
) -> Tensor:
    # Imported here: whoever only counts or summarises needs no augmentation.
    from semisweep.training.device_augmentation import normalised_images

    batch = normalised_images(torch.from_numpy(np.stack(images)), device)
    together = 1
    if device.type != "cpu" and protocol.name == "window":
        together = max(1, GPU_FORWARD_PIXELS // (len(images) * protocol.size**2))
    return class_scores(method.predict, batch, protocol, together).argmax(dim=1)


def _same_size(
    shown: Sequence[Shown], protocol: Protocol, forward_pixels: int
) -> Iterator[list[Shown]]:
    sizes: dict[tuple[int, ...], list[Shown]] = {}
    for one in shown:
        sizes.setdefault(one.image.shape, []).append(one)
    for group in sizes.values():
        height, width = group[0].image.shape[:2]
        most = max(1, forward_pixels // protocol.shown_pixels(height, width))
        for start in range(0, len(group), most):
            yield group[start : start + most]
