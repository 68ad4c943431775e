"""The encoders: any timm backbone that has intermediate features, and its pretrained weights.

An encoder returns the taps its decoder reads, as maps [B, D, h, w], and knows their `widths`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeGuard

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.patch_embed import PatchEmbed
from timm.models import FeatureInfo, FeatureListNet, get_pretrained_cfg
from torch import Tensor, nn
from torch.nn import functional

from semisweep.core.errors import ConfigError, unknown

Dilation = Literal["gradual", "even", "multi_grid"]

SHALLOW_STRIDE = 4  # of the tap that DeepLabV3+ refines with
# What timm raises for a feature or an output stride that a backbone does not have.
REFUSALS: tuple[type[Exception], ...] = (AssertionError, AttributeError, LookupError)
REFUSALS += (RuntimeError, TypeError, ValueError)
# How families of backbones are told that images come in other sizes than they were trained at.
ANY_SIZE: tuple[Mapping[str, Any], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


def _says_more(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Unexpected keys")


# timm warns of weights of the head at every network without one; `require_names` knows better.
logging.getLogger("timm.models._builder").addFilter(_says_more)


class FeatureModel(Protocol):
    """What is used of timm's models of intermediate maps."""

    feature_info: FeatureInfo

    def __call__(self, image: Tensor, /) -> Sequence[Tensor]:
        """Return the maps of images."""


class PlainTransformer(Protocol):
    """What is used of timm's plain transformers."""

    blocks: nn.Sequential
    embed_dim: int
    patch_embed: PatchEmbed
    cls_token: Tensor  # [1, 1, D]
    pos_embed: Tensor  # [1, 1 + N, D]
    norm: nn.Module

    def prune_intermediate_layers(
        self, indices: list[int], *, prune_norm: bool, prune_head: bool
    ) -> object:
        """Drop what comes after the last of some blocks."""

    def forward_intermediates(
        self,
        image: Tensor,
        /,
        *,
        indices: list[int],
        norm: bool,
        output_fmt: str,
        intermediates_only: bool,
    ) -> list[Tensor]:
        """Return the outputs of some blocks."""


class PyramidEncoder(nn.Module):
    """A convolutional (or windowed) backbone; its taps are its maps at stride 4 and at its end."""

    def __init__(self, model: FeatureModel) -> None:
        super().__init__()
        self.model = model
        strides = model.feature_info.reduction()
        low = max(index for index, stride in enumerate(strides) if stride == SHALLOW_STRIDE)
        self.taps = (low, len(strides) - 1)
        channels = model.feature_info.channels()
        self.widths = tuple(channels[tap] for tap in self.taps)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the low and the high map of images [B, 3, H, W]."""
        maps = self.model(image)
        return [
            channels_first(maps[tap], width)
            for tap, width in zip(self.taps, self.widths, strict=True)
        ]


class TransformerEncoder(nn.Module):
    """A plain transformer; its taps are four normalised block outputs on the patch grid.

    `positions` says how position embeddings become those of another grid: "timm" or "dinov2".
    """

    def __init__(self, model: PlainTransformer, positions: str = "timm") -> None:
        super().__init__()
        self.positions = positions
        self.taps = tap_blocks(len(model.blocks))
        model.prune_intermediate_layers(list(self.taps), prune_norm=False, prune_head=True)
        self.model = model
        self.patch: int = model.patch_embed.patch_size[0]
        self.widths = (int(model.embed_dim),) * len(self.taps)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return four maps of images [B, 3, H, W]; raise `ConfigError` where patches do not fit."""
        require_multiple(image.shape[-2:], self.patch)
        if self.positions == "dinov2":
            return self._with_positions_of_dinov2(image)
        return self.model.forward_intermediates(
            image, indices=list(self.taps), norm=True, output_fmt="NCHW", intermediates_only=True
        )

    def _with_positions_of_dinov2(self, image: Tensor) -> list[Tensor]:
        """Return what timm's pass does, of tokens with the positions of DINOv2's release."""
        tokens = self.model.patch_embed(image)  # [B, h, w, D]
        grid = tokens.shape[1:3]
        first = self.model.cls_token.expand(len(image), -1, -1)
        tokens = torch.cat([first, tokens.flatten(1, 2)], dim=1)
        tokens = tokens + positions_on(self.model.pos_embed, grid).to(tokens.dtype)
        taps = []
        for index, block in enumerate(self.model.blocks):
            tokens = block(tokens)
            if index in self.taps:
                patches: Tensor = self.model.norm(tokens)[:, 1:]
                taps.append(patches.transpose(1, 2).reshape(len(image), -1, *grid))
        return taps


def positions_on(embeddings: Tensor, grid: Sequence[int]) -> Tensor:
    """Return position embeddings [1, 1 + N, D] of a square grid on another, as DINOv2's release.

    Bicubic, without anti-aliasing, and by the factor from the square's side to the grid's plus
    0.1; the class token's own, the first, stays as it is.
    """
    side = math.isqrt(embeddings.shape[1] - 1)
    if tuple(grid) == (side, side):
        return embeddings
    square = embeddings[:, 1:].float().transpose(1, 2).reshape(1, -1, side, side)
    factors = [(length + 0.1) / side for length in grid]
    moved = functional.interpolate(square, scale_factor=factors, mode="bicubic")
    return torch.cat([embeddings[:, :1].float(), moved.flatten(2).transpose(1, 2)], dim=1)


def conversion_to(backbone: str) -> tuple[Tensor, Tensor] | None:
    """Return factor and shift [3, 1, 1] of images from ImageNet's numbers to those of a backbone.

    Mean and deviation are those that timm says its weights were trained with; None where they are
    ImageNet's, or where timm knows no weights.
    """
    described = get_pretrained_cfg(backbone)
    usual = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    if described is None or (tuple(described.mean), tuple(described.std)) == usual:
        return None
    numbers = (*usual, described.mean, described.std)
    mean, deviation, own_mean, own_deviation = (torch.tensor(n).view(3, 1, 1) for n in numbers)
    return deviation / own_deviation, (mean - own_mean) / own_deviation


def pyramid_encoder(
    backbone: str,
    output_stride: int,
    weights: Mapping[str, Tensor] | None,
    dilation: Dilation = "gradual",
    ceil_pooling: bool = False,
) -> PyramidEncoder:
    """Return the encoder for DeepLabV3+; raise `ConfigError` where the backbone does not fit."""
    model = feature_model(backbone, output_stride, weights)
    if reaches(model, output_stride):
        if dilation != "gradual" or ceil_pooling:
            change_resnet(model, backbone, dilation, ceil_pooling)
        return PyramidEncoder(model)
    works = [stride for stride in (8, 16, 32) if fits(backbone, stride)]
    if works:
        raise ConfigError(
            f"a backbone must reach the output stride, got backbone={backbone!r}, "
            f"output_stride={output_stride}; it works with output_stride="
            f"{' or '.join(str(stride) for stride in works)}"
        )
    raise ConfigError(
        f"decoder 'deeplabv3plus' needs a backbone with intermediate features from stride "
        f"{SHALLOW_STRIDE} down, got backbone={backbone!r}; use a convolutional backbone, or "
        f"decoder=dpt for a plain transformer"
    )


def change_resnet(
    model: FeatureModel, backbone: str, dilation: Dilation, ceil_pooling: bool
) -> None:
    """Dilate and pool as released ResNets do; raise `ConfigError` for any other backbone.

    timm's stages are "gradual": the first block of a stage that gave up its stride keeps the
    dilation before it. "even": it has that of the stage. "multi_grid": so have the blocks of the
    last stage, times 1, 2, 4. `ceil_pooling`: the first pooling rounds sizes up.
    """
    pool = getattr(model, "maxpool", None)
    stages = [getattr(model, f"layer{number}", None) for number in (1, 2, 3, 4)]
    found = [stage for stage in stages if isinstance(stage, nn.Module)]
    if not isinstance(pool, nn.MaxPool2d) or len(found) < len(stages):
        raise ConfigError(
            f"dilation and ceil_pooling can be changed of a ResNet, got backbone={backbone!r}, "
            f"dilation={dilation!r}, ceil_pooling={ceil_pooling}; leave them out"
        )
    pool.ceil_mode = ceil_pooling
    changed = {"gradual": [], "even": found, "multi_grid": found[-1:]}[dilation]
    for stage in changed:
        blocks = list(stage.children())
        rate = max(own.dilation[0] for own in spatial_convolutions(blocks[-1]))
        for index, block in enumerate(blocks):
            grown = rate * 2**index if dilation == "multi_grid" else rate
            for own in spatial_convolutions(block):
                if grown > 1:
                    own.dilation = own.padding = (grown, grown)


def spatial_convolutions(block: nn.Module) -> list[nn.Conv2d]:
    """Return the 3x3 convolutions of a block."""
    found = (own for own in block.modules() if isinstance(own, nn.Conv2d))
    return [own for own in found if own.kernel_size == (3, 3)]


def transformer_encoder(
    backbone: str, weights: Mapping[str, Tensor] | None, positions: str = "timm"
) -> TransformerEncoder:
    """Return the encoder for DPT; raise `ConfigError` unless it is a plain transformer."""
    model: nn.Module | None
    try:
        model = create(backbone, weights, num_classes=0)
    except REFUSALS:
        if weights is not None:
            raise
        model = None
    if not is_plain(model):
        raise ConfigError(
            f"decoder 'dpt' needs a plain transformer of four blocks or more that takes images of "
            f"any size, got backbone={backbone!r}; use decoder=deeplabv3plus, or a backbone such "
            f"as vit_small_patch14_dinov2"
        )
    if positions == "dinov2" and not has_positions_of_dinov2(model):
        raise ConfigError(
            f"position embeddings as DINOv2's release has them need one class token and a position "
            f"of it and of each patch, got backbone={backbone!r}; use position_embeddings=timm of "
            "that network"
        )
    return TransformerEncoder(model, positions)


def require_backbone(backbone: str) -> None:
    """Raise `ConfigError` with the nearest names unless timm knows the backbone."""
    if ":" in backbone or not timm.is_model(backbone):
        tagged = "." in backbone
        raise unknown(
            "backbone", backbone, timm.list_models(pretrained=tagged, include_tags=tagged)
        )


def require_multiple(size: Sequence[int], patch: int) -> None:
    """Raise `ConfigError` with the nearest sizes unless both sides are whole patches."""
    for side in size:
        if side % patch:
            below, above = side // patch * patch, (side // patch + 1) * patch
            near = f"{below} or {above}" if below else f"{above}"
            raise ConfigError(
                f"image sides must be multiples of the patch of {patch} pixels, "
                f"got image={size[0]}x{size[1]}; the nearest to {side} is {near}"
            )


def tap_blocks(blocks: int) -> tuple[int, ...]:
    """Return the four blocks whose outputs DPT reads: the ends of the quarters of the network.

    Of 12 blocks 2, 5, 8, 11; of 24 blocks 4, 11, 17, 23, as UniMatch-V2 has them.
    """
    if blocks == 24:
        return (4, 11, 17, 23)
    return tuple(math.ceil(blocks * quarter / 4) - 1 for quarter in (1, 2, 3, 4))


def channels_first(feature: Tensor, width: int) -> Tensor:
    """Return the map as [B, D, h, w]; some windowed transformers give [B, h, w, D]."""
    if feature.shape[1] == width:
        return feature
    return feature.permute(0, 3, 1, 2).contiguous()


def create(backbone: str, weights: Mapping[str, Tensor] | None, **options: Any) -> nn.Module:
    """Return timm's model, with exactly these weights where they are given."""
    if weights is not None:
        # With no classes declared on either side timm loads strictly: every name must match.
        overlay = {"state_dict": dict(weights), "num_classes": 0, "classifier": None}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    for index, any_size in enumerate(ANY_SIZE):
        try:
            model: nn.Module = timm.create_model(backbone, **any_size, **options)
            return model
        except TypeError:
            if index == len(ANY_SIZE) - 1:
                raise
    raise AssertionError("unreachable")


def feature_model(
    backbone: str, output_stride: int, weights: Mapping[str, Tensor] | None
) -> nn.Module | None:
    """Return timm's model of intermediate maps, or None where it has none at this stride."""
    stride = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        model = create(backbone, weights, features_only=True, **stride)
    except REFUSALS:
        if weights is not None and fits(backbone, output_stride):
            raise  # the weights are at fault, not the stride
        return None
    if weights is not None and not isinstance(model, FeatureListNet):
        require_names(backbone, model, weights)
    return model


def require_names(backbone: str, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise `RuntimeError`, as torch does, unless the weights are the backbone's.

    For the families whose feature models timm loads without being strict; those keep the names.
    """
    with torch.device("meta"):
        whole = create(backbone, None, num_classes=0).state_dict()
    missing = [name for name in model.state_dict() if name not in weights]
    strange = [name for name in weights if name not in whole]
    for what, names in (("missing", missing), ("unexpected", strange)):
        if names:
            raise RuntimeError(f"{what} names: {', '.join(names)}")


def reaches(model: object, output_stride: int) -> TypeGuard[FeatureModel]:
    """Return whether the maps of timm's model are what DeepLabV3+ reads at this output stride."""
    strides = model.feature_info.reduction() if hasattr(model, "feature_info") else []
    return bool(strides) and strides[-1] == output_stride and SHALLOW_STRIDE in strides


def fits(backbone: str, output_stride: int) -> bool:
    """Return whether DeepLabV3+ can read this backbone at this output stride."""
    with torch.device("meta"):
        return reaches(feature_model(backbone, output_stride, None), output_stride)


def has_positions_of_dinov2(model: object) -> bool:
    """Return whether a transformer adds learned positions to a class token and to patches alone."""
    first, positions = getattr(model, "cls_token", None), getattr(model, "pos_embed", None)
    if first is None or positions is None or getattr(model, "reg_token", None) is not None:
        return False
    plain = isinstance(getattr(model, "norm_pre", None), nn.Identity)
    return plain and math.isqrt(positions.shape[1] - 1) ** 2 == positions.shape[1] - 1


def is_plain(model: object) -> TypeGuard[PlainTransformer]:
    """Return whether timm's model is a plain transformer: blocks on one grid of patches."""
    names = ("embed_dim", "patch_embed", "prune_intermediate_layers", "forward_intermediates")
    if not all(hasattr(model, name) for name in names) or not hasattr(model, "blocks"):
        return False
    return getattr(model, "dynamic_img_size", False) and len(model.blocks) >= 4
