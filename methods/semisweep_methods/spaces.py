"""The two spaces of CSS: logits and representations, the heads that lead there, and prototypes.

C. Wang et al., "Space Engage: Collaborative Space Supervision for Contrastive-based Semi-Supervised
Semantic Segmentation", ICCV 2023, Eqs. 2, 3 and 5. N images, M pixels as rows, h x w the size of a
representation map.

As in paper or release:
1. a representation is as large as the shallow tap of DeepLabV3+, which the head reads beside the
   pyramid, as the network's plain head does; labels reach that size by their nearest pixel.

Chosen by us:
2. beside a refined head of the network, which the release has not, the head has a projection of
   the shallow tap of its own, of 48 channels; on DPT it reads the fused map;
3. similarities are brought to the size of the image before the softmax;
4. a class without a prototype is not predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from semisweep.networks.decoder import LOW_LEVEL_CHANNELS, DeepLabV3Plus, convolution, resized
from semisweep.networks.network import Network
from semisweep.training.distributed import sum_over_workers
from semisweep.training.functional import full_precision
from semisweep.training.precision import without_autocast


class SpaceOutput(NamedTuple):
    """What is seen of images in both spaces."""

    logits: Tensor  # [N, C, H, W]
    representation: Tensor  # [N, D, h, w]  without channels where there is no head


class TwoSpaces(nn.Module):
    """An encoder f with a segmentation head g and, where it is given, a representation head h."""

    def __init__(self, network: Network, head: RepresentationHead | None) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, image: Tensor) -> SpaceOutput:
        """Return logits [N, C, H, W] and representations [N, D, h, w]."""
        taps = self.network.encode(image)
        logits, fused = self.network.decode(taps, image.shape[-2:])
        return SpaceOutput(logits, fused[:, :0] if self.head is None else self.head(taps, fused))


class RepresentationHead(nn.Module):
    """Convolution, batch norm, ReLU, convolution over what the decoder's last layers read.

    For DeepLabV3+ that is the raised pyramid beside the narrowed shallow tap, at the size of that
    tap: what a plain head reads, or beside a refined one a narrow copy of its own; for DPT the
    fused map.
    """

    def __init__(self, network: Network, channels: int) -> None:
        super().__init__()
        self.low_level: nn.Module | None = None
        width, inputs = network.decoder.classifier.in_channels, network.decoder.fused_channels
        if isinstance(network.decoder, DeepLabV3Plus) and not network.decoder.returns_joint:
            widths: Sequence[int] = network.encoder.widths  # type: ignore[assignment]
            self.low_level = convolution(widths[0], LOW_LEVEL_CHANNELS, 1)
            inputs = width + LOW_LEVEL_CHANNELS
        self.hidden = convolution(inputs, width, 3)
        self.project = nn.Conv2d(width, channels, 1)

    def forward(self, taps: Sequence[Tensor], fused: Tensor) -> Tensor:
        """Return representations [N, channels, h, w]."""
        if self.low_level is not None:
            raised = resized(fused, taps[0].shape[-2:])
            fused = torch.cat([raised, self.low_level(taps[0])], dim=1)
        return self.project(self.hidden(fused))  # type: ignore[no-any-return]


class Prototypes(nn.Module):
    """For each class the moving average of its mean representation, the same on every worker.

    `start`: an average begins with "zero" or, whole, with the "first_mean".
    """

    centre: Tensor  # [C, D]  zero until a pixel of the class is met

    def __init__(self, classes: int, channels: int, momentum: float, start: str = "zero") -> None:
        super().__init__()
        self.momentum = momentum
        self.start = start
        self.register_buffer("centre", torch.zeros(classes, channels))

    def met(self) -> Tensor:
        """Return which classes have a prototype, [C]."""
        return self.centre.any(dim=1)

    def forward(self, representation: Tensor, temperature: float, size: Sequence[int]) -> Tensor:
        """Return the softmax over classes of cosine similarity over temperature, [N, C, *size].

        Eq. 5, for representations [N, D, h, w]. A class without a prototype has no share; all
        shares are zero where there is no prototype at all.
        """
        unit = functional.normalize(full_precision(representation), dim=1)
        centre = functional.normalize(self.centre, dim=1)[:, :, None, None]
        with without_autocast(unit):
            scores = resized(functional.conv2d(unit, centre), size) / temperature
        return scores.masked_fill(~self.met()[:, None, None], -torch.inf).softmax(1).nan_to_num(0.0)

    @torch.no_grad()
    def move(self, seen: SpaceOutput, label: Tensor) -> None:
        """Move the prototypes of the classes in label [N, H, W] to their means (Eqs. 2 and 3)."""
        label = nearest(label, seen.representation.shape[-2:]).flatten()
        mean, count = class_means(rows(seen.representation), label, len(self.centre))
        moved = torch.lerp(mean, self.centre, self.momentum)
        if self.start == "first_mean":
            moved = torch.where(self.met()[:, None], moved, mean)
        self.centre.copy_(torch.where(count[:, None] > 0, moved, self.centre))


def rows(values: Tensor) -> Tensor:
    """Return a map [N, D, h, w] as rows [N h w, D], in full precision."""
    return full_precision(values).permute(0, 2, 3, 1).flatten(0, 2)


def nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return values of any kind [..., H, W] at their nearest pixels, [..., *size]."""
    for dim, wanted in zip((-2, -1), size, strict=True):
        index = torch.arange(wanted, device=values.device) * values.shape[dim] // wanted
        values = values.index_select(dim, index)
    return values


def at_class(values: Tensor, label: Tensor) -> Tensor:
    """Return each pixel's value for its class: values [N, C, ...], label [N, ...].

    A label that is no class gets the last class's value.
    """
    index = label.clamp(0, values.shape[1] - 1).unsqueeze(1)
    return values.gather(1, index).squeeze(1)


@torch.no_grad()
def class_means(feature: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean feature of each class over all workers [C, D] and the numbers of pixels [C].

    Eq. 2. feature [M, D]; label [M], any number that is no class belongs to none. The mean of
    no pixel is zero.
    """
    with without_autocast(feature):
        member = (label == torch.arange(classes, device=label.device)[:, None]).to(feature.dtype)
        sums = torch.cat([member @ feature, member.sum(1, keepdim=True)], dim=1)
    total = sum_over_workers(sums)
    return total[:, :-1] / total[:, -1:].clamp_min(1), total[:, -1]
