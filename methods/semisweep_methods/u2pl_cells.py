"""U2PL's cells: which places of feature maps may be anchors, and negatives of which classes.

Y. Wang et al., "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels", CVPR 2022,
Sec. 3.3, Eqs. 9, 10 and 13 to 15. The rows of a batch are called cells: the places [n, h, w] of
feature maps. C classes, ranked for each cell by the teacher's logits, the likeliest first.

Chosen by us:
1. in data sets of few classes the window of ranks ends at the last class and holds at least that
   one;
2. labels, entropies and probabilities of a cell are those of the nearest pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semisweep.functional import IGNORE, full_precision
from semisweep_methods.u2pl_partition import Partition

if TYPE_CHECKING:
    from semisweep_methods.u2pl_contrast import ContrastConfig


class Cells(NamedTuple):
    """Some images as the loss sees them: one network's features, the teacher's opinions."""

    feature: Tensor  # [n, D, h, w]
    logits: Tensor  # [n, C, h, w]
    label: Tensor  # [n, h, w]     the truth or a pseudo-label, 255 = none
    anchor: Tensor  # [n, h, w]    may be anchors and parts of a centre
    negative: Tensor  # [n, h, w]  may be negatives
    labelled: bool


def rows(values: Tensor) -> Tensor:
    """Return maps [n, D, h, w] as rows [n h w, D], in full precision."""
    return full_precision(values).permute(0, 2, 3, 1).flatten(0, 2)


@torch.no_grad()
def anchor_candidates(cells: Cells, own: ContrastConfig) -> Tensor:
    """Return [C, n h w]: of that class, anchor-worthy, and likelier than delta_p (Eqs. 9, 10)."""
    probability = rows(cells.logits).softmax(dim=1)
    label = cells.label.flatten()
    worthy = cells.anchor.flatten().unsqueeze(1) & (probability > own.anchor_probability)
    classes = torch.arange(probability.shape[1], device=label.device)
    return ((label.unsqueeze(1) == classes) & worthy).T


@torch.no_grad()
def negative_candidates(cells: Cells, own: ContrastConfig) -> Tensor:
    """Return [C, n h w]: where a cell is a negative of that class (Eqs. 13 to 15).

    A labelled cell, of the classes among its r_l likeliest that are not its own; an unlabelled one,
    of the classes of ranks r_l to r_h, the latter excluded.
    """
    logits = rows(cells.logits)
    classes = logits.shape[1]
    first, end = min(own.nearest_rank, classes - 1), min(own.farthest_rank, classes)
    rank = logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    label = cells.label.flatten().unsqueeze(1)
    if cells.labelled:
        other = label != torch.arange(classes, device=label.device)
        window = (rank < first) & other & (label != IGNORE)
    else:
        window = (rank >= first) & (rank < end)
    return (window & cells.negative.flatten().unsqueeze(1)).T


def labelled_cells(feature: Tensor, logits: Tensor, label: Tensor) -> Cells:
    """Return labelled images as cells: feature [n, D, h, w], logits [n, C, H, W], label [n, H, W].

    The logits are the teacher's; every cell that is not 255 may be an anchor and a negative.
    """
    known = label != IGNORE
    return _cells(feature, logits, label, known, known, labelled=True)


def unlabelled_cells(
    feature: Tensor, logits: Tensor, label: Tensor, parts: Partition, own: ContrastConfig
) -> Cells:
    """Return unlabelled images as cells: as above, with the partition's maps [n, H, W].

    The partition and the two settings that name its parts say what may be anchor and negative.
    """
    anchor = parts.reliable if own.anchor_pixels == "reliable" else parts.surest
    negative = {
        "unreliable": parts.valid & ~parts.reliable,
        "reliable": parts.reliable,
        "all": parts.valid,
    }[own.negative_pixels]
    return _cells(feature, logits, label, anchor, negative, labelled=False)


def _cells(
    feature: Tensor, logits: Tensor, label: Tensor, anchor: Tensor, negative: Tensor, labelled: bool
) -> Cells:
    size = feature.shape[-2:]
    small = [F.interpolate(part.unsqueeze(1).float(), size) for part in (label, anchor, negative)]
    label, anchor, negative = (part.squeeze(1) for part in small)
    logits = F.interpolate(logits.detach(), size)
    return Cells(feature, logits, label.long(), anchor.bool(), negative.bool(), labelled)
