"""Class anchors of STPG: spread points, prototypes matched to them, and the losses that pull.

Y. Hong et al., "Semi-Supervised Semantic Segmentation with Professional and General Training",
Sec. 3.3. M pixels, those of all images, are rows; a label of 255 is of no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from semisweep.core.seeding import derive
from semisweep.training import distributed
from semisweep.training.functional import IGNORE, over_count

SPREADING_STEPS = 500
SPREADING_RATE = 0.5


class Anchors(nn.Module):
    """Fixed points on the sphere, the classes' prototypes, and which class has which point."""

    points: Tensor  # v          [C, D]
    prototypes: Tensor  # c      [C, D]  zero until the class is met
    met: Tensor  # [C]
    assigned: Tensor  # sigma    [C]

    def __init__(self, classes: int, width: int, temperature: float, seed: int) -> None:
        super().__init__()
        points = uniform_anchors(classes, width, temperature, seed)
        self.register_buffer("points", points.to(torch.get_default_dtype()))
        self.register_buffer("prototypes", torch.zeros(classes, width))
        self.register_buffer("met", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("assigned", torch.arange(classes))

    def of_classes(self) -> Tensor:
        """Return each class's own anchor [C, D]."""
        return self.points[self.assigned]

    @torch.no_grad()
    def observe(self, feature: Tensor, label: Tensor, momentum: float) -> None:
        """Move the prototypes of the classes present towards their mean features (Eq. 13).

        feature [M, D], label [M]; means are over all workers. A class met for the first time starts
        at its mean, an absent one stays.
        """
        classes, width = self.prototypes.shape
        place = label.where(label != IGNORE, classes)
        rows = torch.cat([feature, feature.new_ones(len(feature), 1)], dim=1)
        sums = rows.new_zeros(classes + 1, width + 1).index_add_(0, place, rows)
        total = distributed.sum_over_workers(sums[:classes])
        present = total[:, -1] > 0
        mean = (total[:, :-1] / total[:, -1:].clamp_min(1)).to(self.prototypes.dtype)
        moved = torch.where(self.met.unsqueeze(1), self.prototypes.lerp(mean, 1 - momentum), mean)
        self.prototypes.copy_(torch.where(present.unsqueeze(1), moved, self.prototypes))
        self.met |= present

    @torch.no_grad()
    def match(self) -> None:
        """Give each class the anchor of the cheapest one-to-one assignment (Eq. 14).

        Waits for the device, so call it seldom. Classes never met take what the others leave, and
        every class its own number where none was met.
        """
        cost = torch.cdist(self.prototypes, self.points)
        _, chosen = linear_sum_assignment(cost.cpu().numpy())
        self.assigned.copy_(torch.as_tensor(chosen))


def uniform_anchors(classes: int, width: int, temperature: float, seed: int) -> Tensor:
    """Return unit vectors [C, D] in double precision, spread out by minimising Eq. 12 from a seed.

    With width >= C - 1 they end as a regular simplex: every cosine is -1 / (C - 1). Projected
    descent in steps of equal size at any temperature; a point's pull on itself only lengthens it.
    """
    return _uniform_anchors(classes, width, temperature, seed).clone()


@lru_cache(maxsize=64)
@torch.no_grad()
def _uniform_anchors(classes: int, width: int, temperature: float, seed: int) -> Tensor:
    with torch.device("cpu"):  # whatever device the method is made on
        return _spread(classes, width, temperature, seed)


def _spread(classes: int, width: int, temperature: float, seed: int) -> Tensor:
    made = torch.Generator().manual_seed(derive(seed, "anchors"))
    points = F.normalize(torch.randn(classes, width, generator=made, dtype=torch.float64), dim=1)
    for step in range(SPREADING_STEPS):
        rate = SPREADING_RATE * (1 - step / SPREADING_STEPS)
        share = (points @ points.T / temperature).softmax(dim=1)
        pull = (share + share.T).fill_diagonal_(0)
        push = pull @ points / pull.sum(dim=1).mean().clamp_min(1e-12)
        points = F.normalize(points - rate * push, dim=1)
    return points


def anchor_losses(feature: Tensor, label: Tensor, anchors: Tensor, temperature: float) -> Tensor:
    """Return each pixel's loss [M] of being near its class's anchor and no other (Eq. 15).

    feature [M, D], label [M], anchors [C, D] by class. The sum over the others leaves the own
    anchor out, which stands in the denominator already. Zero where there is no class.
    """
    scores = feature @ anchors.to(feature.dtype).T / temperature
    return F.cross_entropy(scores, label, ignore_index=IGNORE, reduction="none")


def similarity_losses(
    feature: Tensor, label: Tensor, rows: Tensor, filled: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each pixel's mean 1 - cosine with its class's memory (Eq. 16), and if there is one.

    feature [M, D] of unit length, label [M], rows [C, S, D], filled [C, S]; both results [M]. The
    mean of cosines is the product with the mean unit vector, so nothing of pixels x memory exists.
    """
    known = label != IGNORE
    place = label.where(known, 0)
    units = F.normalize(rows, dim=2) * filled.unsqueeze(2)
    mean = units.sum(dim=1) / filled.sum(dim=1, keepdim=True).clamp_min(1)  # [C, D]
    cosine = (feature @ mean.to(feature.dtype).T).gather(1, place.unsqueeze(1)).squeeze(1)
    return 1 - cosine, known & filled.any(dim=1)[place]


def mean_over(kind: str, losses: Tensor, label: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Return the mean of the counted losses [M]: over "pixels", or over "classes" of their means.

    label and counted [M]. Of the pixels and classes of all workers; zero, attached to the graph,
    where nothing counts.
    """
    losses = losses.where(counted, 0.0)
    if kind == "pixels":
        return over_count(losses.sum(), counted.sum())
    place = label.where(counted, 0)
    counts = losses.new_zeros(classes).index_add_(0, place, counted.to(losses.dtype))
    mean = distributed.mean_over_workers(counts)
    share = mean.clamp_min(1 / distributed.world()[1]).reciprocal()[place]
    return (losses * share).sum() / (mean > 0).sum().clamp_min(1)


def at_cells(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return values [..., H, W] at the centres of cells [..., h, w], corners on corners.

    Those are the places where the network's upsampled logits are its logits of the cells.
    """
    for dim, cells in zip((-2, -1), size, strict=True):
        last = values.shape[dim] - 1
        places = torch.linspace(0, last, cells, dtype=torch.float64, device=values.device)
        values = values.index_select(dim, places.round().long())
    return values
