"""Confusion matrices, IoU, and a method evaluated on a part of a data set.

IoU is a fraction everywhere; only tables show percent. Every image is counted exactly once;
released code often pads the validation set to a multiple of the number of GPUs, which counts some
twice. A class absent from both truth and prediction has no IoU and is left out of the mean, as in
CPS and ST++; UniMatch and U2PL count it as zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from semisweep.core.errors import DataError
from semisweep.training.distributed import sum_over_workers, world
from semisweep.training.protocols import IGNORE, Protocol, class_scores, counted_label

if TYPE_CHECKING:
    from semisweep.data.base import DataSet
    from semisweep.training.method import Method

FORWARD_PIXELS = 2**20  # bounds the memory of one forward pass, whatever the size of the images

Counts = npt.NDArray[np.int64]
ClassMap = npt.NDArray[np.integer]
Pixels = npt.NDArray[np.uint8]
Group = list[tuple[int, Pixels]]


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
) -> Counts:
    """Return one confusion matrix an image [N, C, C], in the order of the part's ids.

    With `ids`, of those images of the part alone. Every worker must call it, and all get the same;
    how images are batched does not depend on the number of workers. The method predicts in
    evaluation mode and gets its modes back.
    """
    ids = dataset.part(part) if ids is None else ids
    classes = len(dataset.classes)
    rank, size = world()
    found = np.zeros((len(ids), classes, classes), dtype=np.int64)
    modes = [(module, module.training) for module in method.modules()]
    method.eval()
    try:
        with torch.inference_mode():
            for number, start in enumerate(range(0, len(ids), batch_images)):
                if number % size != rank:
                    continue
                stop = min(start + batch_images, len(ids))
                images = [(index, dataset.image(ids[index])) for index in range(start, stop)]
                for index, predicted in _predictions(method, images, protocol, device):
                    label = counted_label(dataset.mask(ids[index]), protocol)
                    found[index] = confusion(predicted, label, classes)
    finally:
        for module, training in modes:
            module.training = training
    total = sum_over_workers(torch.from_numpy(found).to(device)) if size > 1 else None
    return found if total is None else total.cpu().numpy()


def _predictions(
    method: Method, images: Group, protocol: Protocol, device: torch.device | str
) -> Iterator[tuple[int, Pixels]]:
    for group in _same_size(images, protocol):
        predicted = predictions(method, [image for _, image in group], protocol, device)
        for (index, _), classes in zip(group, predicted, strict=True):
            yield index, classes


def predictions(
    method: Method, images: Sequence[Pixels], protocol: Protocol, device: torch.device | str
) -> Pixels:
    """Return the classes [N, h, w] that a method in evaluation mode sees in images of one size."""
    # Imported here: whoever only counts or summarises needs no augmentation.
    from semisweep.data.augmentation import normalise

    batch = torch.stack([torch.as_tensor(normalise(image)) for image in images]).to(device)
    scores = class_scores(method.predict, batch, protocol)
    return scores.argmax(dim=1).to(torch.uint8).cpu().numpy()


def _same_size(images: Group, protocol: Protocol) -> Iterator[Group]:
    sizes: dict[tuple[int, ...], Group] = {}
    for index, image in images:
        sizes.setdefault(image.shape, []).append((index, image))
    for group in sizes.values():
        height, width = group[0][1].shape[:2]
        most = max(1, FORWARD_PIXELS // protocol.shown_pixels(height, width))
        for start in range(0, len(group), most):
            yield group[start : start + most]
