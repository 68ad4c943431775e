"""STPG's pixel selection: where the professional student believes its teacher, and how much.

Y. Hong et al., "Semi-Supervised Semantic Segmentation with Professional and General Training",
Eqs. 4 to 7 and 11. A pixel is consistent, or mismatched, where the student's class is not the
teacher's; highly so where the teacher's class is the more often mismatched one of the two. U mixed
strong views, C classes.

Chosen by us: a share of Eq. 5 of nothing is zero; the confusion matrix is that of all workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semisweep import distributed
from semisweep.functional import full_precision, over_count

if TYPE_CHECKING:
    from semisweep_methods.stpg import STPGConfig


class Target(NamedTuple):
    """What a student is to believe of its mixed strong view."""

    label: Tensor  # [U, H, W]
    confidence: Tensor  # [U, H, W]
    selected: Tensor  # [U, H, W]  only where valid
    valid: Tensor  # [U, H, W]


def confusion(row: Tensor, column: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Return how many counted pixels of all workers are of each pair of classes [C, C] (Fig. 5)."""
    pair = (row * classes + column).where(counted, classes * classes).flatten()
    counts = pair.new_zeros(classes * classes + 1).scatter_add_(0, pair, torch.ones_like(pair))
    return distributed.sum_over_workers(counts[:-1]).view(classes, classes)


def mismatch_scores(confusion: Tensor) -> Tensor:
    """Return the scores I [C] of a confusion matrix [C, C] (Eq. 5).

    The shares of a class's row and column that are off the diagonal, added. A share of nothing is
    zero.
    """
    agreed = confusion.diagonal()
    sums = torch.stack([confusion.sum(dim=1), confusion.sum(dim=0)])
    return ((sums - agreed) / sums.clamp_min(1)).sum(dim=0)


def select_pixels(config: STPGConfig, student: Tensor, teacher: Tensor, score: Tensor) -> Tensor:
    """Return which pseudo-labels are used, given both models' classes (Fig. 4, Table 5).

    student and teacher [U, H, W], score [C]. Highly mismatched where the teacher's class has the
    greater score (Eq. 6), low mismatched where they differ and it has not.
    """
    consistent = student == teacher
    high = score[student] < score[teacher]
    return (
        (consistent & config.select_consistent)
        | (high & config.select_highly_mismatched)
        | (~consistent & ~high & config.select_low_mismatched)
    )


def weighted_cross_entropy(logits: Tensor, target: Target, kind: str) -> Tensor:
    """Return the cross-entropy of selected pixels weighted by confidence (Eq. 7 and 11).

    logits [U, C, H, W]. Over the number of "valid" pixels or the sum of the "weight"s, of all
    workers; zero, attached to the graph, where that is nothing.
    """
    losses = F.cross_entropy(full_precision(logits), target.label, reduction="none")
    weight = target.confidence.where(target.selected, 0.0)
    return over_count(
        (weight * losses).sum(), target.valid.sum() if kind == "valid" else weight.sum()
    )
