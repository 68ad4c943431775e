"""FixMatch: confident predictions on weak views are labels for strong ones.

K. Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
NeurIPS 2020, for segmentation as the UniMatch family has it. What is new: pseudo-labels from a
weakly augmented image, kept where they are confident, for a strongly augmented one.

As in the UniMatch release's own FixMatch:
1. labelled and weak unlabelled images go through one forward pass in training mode, the strong view
   through another; CutMix is part of the strong view;
2. the unlabelled term is a sum over confident pixels, over the number of all that are no padding;
3. the loss is (L_s + lambda_u L_u) / 2. The paper has no half: under SGD it halves the learning
   rate, at twice the weight decay in relation to it. All tables on segmentation have the half.

With that half every trial is UniMatch's with one strong view, of weight lambda_u, and no feature
term: it gets that trial's key. `step` says the same in FixMatch's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, NetworkConfig, Progress, Update, config, setting
from semisweep.core.config import Fraction, NonNegative
from semisweep.training.functional import (
    confident_cross_entropy,
    cutmix,
    over_count,
    pseudo_label,
    supervised_loss,
)
from semisweep_methods.unimatch import UniMatch, UniMatchConfig


@config
class FixMatchConfig(MethodConfig):
    """FixMatch's settings; the defaults are those for Pascal VOC."""

    network: NetworkConfig = setting(
        factory=NetworkConfig, why="the network of the compared methods"
    )
    threshold: Fraction = setting(
        0.95,
        symbol="tau",
        paper="0.95",
        code="0.95 on Pascal, 0 on Cityscapes (UniMatch's release)",
        matters=lambda own: own.consistency_weight > 0,
    )
    consistency_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="consistency",
        symbol="lambda_u",
        paper="1",
        code="1 (UniMatch's release)",
    )


class FixMatch(Method):
    """One network that is its own teacher."""

    Config: ClassVar[type[FixMatchConfig]] = FixMatchConfig
    name = "semisweep_methods.fixmatch:FixMatch"

    def __init__(self, config: FixMatchConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = int(config.consistency_weight > 0)
        self.network = config.network.build(classes, seed)

    @classmethod
    def same_as(cls, config: FixMatchConfig) -> tuple[type[Method], MethodConfig]:
        """Return UniMatch with one strong view and without perturbed features."""
        return UniMatch, UniMatchConfig(
            supervised_loss=config.supervised_loss,
            network=config.network,
            threshold=config.threshold,
            strong_views=1,
            view_weight=config.consistency_weight,
            feature_weight=0.0,
        )

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the network."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: half of L_s, and half of lambda_u L_u (Eqs. 3 and 4)."""
        own: FixMatchConfig = self.config
        logits = self.network(torch.cat([batch.image, batch.weak])).logits
        labelled, weak = logits[: len(batch.image)], logits[len(batch.image) :]
        loss = supervised_loss(own.supervised_loss, labelled, batch.label)
        label, confidence = pseudo_label(weak)
        del logits, labelled, weak  # nothing may hold on to them while the gradient is made
        confident = confidence >= own.threshold
        selected = (confident & batch.valid).sum()
        terms = {
            "supervised": loss.detach(),
            "confident": over_count(selected.float(), batch.valid.sum()),
        }
        yield Update("network", loss / 2, terms, complete=not self.views)
        if self.views:
            mask = batch.cutmix[0]
            strong = self.network(cutmix(batch.strong[0], mask)).logits
            targets = (cutmix(part, mask) for part in (label, confident, batch.valid))
            term = confident_cross_entropy(strong, *targets)
            del strong
            yield Update("network", own.consistency_weight * term / 2, {"strong": term.detach()})

    def predict(self, image: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.network(image).logits
        return logits
