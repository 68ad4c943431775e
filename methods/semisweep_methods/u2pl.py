"""U2PL: every pixel teaches something, the unreliable ones what they surely are not.

Y. Wang, H. Wang, Y. Shen, J. Fei, W. Li, G. Jin, L. Wu, R. Zhao, X. Le, "Semi-Supervised Semantic
Segmentation Using Unreliable Pseudo-Labels", CVPR 2022. What is new: pixels of high entropy, which
give no pseudo-label, are pushed as negatives into the memories of classes far down in their ranking
of classes, and a contrastive loss draws on these memories.

As in the paper or its release:
1. the teacher, an average of the student, labels weak images in evaluation mode; entropies,
   rankings, centres and negatives come from its second forward pass, in training mode, on the very
   images that the student sees. Its batch statistics are those of that pass;
2. labelled and mixed images are one forward pass of each network;
3. the unlabelled term is the mean over reliable pixels, times one over their share (Eq. 7);
4. the teacher is evaluated.

Chosen by us, beside what `u2pl_contrast` says:
5. CutMix is the platform's, whose boxes come and go image by image; the release mixes half of the
   batches, with a box of half the image;
6. beside a network with another head than the release's "wide" one the representation head, 3x3
   convolution, batch norm, ReLU, 1x1 convolution, reads the decoder's fused map. The release's, two
   3x3 convolutions with dropout and a 1x1, reads the pyramid beside the low tap, at stride 4: so
   does ours where the network's head is "wide". There is no auxiliary head, which the release has
   on Cityscapes alone, with weight 0.4;
7. the share of reliable pixels is counted without padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from semisweep import Batch, Method, NetworkConfig, Progress, Update, config, setting
from semisweep.core.config import NonNegative, NonNegativeCount
from semisweep.networks.decoder import DeepLabV3Plus, convolution, wide_layers
from semisweep.networks.network import Network, seeded
from semisweep.training.distributed import sum_over_workers
from semisweep.training.functional import (
    cutmix,
    full_precision,
    over_count,
    pseudo_label,
    supervised_loss,
)
from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum
from semisweep_methods.u2pl_contrast import (
    Contrast,
    ContrastConfig,
    contrasts,
    labelled_cells,
    unlabelled_cells,
)
from semisweep_methods.u2pl_partition import partition


@config
class U2PLConfig(ContrastConfig):
    """U2PL's settings beside those of its partition and contrastive loss."""

    network: NetworkConfig = setting(
        factory=NetworkConfig,
        paper="DeepLabV3+, ResNet-101, output stride 8",
        code='head "wide", dilation "multi_grid", ceil_pooling',
        why="that of the compared methods; its rows in CSS's tables have the code's",
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.99, paper="0.99", code="min(1 - 1 / (t + 1), 0.99)"
    )
    unlabelled_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="unlabelled",
        paper="one over the reliable share (Eq. 7)",
        code="1, times that",
        why="times that",
    )
    cutmix: bool = setting(
        True,
        off=False,
        needs=("unlabelled",),
        paper="CutMix",
        code="CutMix",
        matters=lambda own: own.partitions,
    )
    supervised_epochs: NonNegativeCount = setting(
        1,
        code="1 on Pascal, 0 on Cityscapes",
        why="Pascal's, and the study of Cityscapes has 0; at most one less than there are epochs",
        matters=lambda own: own.partitions,
    )

    @property
    def partitions(self) -> bool:
        """Whether unlabelled images are looked at."""
        return contrasts(self) or self.unlabelled_weight > 0


class Mixed(NamedTuple):
    """The unlabelled images that both networks see."""

    image: Tensor  # [U, 3, H, W]
    label: Tensor  # [U, H, W]
    valid: Tensor  # [U, H, W]


class U2PL(Method):
    """A student, and its average as a teacher."""

    Config: ClassVar[type[U2PLConfig]] = U2PLConfig
    name = "semisweep_methods.u2pl:U2PL"

    def __init__(self, config: U2PLConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = int(config.partitions and config.cutmix)
        width = config.representation_channels if contrasts(config) else None
        self.student = Represented(config.network.build(classes, seed), width, seed)
        self.teacher = frozen_copy(self.student)
        self.contrast = Contrast(config, classes) if contrasts(config) else None

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the student."""
        return {"student": [self.student]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L_s + L_u + lambda_c L_c (Eq. 1); then the teacher follows."""
        own: U2PLConfig = self.config
        first = min(own.supervised_epochs, progress.total_epochs - 1)
        if progress.epoch < first or not own.partitions:
            logits, _ = self.student(batch.image)
            loss = supervised_loss(own.supervised_loss, logits, batch.label)
            yield Update("student", loss, {"supervised": loss.detach()})
            # The teacher of nobody is the student; where it never teaches, it is an average.
            momentum = 0.0 if own.partitions else warm_momentum(own.momentum, progress.step)
            follow(self.teacher, self.student, momentum)
            return
        loss, terms = self.outputs(batch, progress)
        yield Update("student", loss, terms)
        momentum = warm_momentum(own.momentum, progress.step)
        follow(self.teacher, self.student, momentum, buffers="own")

    def outputs(self, batch: Batch, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of labelled and unlabelled images, and its terms."""
        own: U2PLConfig = self.config
        count = len(batch.image)
        mixed = self.mix(batch)
        images = torch.cat([batch.image, mixed.image])
        logits, feature = self.student(images)
        with torch.no_grad():
            judged, expected = self.teacher(images)
        parts = partition(judged[count:], mixed.valid, own, progress)
        loss = supervised_loss(own.supervised_loss, logits[:count], batch.label)
        terms = {"supervised": loss.detach()}
        terms["reliable"] = over_count(parts.reliable.sum().float(), mixed.valid.sum())
        if own.unlabelled_weight > 0:
            term = reliable_cross_entropy(logits[count:], mixed.label, parts.reliable, mixed.valid)
            terms["unlabelled"] = term.detach()
            loss = loss + own.unlabelled_weight * term
        if self.contrast is not None:
            blocks = [
                [
                    labelled_cells(one[:count], judged[:count], batch.label),
                    unlabelled_cells(one[count:], judged[count:], mixed.label, parts, own),
                ]
                for one in (feature, expected)
            ]
            term = self.contrast(*blocks, progress)
            terms["contrast"] = term.detach()
            loss = loss + own.contrast_weight * term
        return loss, terms

    @torch.no_grad()
    def mix(self, batch: Batch) -> Mixed:
        """Return the weak images and the teacher's labels for them, mixed where CutMix is on."""
        with evaluating(self.teacher):
            label, _ = pseudo_label(self.teacher(batch.weak)[0])
        if not self.config.cutmix:
            return Mixed(batch.weak, label, batch.valid)
        mask = batch.cutmix[0]
        return Mixed(*(cutmix(part, mask) for part in (batch.weak, label, batch.valid)))

    def reported(self) -> Sequence[nn.Module]:
        """Return the teacher's network."""
        return [self.teacher.network]

    def predict(self, image: Tensor) -> Tensor:
        """Return the teacher's logits."""
        logits: Tensor = self.teacher.network(image).logits
        return logits


class Represented(nn.Module):
    """A network, and a head that makes representations of its fused map."""

    def __init__(self, network: Network, width: int | None, seed: int) -> None:
        super().__init__()
        self.network = network
        self.head = None if width is None else representation_head(network, width, seed)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, C, H, W] and representations [B, D, h, w] of images [B, 3, H, W]."""
        logits, fused = self.network(image)
        return logits, fused if self.head is None else self.head(fused)


def representation_head(network: Network, width: int, seed: int) -> nn.Sequential:
    """Return a head from the fused map to `width` channels, started from a seed of its own."""
    decoder = network.decoder
    channels, inputs = decoder.classifier.in_channels, decoder.fused_channels
    with seeded(seed, "representation"):
        if isinstance(decoder, DeepLabV3Plus) and decoder.head == "wide":
            layers = wide_layers(inputs, channels)
        else:
            layers = convolution(inputs, channels, 3)
        return nn.Sequential(layers, nn.Conv2d(channels, width, 1))


def reliable_cross_entropy(
    logits: Tensor, label: Tensor, reliable: Tensor, valid: Tensor
) -> Tensor:
    """Return the mean over reliable pixels, over the share of reliable ones (Eqs. 3 and 7).

    logits [U, C, H, W]; label, reliable and valid [U, H, W]; reliable pixels are valid. Zero,
    attached to the graph, where there is none.
    """
    losses = nn.functional.cross_entropy(full_precision(logits), label, reduction="none")
    mean = over_count(losses.where(reliable, 0.0).sum(), reliable.sum())
    kept, all_valid = (sum_over_workers(part.sum()) for part in (reliable, valid))
    return mean * (all_valid / kept.clamp_min(1))
