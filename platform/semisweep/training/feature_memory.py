"""Memories of features by class: what contrastive methods draw positives and negatives from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semisweep.training import distributed


class ClassMemory(nn.Module):
    """For each class, the newest `size` feature vectors of `width`; the oldest leave first.

    All state is in buffers: `rows` [C, S, D] and `pushed` [C], how many were ever pushed. The same
    on every worker as long as all push the same.
    """

    rows: Tensor
    pushed: Tensor

    def __init__(self, classes: int, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("rows", torch.zeros(classes, size, width))
        self.register_buffer("pushed", torch.zeros(classes, dtype=torch.long))

    def filled(self) -> Tensor:
        """Return where there is a vector, [C, S]."""
        count = self.pushed.clamp_max(self.size).unsqueeze(1)
        return torch.arange(self.size, device=count.device) < count

    @torch.no_grad()
    def push(self, feature: Tensor, present: Tensor) -> None:
        """Append the vectors [C, K, D] where present [C, K], in order; K is at most the size."""
        # Every candidate gets a place of its own, absent ones after the present; those places get
        # back what they held. So nothing waits for the device to count.
        rank = torch.where(
            present,
            present.cumsum(1) - 1,
            present.sum(1, keepdim=True) + (~present).cumsum(1) - 1,
        )
        place = (self.pushed.unsqueeze(1) + rank) % self.size
        index = place.unsqueeze(2).expand(-1, -1, self.rows.shape[2])
        kept = self.rows.gather(1, index)
        new = torch.where(present.unsqueeze(2), feature.to(self.rows.dtype), kept)
        self.rows.scatter_(1, index, new)
        self.pushed += present.sum(1)


@torch.no_grad()
def best_of_class(
    feature: Tensor, candidates: Tensor, priority: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return for each class the features of highest priority over all workers, and which exist.

    feature [M, D]; candidates [C, M], whether a row may be taken for a class; priority [M] or
    [C, M]. Returns [C, count, D], best first, and present [C, count]. The same on every worker, and
    whatever their number: every worker offers its own best, and the best of those are taken.
    """
    score = torch.where(candidates, priority, -torch.inf)
    lacking = count - score.shape[1]
    if lacking > 0:
        score = nn.functional.pad(score, (0, lacking), value=-torch.inf)
        feature = nn.functional.pad(feature, (0, 0, 0, lacking))
    score, index = score.topk(count, dim=1)
    offered = feature.detach()[index]  # [C, count, D]
    scores = distributed.from_all_workers(score).permute(1, 0, 2).flatten(1)  # [C, W count]
    offers = distributed.from_all_workers(offered).permute(1, 0, 2, 3).flatten(1, 2)
    score, index = scores.topk(count, dim=1)
    best = offers.gather(1, index.unsqueeze(2).expand(-1, -1, offers.shape[2]))
    return best, score > -torch.inf
