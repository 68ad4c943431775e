"""SegKC's knowledge consultation: what the senior reads of the junior, and gives back to it.

T. Than, N.-A. Nguyen-Dang, D. Nguyen et al., "Knowledge Consultation for Semi-Supervised Semantic
Segmentation" (SegKC): the junior's features enter the senior before its classifier (Sec. 3.3), and
the senior's softened distribution is distilled into the junior (Eqs. 7 to 9). B or N images, D
channels of a tap of size h x w.

Chosen by us, where the paper is silent:
1. features are consulted at every tap that the decoder reads, brought to the senior's size, by a
   1x1 convolution that starts as nothing, so that training starts from the plain senior;
2. distillation compares both networks on the same images, is a mean over pixels, and is not
   multiplied by the squared temperature: Eqs. 9 and 10 are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from semisweep.decoder import resized
from semisweep.functional import full_precision, over_count
from semisweep.network import Network


class Consultation(nn.Module):
    """A 1x1 convolution per tap that brings the junior's features into the senior's.

    It starts as nothing: the sum adds zero, the concatenation keeps the senior's part as it is.
    """

    def __init__(self, senior: Network, junior: Network, *, concat: bool) -> None:
        super().__init__()
        self.concat = concat
        widths = (cast(Sequence[int], own.encoder.widths) for own in (senior, junior))
        self.project = nn.ModuleList()
        for own, other in zip(*widths, strict=True):
            layer = nn.Conv2d(other + own if concat else other, own, 1)
            (nn.init.dirac_ if concat else nn.init.zeros_)(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))
            self.project.append(layer)

    def forward(self, taps: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
        """Return the senior's taps [B, D, h, w], now with what the junior's taps say."""
        joined = []
        for tap, other, project in zip(taps, others, self.project, strict=True):
            raised = resized(other, tap.shape[-2:])
            joined.append(
                project(torch.cat([tap, raised], dim=1)) if self.concat else tap + project(raised)
            )
        return joined


def distillation(senior: Tensor, junior: Tensor, temperature: float, known: Tensor) -> Tensor:
    """Return the mean over known pixels of KL(senior || junior) after softening (Eqs. 7 to 9).

    Logits [N, C, H, W], known [N, H, W]. Zero, attached to the graph, where nothing is known.
    """
    expected = (full_precision(senior) / temperature).log_softmax(dim=1)
    found = (full_precision(junior) / temperature).log_softmax(dim=1)
    divergence = (expected.exp() * (expected - found)).sum(dim=1)
    return over_count(divergence.where(known, 0.0).sum(), known.sum())
