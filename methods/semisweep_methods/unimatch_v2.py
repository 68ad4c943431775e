"""UniMatch V2: an averaged teacher, and two strong views that drop complementary channels.

L. Yang, Z. Zhao, H. Zhao, "UniMatch V2: Pushing the Limit of Semi-Supervised Semantic
Segmentation", TPAMI 2025. What is new over UniMatch: image and feature perturbations are one stream
of two views, whose features share no channel, and the labels come from an average of the weights.

As in the release:
1. labelled images and strong views are two forward passes of the student in training mode, the weak
   images one of the teacher in evaluation mode;
2. taps of one width drop the same channels, and the same half of the images drops none, in both
   views;
3. an unlabelled term is a sum over confident pixels, over the number of all pixels that are no
   padding;
4. after a step the teacher follows, its batch statistics too.

Chosen by us:
5. which images drop nothing is drawn over the whole batch, not on each worker;
6. taps of different widths (those of DeepLabV3+) draw channels of their own;
7. the CutMix donor is the other image of a pair; the release reverses the batch, with which the
   middle image of an odd number is its own donor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, NetworkConfig, Progress, Update, config, setting
from semisweep.core.config import Fraction, replace
from semisweep.networks.network import Network
from semisweep.training import distributed
from semisweep.training.functional import (
    confident_cross_entropy,
    cutmix,
    draw,
    generator,
    moved,
    over_count,
    pseudo_label,
    supervised_loss,
)
from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum


def dinov2(size: str) -> NetworkConfig:
    """Return DINOv2 with DPT, as UniMatch V2's release has them; `size` is small, base or large."""
    return NetworkConfig(
        backbone=f"vit_{size}_patch14_dinov2.lvd142m",
        decoder="dpt",
        position_embeddings="dinov2",
        normalisation="backbone",
    )


@config
class UniMatchV2Config(MethodConfig):
    """UniMatch V2's settings."""

    network: NetworkConfig = setting(
        factory=lambda: dinov2("small"),
        paper="DINOv2-S or DINOv2-B + DPT",
        code="the same",
        why="the small one, with which SegKC compares",
    )
    threshold: Fraction = setting(0.95, symbol="tau", paper="0.95", code="0.95 on every data set")
    strong_views: Literal[1, 2] = setting(
        2, paper="2", code="2", why="one view that drops nothing is FixMatch with a teacher"
    )
    dropout: Literal["none", "independent", "complementary"] = setting(
        "complementary",
        off="none",
        paper="complementary channels in the two views",
        code="half of the channels x 2 in the first view, the others x 2 in the second",
    )
    undropped: Fraction = setting(
        0.5,
        code="half of the images drop no channel, in neither view",
        matters=lambda own: own.dropout != "none",
    )
    momentum: Fraction = setting(
        0.996,
        symbol="gamma",
        code="min(1 - 1 / (step + 1), 0.996), batch statistics too",
        why="the code's; zero makes the teacher the student itself",
    )
    evaluated: Literal["teacher", "student"] = setting(
        "teacher",
        code="both, each epoch",
        why="the published numbers are those of the teacher in the released logs",
    )


class UniMatchV2(Method):
    """A student and the average of its weights, which labels what the student sees."""

    Config = UniMatchV2Config
    name = "semisweep_methods.unimatch_v2:UniMatchV2"

    def __init__(self, config: UniMatchV2Config, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = config.strong_views
        self.network = config.network.build(classes, seed)
        self.teacher = frozen_copy(self.network)

    @classmethod
    def same_as(cls, config: UniMatchV2Config) -> tuple[type[Method], MethodConfig]:
        """Return "complementary" for "independent" where one view has nothing to complement."""
        if config.strong_views == 1 and config.dropout == "independent":
            return cls, replace(config, {"dropout": "complementary"})
        return cls, config

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the student."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update, (L_x + the mean of L_s over views) / 2; then the teacher follows."""
        labelled = self.network(batch.image).logits
        supervised = supervised_loss(self.config.supervised_loss, labelled, batch.label)
        del labelled  # nothing may hold on to logits while the gradient is made
        terms = {"supervised": supervised.detach()}
        yield Update("network", supervised / 2, terms, complete=False)
        strong, confident = self.consistency(
            batch, self.weak_logits(batch), self.strong_outputs(batch, progress)
        )
        yield Update("network", strong / 2, {"strong": strong.detach(), "confident": confident})
        follow(self.teacher, self.network, warm_momentum(self.config.momentum, progress.step))

    def weak_logits(self, batch: Batch) -> Tensor:
        """Return the teacher's logits [U, C, H, W] of the weak images."""
        with torch.no_grad(), evaluating(self.teacher):
            logits: Tensor = self.teacher(batch.weak).logits
        return logits

    def strong_outputs(self, batch: Batch, progress: Progress) -> Tensor:
        """Return the student's logits [V U, C, H, W] after CutMix, then channel dropout."""
        views = zip(batch.strong[: self.views], batch.cutmix[: self.views], strict=True)
        taps = self.network.encode(torch.cat([cutmix(view, mask) for view, mask in views]))
        if self.config.dropout != "none":
            taps = [self.drop(tap, progress) for tap in taps]
        logits: Tensor = self.network.decode(taps, batch.weak.shape[-2:]).logits
        return logits

    def drop(self, tap: Tensor, progress: Progress) -> Tensor:
        """Return a tap [V U, D, h, w] of the strong views with channels zeroed or doubled."""
        images, width = len(tap) // self.views, tap.shape[1]
        purposes = [("channel dropout", view, width) for view in range(self.views)]
        if self.config.dropout == "independent":
            kept = [draw(generator(progress, *own), images, width) >= 0.5 for own in purposes]
        else:
            first = draw(generator(progress, *purposes[0]), images, width) >= 0.5
            kept = [first, ~first][: self.views]
        whole = undropped_images(images, self.config.undropped, progress).unsqueeze(1)
        factors = torch.cat([torch.where(whole, 1.0, 2.0 * one) for one in kept]).to(tap.dtype)
        return tap * moved(factors, tap.device)[:, :, None, None]

    def consistency(self, batch: Batch, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of the views' confident cross-entropies, and the confident share."""
        label, confidence = pseudo_label(weak)
        confident = confidence >= self.config.threshold
        losses = [
            confident_cross_entropy(
                view, *(cutmix(part, mask) for part in (label, confident, batch.valid))
            )
            for view, mask in zip(
                torch.split(strong, len(batch.weak)), batch.cutmix[: self.views], strict=True
            )
        ]
        selected = (confident & batch.valid).sum()
        return torch.stack(losses).mean(), over_count(selected.float(), batch.valid.sum())

    def reported(self) -> Sequence[nn.Module]:
        """Return the network that is evaluated."""
        return [self.evaluated]

    @property
    def evaluated(self) -> Network:
        """The network whose predictions count."""
        return self.teacher if self.config.evaluated == "teacher" else self.network

    def predict(self, image: Tensor) -> Tensor:
        """Return the teacher's logits, or the student's where the configuration says so."""
        logits: Tensor = self.evaluated(image).logits
        return logits


def undropped_images(images: int, share: float, progress: Progress) -> Tensor:
    """Return which of this worker's images [U] drop nothing: a share of the whole batch's."""
    _, workers = distributed.world()
    total = images * workers
    order = torch.randperm(total, generator=generator(progress, "undropped images"))
    return order[distributed.own_rows(images)] < int(total * share)
