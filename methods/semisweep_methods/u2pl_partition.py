"""U2PL's partition: which unlabelled pixels have reliable pseudo-labels, by their entropy.

Y. Wang et al., "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels", CVPR 2022,
Sec. 3.2. The share alpha_t of the most uncertain pixels is unreliable; it shrinks to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from semisweep import MethodConfig, Progress, config, setting
from semisweep.core.config import Fraction
from semisweep.training.distributed import from_all_workers, sum_over_workers
from semisweep.training.functional import full_precision, moved


@config
class PartitionConfig(MethodConfig):
    """The settings of the partition."""

    unreliable_share: Fraction = setting(
        0.2, symbol="alpha_0", paper="20 %", code="20 %", matters=lambda own: own.partitions
    )
    dynamic_partition: bool = setting(
        True,
        symbol="alpha_t",
        paper="linear in epochs, to zero at the end (Eq. 8)",
        code="linear in epochs",
        why="linear in iterations: the same line without stairs; false keeps alpha_0",
        matters=lambda own: own.partitions,
    )

    @property
    def partitions(self) -> bool:
        """Whether pixels are told apart by their entropy."""
        return True


class Partition(NamedTuple):
    """The kinds of unlabelled pixels; all [U, H, W]."""

    valid: Tensor  # no padding
    reliable: Tensor  # entropy below gamma_t, the percentile 1 - alpha_t
    surest: Tensor  # entropy up to the percentile alpha_t


@torch.no_grad()
def partition(logits: Tensor, valid: Tensor, own: PartitionConfig, progress: Progress) -> Partition:
    """Return which pixels are reliable and which are surest (Eqs. 5, 6 and 8).

    logits [U, C, H, W], valid [U, H, W]. The percentiles are those of all workers' valid pixels;
    what is not valid is neither.
    """
    gone = progress.step / progress.total_steps if own.dynamic_partition else 0.0
    share = own.unreliable_share * (1 - gone)  # alpha_t
    entropy = pixel_entropy(logits)
    limit, low = percentiles(entropy, valid, (1 - share, share)).unbind()
    return Partition(valid, valid & (entropy < limit), valid & (entropy <= low))


def pixel_entropy(logits: Tensor) -> Tensor:
    """Return the entropy [U, H, W] of the classes of each pixel, logits [U, C, H, W] (Eq. 5)."""
    log = full_precision(logits).log_softmax(dim=1)
    return -(log.exp() * log).sum(dim=1)


def percentiles(values: Tensor, counted: Tensor, shares: Sequence[float]) -> Tensor:
    """Return the percentiles, shares in 0 to 1, of the counted values of all workers [len(shares)].

    Interpolated between neighbours, as NumPy does. Where nothing is counted, the largest number.
    """
    largest = torch.finfo(values.dtype).max
    everyone = from_all_workers(values.where(counted, largest)).flatten().sort().values
    last = (sum_over_workers(counted.sum()) - 1).clamp_min(0).double()
    position = last * moved(torch.tensor(shares, dtype=torch.float64), last.device)
    low, high = (
        everyone.index_select(0, end.long()) for end in (position.floor(), position.ceil())
    )
    return low + (position - position.floor()).to(low.dtype) * (high - low)
