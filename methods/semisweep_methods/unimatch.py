"""UniMatch (V1): weak-to-strong consistency of two strong views and of perturbed features.

L. Yang, L. Qi, L. Feng, W. Zhang, Y. Shi, "Revisiting Weak-to-Strong Consistency in Semi-Supervised
Semantic Segmentation", CVPR 2023. What is new: one weak view teaches two strong views and a
feature-perturbed copy of itself, at once.

As in the paper or its release:
1. labelled and weak unlabelled images go through one forward pass in training mode, the strong
   views through another, so batch statistics are those of the release;
2. clean and perturbed features go through the decoder together;
3. an unlabelled term is a sum over confident pixels, over the number of all pixels that are no
   padding.

Chosen by us:
4. the CutMix donor is another image of the batch, and its label is its own weak prediction, made in
   the same forward pass. The release predicts donors in evaluation mode in a pass of their own,
   from what turned out to be another view of the very same image;
5. only unlabelled features are perturbed: the release perturbs the labelled ones too and leaves
   what comes of it unused;
6. a term of weight zero is not computed at all, so that a switched-off view costs no time and
   touches no batch statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    NetworkConfig,
    Progress,
    PseudoLabel,
    Switch,
    Update,
    config,
    setting,
)
from semisweep.core.config import Fraction, NonNegative
from semisweep.networks.network import Output
from semisweep.training.functional import (
    channel_dropout,
    confident_cross_entropy,
    cutmix,
    generator,
    over_count,
    pseudo_label,
    supervised_loss,
)


@config
class UniMatchConfig(MethodConfig):
    """UniMatch's settings; the defaults are those for Pascal VOC."""

    switches = (
        Switch(
            name="second_view",
            off={"strong_views": 1, "view_weight": 0.5},
            needs=("views",),
            label="second view",
        ),
    )

    network: NetworkConfig = setting(factory=NetworkConfig, paper="DeepLabV3+, ResNet-50 or 101")
    threshold: Fraction = setting(
        0.95,
        symbol="tau",
        paper="0.95 on Pascal; on Cityscapes 0.95 in the first version, 0 in the last",
        code="0.95 on Pascal, 0 on Cityscapes",
        why="Pascal's",
        matters=lambda own: own.view_weight > 0 or own.feature_weight > 0,
    )
    strong_views: Literal[1, 2] = setting(
        2, paper="2", code="2", matters=lambda own: own.uses_strong_views
    )
    view_weight: NonNegative = setting(
        0.25,
        off=0.0,
        switch="views",
        symbol="mu / 2",
        paper="0.5 over both views",
        code="0.25 for each view",
        why="of each view; one view of weight 1 and no feature term is FixMatch",
    )
    feature_weight: NonNegative = setting(
        0.5,
        off=0.0,
        switch="features",
        symbol="lambda",
        paper="0.5",
        code="0.5",
        why="zero switches the perturbation off",
    )
    feature_dropout: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.5,
        paper="channel dropout, 0.5",
        code="0.5, on every tap of the encoder",
        matters=lambda own: own.feature_weight > 0,
    )

    @property
    def uses_strong_views(self) -> bool:
        """Whether any loss looks at the strong views."""
        return self.view_weight > 0


class Outputs(NamedTuple):
    """What the network made of a batch but for its strong views; what is switched off is empty."""

    labelled: Output  # [B, ...]
    weak: Output  # [U, ...]
    perturbed: Tensor  # [U, C, H, W]  logits


class Opinion(NamedTuple):
    """What the weak view teaches, without gradient."""

    label: Tensor  # [U, H, W]      class index
    confident: Tensor  # [U, H, W]  whether the class is likely enough to count
    fused: Tensor  # [U, D, h, w]   features; empty where nothing is to be compared with them


class UniMatch(Method):
    """One network that is its own teacher."""

    Config: ClassVar[type[UniMatchConfig]] = UniMatchConfig
    name = "semisweep_methods.unimatch:UniMatch"

    def __init__(self, config: UniMatchConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = config.strong_views if config.uses_strong_views else 0
        self.network = config.network.build(classes, seed)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the network."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update, L_x + the unlabelled terms by their weights, halved.

        Its parts are the two forward passes: the memory of one is free before the other begins.
        """
        seen = self.outputs(batch, progress)
        opinion = self.opinion(seen)
        loss, terms = self.clean_loss(batch, seen, opinion)
        del seen  # nothing may hold on to logits while the gradient is made
        yield Update("network", loss, terms, complete=not self.views)
        if self.views:
            strong = self.strong_outputs(batch)
            loss, terms = self.strong_loss(batch, opinion, strong, progress)
            del strong
            yield Update("network", loss, terms)

    def outputs(self, batch: Batch, progress: Progress) -> Outputs:
        """Return what the network sees of labelled and weak images, in one pass."""
        size = batch.weak.shape[-2:]
        rows = [len(batch.image), len(batch.weak), 0]
        taps = self.network.encode(torch.cat([batch.image, batch.weak]))
        if self.config.feature_weight > 0:
            rows[2] = len(batch.weak)
            taps = [
                torch.cat([tap, self.perturb(tap[rows[0] :], progress, level)])
                for level, tap in enumerate(taps)
            ]
        labelled, weak, perturbed = (
            Output(*parts)
            for parts in zip(
                *(torch.split(part, rows) for part in self.network.decode(taps, size)), strict=True
            )
        )
        return Outputs(labelled, weak, perturbed.logits)

    def strong_outputs(self, batch: Batch) -> Output:
        """Return what the network sees of the strong views, [V U, ...], view after view."""
        views = zip(batch.strong[: self.views], self.masks(batch), strict=True)
        seen: Output = self.network(torch.cat([cutmix(view, mask) for view, mask in views]))
        return seen

    def masks(self, batch: Batch) -> Tensor:
        """Return where the strong views in use [V, U, H, W] show their donors."""
        return batch.cutmix[: self.views]

    def perturb(self, tap: Tensor, progress: Progress, level: int) -> Tensor:
        """Return one tap of the weak images with half of each image's channels dropped."""
        return channel_dropout(
            tap, self.config.feature_dropout, generator(progress, "feature dropout", level)
        )

    def opinion(self, seen: Outputs) -> Opinion:
        """Return what the weak view teaches."""
        label, confidence = pseudo_label(seen.weak.logits)
        return Opinion(label, confidence >= self.config.threshold, label.new_empty(0))

    def clean_loss(
        self, batch: Batch, seen: Outputs, opinion: Opinion
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return half of L_x and of the perturbed features' term, and the terms."""
        own: UniMatchConfig = self.config
        loss = supervised_loss(own.supervised_loss, seen.labelled.logits, batch.label)
        selected = (opinion.confident & batch.valid).sum()
        terms = {
            "supervised": loss.detach(),
            "confident": over_count(selected.float(), batch.valid.sum()),
        }
        if own.feature_weight > 0:
            perturbed = confident_cross_entropy(
                seen.perturbed, opinion.label, opinion.confident, batch.valid
            )
            loss = loss + own.feature_weight * perturbed
            terms["perturbed"] = perturbed.detach()
        return loss / 2, terms

    def strong_loss(
        self, batch: Batch, opinion: Opinion, strong: Output, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return half of the strong views' terms by their weight, and the mean of the terms."""
        targets = (opinion.label, opinion.confident, batch.valid)
        views = zip(torch.split(strong.logits, len(batch.weak)), self.masks(batch), strict=True)
        losses = [
            confident_cross_entropy(view, *(cutmix(part, mask) for part in targets))
            for view, mask in views
        ]
        loss = torch.stack(losses).sum()
        return self.config.view_weight * loss / 2, {"strong": loss.detach() / self.views}

    def reported(self) -> Sequence[nn.Module]:
        """Return the network."""
        return [self.network]

    def predict(self, image: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.network(image).logits
        return logits

    def pseudo_labels(self, image: Tensor) -> Mapping[str, PseudoLabel]:
        """Return the labels of the weak view, used where they are confident."""
        label, confidence = pseudo_label(self.predict(image))
        return {"weak": PseudoLabel(label, confidence >= self.config.threshold)}

    def label_confidence(self, image: Tensor) -> Mapping[str, Tensor]:
        """Return the probability that the threshold is compared with."""
        return {"weak": pseudo_label(self.predict(image))[1]}
