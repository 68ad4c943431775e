"""The decoders: DeepLabV3+ over a convolutional pyramid, and DPT over a plain transformer.

A decoder takes the taps of an encoder and returns logits and the fused representation, both at its
own resolution; the network brings the logits to the size of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semisweep.core.errors import ConfigError

LOW_LEVEL_CHANNELS = 48
WIDE_DROPOUT = 0.1

Head = Literal["refined", "leaky", "plain", "wide"]


class DeepLabV3Plus(nn.Module):
    """Atrous pyramid pooling over the deep tap, refined by a shallow one.

    Chen et al., "Encoder-Decoder with Atrous Separable Convolution", ECCV 2018, Sec. 3, with the
    dense 3x3 convolutions that the semi-supervised literature uses. The taps are low
    [B, L, H/4, W/4] and high [B, D, H/s, W/s] at output stride s. `head` is what makes logits of
    both: "refined" narrows the low tap to 48 channels and refines by two convolutions (UniMatch,
    released), as does "leaky", whose pyramid has leaky ReLUs (CPS, released); "plain" refines by
    one (CSS, Sec. 4.1 and released); "wide" keeps all `channels` of the low tap, projects the
    pyramid by a 3x3 convolution, and has dropout (U2PL, released).
    """

    def __init__(
        self,
        widths: Sequence[int],
        channels: int,
        rates: Sequence[int],
        classes: int,
        head: Head = "refined",
    ) -> None:
        super().__init__()
        low, high = widths
        wide = head == "wide"
        narrow = channels if wide else LOW_LEVEL_CHANNELS
        self.pyramid = AtrousPyramid(high, channels, rates, wide)
        if head == "leaky":
            make_leaky(self.pyramid)
        self.low_level = convolution(low, narrow, 1, bias=wide)
        joint = channels + narrow
        self.head, self.returns_joint = head, head in ("plain", "wide")
        self.fused_channels = joint if self.returns_joint else channels
        if wide:
            self.refine = wide_layers(joint, channels)
        else:
            self.refine = nn.Sequential(convolution(joint, channels, 3))
            if head != "plain":
                self.refine.append(convolution(channels, channels, 3))
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, taps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits [B, C, H/4, W/4] and what a second head reads, [B, fused_channels, ...].

        The latter is the pyramid's output, of size H/s x W/s, where the head is refined or leaky;
        else that beside the low tap, of size H/4 x W/4.
        """
        low, high = taps
        fused = self.pyramid(high)
        raised = resized(fused, low.shape[-2:])
        joint = torch.cat([raised, self.low_level(low)], dim=1)
        return self.classifier(self.refine(joint)), joint if self.returns_joint else fused


def make_leaky(module: nn.Module) -> None:
    """Turn the ReLUs inside of a module into leaky ones, with torch's slope of 0.01."""
    for part in list(module.modules()):
        for name, own in part.named_children():
            if isinstance(own, nn.ReLU):
                setattr(part, name, nn.LeakyReLU(inplace=True))


def wide_layers(inputs: int, channels: int) -> nn.Sequential:
    """Return the two refining convolutions of U2PL's heads, with biases and dropout."""
    return nn.Sequential(
        convolution(inputs, channels, 3, bias=True),
        nn.Dropout2d(WIDE_DROPOUT),
        convolution(channels, channels, 3, bias=True),
        nn.Dropout2d(WIDE_DROPOUT),
    )


class AtrousPyramid(nn.Module):
    """Parallel views of one map: 1x1, a dilated 3x3 per rate, the whole image; then projected.

    By a 1x1 convolution; where it is `wide`, by a 3x3 one, and then there is dropout.
    """

    def __init__(self, width: int, channels: int, rates: Sequence[int], wide: bool = False) -> None:
        super().__init__()
        self.point = convolution(width, channels, 1)
        self.dilated = nn.ModuleList(convolution(width, channels, 3, rate) for rate in rates)
        self.pool = ImagePool(width, channels)
        self.project = convolution((2 + len(rates)) * channels, channels, 3 if wide else 1)
        self.dropout = nn.Dropout2d(WIDE_DROPOUT) if wide else nn.Identity()

    def forward(self, feature: Tensor) -> Tensor:
        """Return [B, channels, h, w] for a map [B, width, h, w]."""
        branches = [self.point(feature)]
        branches += [branch(feature) for branch in self.dilated]
        branches.append(self.pool(feature))
        return self.dropout(self.project(torch.cat(branches, dim=1)))  # type: ignore[no-any-return]


class ImagePool(nn.Module):
    """The mean over the image, as a map; its batch statistics need at least two images."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.mix = convolution(width, channels, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """Return [B, channels, h, w], constant over each image; refuse to train on one image."""
        own_statistics = isinstance(self.mix[1], nn.BatchNorm2d)  # not those of all workers
        if self.training and own_statistics and len(feature) == 1:
            raise ConfigError(
                "batch statistics of the image-level branch need at least two images, "
                "got images=1 in a training forward; use a larger batch"
            )
        pooled = self.mix(feature.mean(dim=(-2, -1), keepdim=True))
        return pooled.expand(-1, -1, *feature.shape[-2:])  # type: ignore[no-any-return]


class DPT(nn.Module):
    """Four levels of a plain transformer, made a pyramid and fused from the top down.

    Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021, Sec. 3, with no batch
    norm. Every tap is [B, D, h, w] on the patch grid. The top block fuses nothing, so it has one
    residual unit; implementations that keep an idle second one there count
    18 * channels**2 + 2 * channels parameters more, which is 0.07 M at 64 channels.
    """

    def __init__(self, widths: Sequence[int], channels: int, classes: int) -> None:
        super().__init__()
        levels = level_widths(channels)
        self.project = nn.ModuleList(
            nn.Conv2d(width, level, 1) for width, level in zip(widths, levels, strict=True)
        )
        self.resize = nn.ModuleList(
            [
                nn.ConvTranspose2d(levels[0], levels[0], 4, stride=4),
                nn.ConvTranspose2d(levels[1], levels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(levels[3], levels[3], 3, stride=2, padding=1),
            ]
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(level, channels, 3, padding=1, bias=False) for level in levels
        )
        self.fuse = nn.ModuleList(Fusion(channels, lateral=index < 3) for index in range(4))
        self.head = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.fused_channels = channels
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, taps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits [B, C, 8h, 8w] and the fused representation [B, channels, 8h, 8w]."""
        levels = [
            narrow(resize(project(tap)))
            for tap, project, resize, narrow in zip(
                taps, self.project, self.resize, self.narrow, strict=True
            )
        ]
        sizes = [tuple(2 * side for side in levels[0].shape[-2:])]
        sizes += [tuple(level.shape[-2:]) for level in levels[:-1]]
        fused = self.fuse[3](levels[3], None, sizes[3])
        for index in (2, 1, 0):
            fused = self.fuse[index](fused, levels[index], sizes[index])
        return self.classifier(self.head(fused)), fused


class Fusion(nn.Module):
    """Add a level to what comes from above, refine, and bring the sum to the next level's size."""

    def __init__(self, channels: int, lateral: bool) -> None:
        super().__init__()
        self.lateral = ResidualUnit(channels) if lateral else None
        self.refine = ResidualUnit(channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, above: Tensor, level: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return [B, channels, *size]."""
        if self.lateral is not None:
            above = above + self.lateral(level)
        return self.mix(resized(self.refine(above), size))  # type: ignore[no-any-return]


class ResidualUnit(nn.Module):
    """Two rectified 3x3 convolutions around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, feature: Tensor) -> Tensor:
        """Return a map of the same shape."""
        inner = self.first(functional.relu(feature))
        return feature + self.second(functional.relu(inner))  # type: ignore[no-any-return]


def level_widths(channels: int) -> list[int]:
    """Return the widths of the four reassembled levels.

    64 and 128 give UniMatch-V2's widths for ViT-S and ViT-B, 256 those for ViT-L.
    """
    if channels == 256:
        return [256, 512, 1024, 1024]
    return [max(1, 3 * channels // 4) * factor for factor in (1, 2, 4, 8)]


def convolution(
    inputs: int, outputs: int, kernel: int, rate: int = 1, bias: bool = False
) -> nn.Sequential:
    """Return a convolution that keeps the size, batch norm and ReLU."""
    padding = rate * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def resized(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Return the map at another size [B, D, *size], bilinear with aligned corners."""
    if tuple(feature.shape[-2:]) == tuple(size):
        return feature
    return functional.interpolate(feature, tuple(size), mode="bilinear", align_corners=True)
