"""How good pseudo-labels are: on the pixels a loss would use, and how many those are.

Measured on images whose masks are known although training does not look at them. Of each class:
IoU and accuracy count selected pixels only, as in CSS's Table 4, and so rise when fewer and easier
pixels are selected; coverage, the share of the class's pixels that is selected, says how few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from semisweep.training.distributed import sum_over_workers, world
from semisweep.training.metric import ClassMap, Counts, confusion, iou, mean_iou
from semisweep.training.weight_averaging import evaluating

if TYPE_CHECKING:
    from semisweep.data.base import DataSet
    from semisweep.training.method import Method


def label_counts(
    label: ClassMap, selected: npt.NDArray[np.bool_], truth: ClassMap, classes: int
) -> Counts:
    """Return pixel counts [C, C + 1] of one image: truth by label, the last column not selected.

    Pixels whose truth is 255 are ignored. Raises `DataError` for another truth or a selected label
    that is no class.
    """
    used = confusion(label[selected], truth[selected], classes)
    left = truth[~selected]
    missed = confusion(np.zeros_like(left), left, classes)[:, :1]
    return np.concatenate([used, missed], axis=1)


def label_summary(counts: Counts, classes: Sequence[str]) -> dict[str, float]:
    """Return the quality that counts [N, C, C + 1] of N images add up to, as fractions.

    "miou", "accuracy" and "coverage", and "iou.<class>", "accuracy.<class>" and "coverage.<class>".
    A class has no IoU where it neither is nor is labelled, and no accuracy where no pixel of it is
    selected: NaN, and left out of the mean.
    """
    total = counts.sum(axis=0)
    used = total[:, :-1]
    hits, selected, known = np.diagonal(used), used.sum(axis=1), total.sum(axis=1)
    values = {
        "miou": mean_iou(used),
        "accuracy": float(_share(hits.sum(), selected.sum())),
        "coverage": float(_share(selected.sum(), known.sum())),
    }
    each = {
        "iou": iou(used),
        "accuracy": _share(hits, selected),
        "coverage": _share(selected, known),
    }
    for name, found in each.items():
        named = zip(classes, found, strict=True)
        values |= {f"{name}.{word}": float(value) for word, value in named}
    return values


def measure_labels(
    method: Method,
    dataset: DataSet,
    ids: Sequence[str],
    device: torch.device | str = "cpu",
) -> dict[str, Counts]:
    """Return by source the counts [N, C, C + 1] of a method's pseudo-labels for the images.

    Every worker must call it, and all get the same. Each image is shown on its own, whole, in
    evaluation mode. Empty where the method names no pseudo-labels.
    """
    from semisweep.data.augmentation import normalise

    classes = len(dataset.classes)
    rank, size = world()
    found: dict[str, Counts] = {}
    with evaluating(method), torch.inference_mode():
        for index, image_id in enumerate(ids):
            if index % size != rank and index > 0:  # all look at the first: what sources are there?
                continue
            image = torch.as_tensor(normalise(dataset.image(image_id))).unsqueeze(0).to(device)
            for source, made in method.pseudo_labels(image).items():
                if source not in found:
                    found[source] = np.zeros((len(ids), classes, classes + 1), dtype=np.int64)
                if index % size == rank:
                    label, selected = (part.squeeze(0).cpu().numpy() for part in made)
                    truth = dataset.mask(image_id)
                    found[source][index] = label_counts(label, selected, truth, classes)
    if size == 1:
        return found
    sums = {name: sum_over_workers(torch.from_numpy(own).to(device)) for name, own in found.items()}
    return {name: total.cpu().numpy() for name, total in sums.items()}


def _share(part: npt.ArrayLike, whole: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return part / whole, NaN where the whole is nothing."""
    share = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=share, where=np.asarray(whole) > 0)
    return share
