"""Segmentation networks: a timm encoder and a decoder of our own.

Shapes: B images, C classes, D channels, H W image size, h w feature size. Images are normalised
with the mean and deviation of ImageNet; a network whose weights were trained with others converts
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from semisweep.core.config import Count, config, setting
from semisweep.core.errors import ConfigError
from semisweep.core.seeding import derive
from semisweep.networks import pretrained as pretrained_weights
from semisweep.networks.backbone_names import is_surely_known
from semisweep.networks.decoder import DPT, DeepLabV3Plus, Head, resized

_without_weights: ContextVar[bool] = ContextVar("_without_weights", default=False)


@contextmanager
def without_weights() -> Iterator[None]:
    """Build networks that start from random weights, and are what they are configured in all else.

    For whoever loads what was trained, or counts parameters: files of weights need not be there.
    """
    before = _without_weights.set(True)
    try:
        yield
    finally:
        _without_weights.reset(before)


class Output(NamedTuple):
    """What a forward pass gives."""

    logits: Tensor  # [B, C, H, W]  at the size of the image
    fused: Tensor  # [B, D, h, w]  what further heads read: ASPP's or DPT's output, see the decoder


def with_pyramid(own: NetworkConfig) -> bool:
    """Return whether the decoder is DeepLabV3+."""
    return own.decoder == "deeplabv3plus"


@config
class NetworkConfig:
    """Which network is trained, and the weights it starts from.

    `channels`: the decoder's width; by default 256 for DeepLabV3+, and for DPT what UniMatch-V2 has
    for the width of the encoder (64, 128 or 256). `weights`: a file that holds the backbone's
    weights, or package:file; where it is given it is used instead of the hub's. `frozen`: the
    encoder keeps the weights and batch statistics that it starts from. `head`, `dilation` and
    `ceil_pooling` are in what released networks of one name differ: see `DeepLabV3Plus` and
    `change_resnet`.
    """

    backbone: str = "resnet101s"
    decoder: Literal["deeplabv3plus", "dpt"] = "deeplabv3plus"
    output_stride: Literal[8, 16, 32] = setting(
        default=16, matters=with_pyramid, why="the UniMatch family's"
    )
    head: Head = setting(
        default="refined",
        neutral="refined",
        matters=with_pyramid,
        code="refined: UniMatch; leaky: CPS; plain: CSS; wide: U2PL",
    )
    dilation: Literal["gradual", "even", "multi_grid"] = setting(
        default="gradual",
        neutral="gradual",
        matters=with_pyramid,
        code="gradual: UniMatch, and CSS's ResNet without a deep stem; even: CSS's with one; "
        "multi_grid: U2PL, CPS",
    )
    ceil_pooling: bool = setting(
        default=False,
        neutral=False,
        matters=with_pyramid,
        code="true: the deep stem of CSS and U2PL; false: UniMatch, CPS, torchvision",
    )
    channels: Count | None = None
    rates: tuple[Count, ...] = setting(
        default=(6, 12, 18),
        matters=with_pyramid,
        why="at output stride 16; the literature doubles them at 8",
    )
    pretrained: bool = setting(default=True, matters=lambda own: own.weights is None)
    weights: str | None = setting(
        default=None, neutral=None, identity=lambda path: pretrained_weights.file_digest(path)
    )
    frozen: bool = setting(
        default=False, neutral=False, why="for proxies: most of the cost is the encoder's gradient"
    )
    position_embeddings: Literal["timm", "dinov2"] = setting(
        default="timm",
        neutral="timm",
        matters=lambda own: own.decoder == "dpt",
        code="DINOv2, UniMatch V2: bicubic, offset 0.1, not anti-aliased; timm: anti-aliased",
        why="timm's, as earlier versions; studies with DINOv2 have its release's",
    )
    normalisation: Literal["imagenet", "backbone"] = setting(
        default="backbone",
        neutral="imagenet",
        matters=lambda own: own.converts,
        why="the mean and deviation that timm knows of the backbone's weights; trials of earlier "
        "versions have ImageNet's for all",
    )

    def __post_init__(self) -> None:
        if not self.rates:
            raise ConfigError("at least one dilation rate must be given, got rates=()")

    @property
    def converts(self) -> bool:
        """Whether images are normalised anew, by other numbers than ImageNet's."""
        starts = self.pretrained or self.weights is not None
        if self.normalisation == "imagenet" or not starts:
            return False
        from semisweep.networks.encoder import conversion_to

        return conversion_to(self.backbone) is not None

    def check(self) -> None:
        """Raise `ConfigError` for an unknown backbone or a missing file, without building."""
        if not is_surely_known(self.backbone):
            from semisweep.networks.encoder import require_backbone

            require_backbone(self.backbone)
        if self.weights is not None and not _without_weights.get():
            pretrained_weights.located(self.weights)

    def build(self, classes: int, seed: int = 0) -> Network:
        """Return the network; encoder, decoder and classifier start from seeds of their own.

        The global random generators are left as they are. Raises `ConfigError` where the backbone
        does not exist, does not fit the decoder, or its pretrained weights cannot be had.
        """
        # timm takes seconds to import; configurations are also read where nothing is built.
        from semisweep.networks.encoder import (
            conversion_to,
            pyramid_encoder,
            transformer_encoder,
        )

        self.check()
        weights = self._initial_weights()
        dense = self.decoder == "dpt"
        encoder: nn.Module
        naming = pretrained_weights.named(self.weights, self.backbone)
        with seeded(seed, "encoder"), nullcontext() if weights is None else naming:
            if dense:
                encoder = transformer_encoder(self.backbone, weights, self.position_embeddings)
            else:
                encoder = pyramid_encoder(
                    self.backbone, self.output_stride, weights, self.dilation, self.ceil_pooling
                )
        widths: Sequence[int] = encoder.widths
        decoder: DPT | DeepLabV3Plus
        with seeded(seed, "decoder"):
            if dense:
                decoder = DPT(widths, self.channels or fusion_width(widths[0]), classes)
            else:
                decoder = DeepLabV3Plus(
                    widths, self.channels or 256, self.rates, classes, self.head
                )
        with seeded(seed, "classifier"):
            decoder.classifier.reset_parameters()
        conversion = conversion_to(self.backbone) if self.converts else None
        return Network(encoder, decoder, self.frozen, conversion)

    def _initial_weights(self) -> dict[str, Tensor] | None:
        if _without_weights.get():
            return None
        if self.weights is not None:
            return pretrained_weights.read(self.weights, self.backbone)
        if not self.pretrained:
            return None
        return pretrained_weights.read(pretrained_weights.fetch(self.backbone), self.backbone)


class Network(nn.Module):
    """An encoder and a decoder; the parameters of the former are named `encoder.*`.

    A frozen encoder never learns and is in evaluation mode throughout. `conversion`: factor and
    shift [3, 1, 1] of images for an encoder whose weights know other numbers than ImageNet's.
    """

    factor: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        decoder: DPT | DeepLabV3Plus,
        frozen: bool = False,
        conversion: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        for name, value in zip(("factor", "shift"), conversion or (None, None), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.encoder = encoder
        self.decoder = decoder
        self.frozen = frozen
        if frozen:
            encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Network:
        """Set training or evaluation mode, but for a frozen encoder."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the taps that the decoder reads: low and high for DeepLabV3+, four for DPT."""
        if self.factor is not None and self.shift is not None:
            image = image * self.factor + self.shift
        return self.encoder(image)  # type: ignore[no-any-return]

    def decode(self, taps: Sequence[Tensor], size: Sequence[int]) -> Output:
        """Return the output for taps of images of `size` (H, W)."""
        logits, fused = self.decoder(taps)
        return Output(resized(logits, size), fused)

    def forward(self, image: Tensor) -> Output:
        """Return logits [B, C, H, W] and the fused representation for images [B, 3, H, W]."""
        return self.decode(self.encode(image), image.shape[-2:])


def fusion_width(encoder_width: int) -> int:
    """Return the width of DPT for a transformer's: 64 up to ViT-S, 128 up to ViT-B, else 256."""
    return 64 if encoder_width <= 384 else 128 if encoder_width <= 768 else 256


@contextmanager
def seeded(seed: int, role: str) -> Iterator[None]:
    """Draw initial weights from (seed, role) inside the block; leave the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would seed every GPU too, and nothing would restore those.
        torch.default_generator.manual_seed(derive(seed, role))
        yield
