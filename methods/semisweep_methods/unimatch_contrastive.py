"""UniMatch with U2PL's contrastive loss: the row "Contrastive" of RankMatch's Table 4.

H. Mai, R. Sun, T. Zhang, F. Wu, "RankMatch: Exploring the Better Consistency Regularization for
Semi-supervised Semantic Segmentation", CVPR 2024, reproduce U2PL's loss "based on our baseline
(i.e., UniMatch)" and say no more; their release does not hold it.

Chosen by us:
1. the teacher is the network itself, as everywhere in UniMatch and RankMatch: centres and negatives
   come from labelled and weak images, without gradient, anchors from labelled images and strong
   views;
2. entropies and rankings are those of the weak view; an anchor's follow CutMix like its label does;
3. the pseudo-labels of the loss are all, told apart by entropy as in U2PL, not by UniMatch's
   confidence;
4. lambda_c stands beside the other weights, inside UniMatch's half, so that its proportion to the
   supervised loss is U2PL's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, Progress, Update, config
from semisweep.core.config import common
from semisweep.networks.network import Output
from semisweep.training.functional import cutmix, pseudo_label
from semisweep_methods.u2pl import representation_head
from semisweep_methods.u2pl_contrast import (
    Cells,
    Contrast,
    ContrastConfig,
    contrasts,
    labelled_cells,
    unlabelled_cells,
)
from semisweep_methods.u2pl_partition import Partition, partition
from semisweep_methods.unimatch import Outputs, UniMatch, UniMatchConfig


@config
class UniMatchContrastiveConfig(UniMatchConfig, ContrastConfig):
    """UniMatch's settings and those of the contrastive loss."""

    @property
    def uses_strong_views(self) -> bool:
        """Whether any loss looks at the strong views."""
        return self.view_weight > 0 or contrasts(self)


class UniMatchContrastive(UniMatch):
    """UniMatch with one more term and a head for it."""

    Config = UniMatchContrastiveConfig
    name = "semisweep_methods.unimatch_contrastive:UniMatchContrastive"

    def __init__(self, config: UniMatchContrastiveConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.head: nn.Module | None = None
        self.contrast: Contrast | None = None
        if contrasts(config):
            width = config.representation_channels
            self.head = representation_head(self.network, width, seed)
            self.contrast = Contrast(config, classes)

    @classmethod
    def same_as(cls, config: UniMatchContrastiveConfig) -> tuple[type[Method], MethodConfig]:
        """Return UniMatch where the contrastive loss has no weight."""
        if contrasts(config):
            return cls, config
        return UniMatch, common(UniMatchConfig, config)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the network and its head."""
        return {"network": [self.network] if self.head is None else [self.network, self.head]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: half of UniMatch's sum and lambda_c L_c, which needs both passes."""
        if self.contrast is None:
            yield from super().step(batch, progress)
            return
        seen, strong = self.outputs(batch, progress), self.strong_outputs(batch)
        opinion = self.opinion(seen)
        loss, terms = self.clean_loss(batch, seen, opinion)
        if self.config.view_weight > 0:
            more, strong_terms = self.strong_loss(batch, opinion, strong, progress)
            loss, terms = loss + more, terms | strong_terms
        term = self.contrastive_term(self.contrast, batch, seen, strong, progress)
        terms["contrast"] = term.detach()
        yield Update("network", loss + self.config.contrast_weight * term / 2, terms)

    def contrastive_term(
        self, contrast: Contrast, batch: Batch, seen: Outputs, strong: Output, progress: Progress
    ) -> Tensor:
        """Return L_c (Eq. 4 of U2PL) of labelled images and strong views."""
        assert self.head is not None
        own: UniMatchContrastiveConfig = self.config
        features = self.head(torch.cat([seen.labelled.fused, seen.weak.fused.detach()]))
        labelled, weak = torch.split(features, [len(batch.image), len(batch.weak)])
        truth = labelled_cells(labelled, seen.labelled.logits, batch.label)
        logits, weak = seen.weak.logits.detach(), weak.detach()
        label, _ = pseudo_label(logits)
        parts = partition(logits, batch.valid, own, progress)
        views: list[Cells] = []
        features = self.head(strong.fused).chunk(self.views)
        for feature, mask in zip(features, self.masks(batch), strict=True):
            mixed = Partition(*(cutmix(part, mask) for part in parts))
            opinion, target = cutmix(logits, mask), cutmix(label, mask)
            views.append(unlabelled_cells(feature, opinion, target, mixed, own))
        teacher = [truth, unlabelled_cells(weak, logits, label, parts, own)]
        loss: Tensor = contrast([truth, *views], teacher, progress)
        return loss
