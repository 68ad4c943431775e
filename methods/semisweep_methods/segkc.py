"""SegKC: a large senior and a small junior teach each other, in predictions and in features.

T. Than, N.-A. Nguyen-Dang, D. Nguyen et al., "Knowledge Consultation for Semi-Supervised Semantic
Segmentation" (SegKC). What is new: cross pseudo-supervision between different backbones, where the
senior also consults the junior's features and distils what it knows back into the junior, which
alone is used afterwards (Sec. 3.3, Eqs. 7 to 9). There is no released code. B or N images, D
channels of a tap of size h x w.

As in the paper:
1. each network is supervised by labels and by the other's confident pseudo-labels, half of the sum
   over both (Eqs. 4 to 6), and the junior follows the senior's softened distribution (Eq. 9);
2. the junior's features enter the senior before its classifier; the junior is evaluated.

Chosen by us, where the paper is silent:
3. pseudo-labels of the weak view teach the strong one, which the confidence threshold of Eq. 2
   (FixMatch) implies; CutMix and the division by all pixels that are no padding are UniMatch's;
4. labelled and weak unlabelled images go through each network in one pass in training mode, the
   strong ones in another; what no loss looks at is not computed;
5. of UniMatch V2 there is no average of weights nor channel dropout: the paper mentions neither;
6. all parameters are one group: unless detached, the senior's losses reach the junior's encoder;
7. features are consulted at every tap that the decoder reads, brought to the senior's size, by a
   1x1 convolution that starts as nothing, so that training starts from the plain senior;
8. distillation compares both networks on the same images, is a mean over pixels, and is not
   multiplied by the squared temperature: Eqs. 9 and 10 are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, NetworkConfig, Progress, Update, config, setting
from semisweep.core.config import Fraction, NonNegative, Positive
from semisweep.core.errors import ConfigError
from semisweep.core.seeding import derive
from semisweep.networks.decoder import resized
from semisweep.networks.network import Network, seeded
from semisweep.training.functional import (
    IGNORE,
    confident_cross_entropy,
    cutmix,
    full_precision,
    over_count,
    pseudo_label,
    supervised_loss,
)
from semisweep_methods.unimatch_v2 import dinov2


@config
class SegKCConfig(MethodConfig):
    """SegKC's settings; the defaults are those of its SegKC-B-S."""

    senior: NetworkConfig = setting(
        factory=lambda: dinov2("base"),
        paper="DINOv2-B + DPT; DINOv2-S in Table 5 (S-S), DINOv2-L in Table 6 (L-S)",
    )
    junior: NetworkConfig = setting(
        factory=lambda: dinov2("small"), paper="DINOv2-S + DPT (Sec. 4.2)"
    )
    supervised_weight: Positive = setting(1.0, symbol="lambda_1", why="the paper gives no value")
    consistency_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="consistency",
        symbol="lambda_2",
        why="the paper gives no value; zero is Table 4 without L_con",
    )
    distillation_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="distillation",
        symbol="lambda_3",
        why="the paper gives no value; zero is Table 4 without L_KD",
    )
    threshold: Fraction = setting(
        0.95,
        symbol="tau (Eq. 2)",
        paper="a threshold, no value",
        why="UniMatch V2's, whose recipe the paper follows",
        matters=lambda own: own.consistency_weight > 0,
    )
    strong_views: Literal[1, 2] = setting(
        1, why="the paper mentions one view; UniMatch V2 has 2", matters=lambda own: own.uses_strong
    )
    temperature: Positive = setting(
        1.0,
        symbol="tau (Eqs. 7, 8)",
        paper="a temperature, no value",
        why="the plain softmax, as no factor of tau squared is printed",
        matters=lambda own: own.distillation_weight > 0,
    )
    distilled: Literal["labelled", "weak", "strong", "all"] = setting(
        "strong",
        paper="the m-th image (Eq. 9), not which",
        why="where the junior is a student otherwise too",
        matters=lambda own: own.distillation_weight > 0,
    )
    detach_senior: bool = setting(
        True,
        paper="the junior is to mimic the senior (Eq. 9)",
        why="a teacher is a constant; false lets the senior come towards the junior",
        matters=lambda own: own.distillation_weight > 0,
    )
    consultation: Literal["none", "add", "concat"] = setting(
        "add",
        off="none",
        paper="the junior's features are incorporated into the senior (Sec. 3.3), not how",
        why="a projected sum is the least it can mean",
    )
    detach_junior: bool = setting(
        False,
        paper="knowledge transfers in both directions (Sec. 3.3)",
        why="so the senior's losses train the junior's encoder too",
        matters=lambda own: own.consultation != "none",
    )

    def __post_init__(self) -> None:
        if self.consultation != "none" and self.senior.decoder != self.junior.decoder:
            raise ConfigError(
                "a senior can consult a junior only at the same taps, got "
                f"senior.decoder={self.senior.decoder!r}, junior.decoder={self.junior.decoder!r}; "
                "use one decoder, or consultation=none"
            )

    @property
    def uses_weak(self) -> bool:
        """Whether any loss looks at the weak unlabelled images."""
        return self.consistency_weight > 0 or self.distils("weak")

    @property
    def uses_strong(self) -> bool:
        """Whether any loss looks at the strong views."""
        return self.consistency_weight > 0 or self.distils("strong")

    def distils(self, images: str) -> bool:
        """Return whether the junior follows the senior on these images."""
        return self.distillation_weight > 0 and self.distilled in (images, "all")


class Logits(NamedTuple):
    """What one network made of a batch; what no loss looks at is empty."""

    labelled: Tensor  # [B, C, H, W]
    weak: Tensor  # [U, C, H, W]
    strong: Tensor  # [V U, C, H, W]  view after view


class SegKC(Method):
    """Two networks; the senior reads the junior's features, and the junior is what remains."""

    Config = SegKCConfig
    name = "semisweep_methods.segkc:SegKC"

    def __init__(self, config: SegKCConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = config.strong_views if config.uses_strong else 0
        self.junior = config.junior.build(classes, seed)
        self.senior = config.senior.build(classes, derive(seed, "second"))
        self.consultation: Consultation | None = None
        if config.consultation != "none":
            with seeded(seed, "consultation"):
                concat = config.consultation == "concat"
                self.consultation = Consultation(self.senior, self.junior, concat=concat)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: both networks and what joins them."""
        joint = [] if self.consultation is None else [self.consultation]
        return {"networks": [self.junior, self.senior, *joint]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L = lambda_1 L_sup + lambda_2 L_con + lambda_3 L_KD (Eq. 10)."""
        own: SegKCConfig = self.config
        senior, junior = self.outputs(batch)
        losses = [
            supervised_loss(own.supervised_loss, network.labelled, batch.label)
            for network in (senior, junior)
        ]
        supervised = 0.5 * (losses[0] + losses[1])  # of Eq. 4
        loss = own.supervised_weight * supervised
        terms = {"supervised": supervised.detach()}
        if own.consistency_weight > 0:
            consistency, shares = self.cross_consistency(batch, senior, junior)
            loss = loss + own.consistency_weight * consistency
            terms |= {"consistency": consistency.detach(), **shares}
        if own.distillation_weight > 0:
            distilled = self.distil(batch, senior, junior)
            loss = loss + own.distillation_weight * distilled
            terms["distillation"] = distilled.detach()
        yield Update("networks", loss, terms)

    def outputs(self, batch: Batch) -> tuple[Logits, Logits]:
        """Return what senior and junior see: all but the strong views in one pass."""
        count = len(batch.image)
        images = [batch.image, batch.weak] if self.config.uses_weak else [batch.image]
        senior, junior = self.both(torch.cat(images))
        strong = senior[:0], junior[:0]
        if self.views:
            views = zip(batch.strong[: self.views], batch.cutmix[: self.views], strict=True)
            strong = self.both(torch.cat([cutmix(view, mask) for view, mask in views]))
        return (
            Logits(senior[:count], senior[count:], strong[0]),
            Logits(junior[:count], junior[count:], strong[1]),
        )

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the senior's and the junior's logits; the senior reads the junior's taps."""
        size = image.shape[-2:]
        taps, others = self.senior.encode(image), self.junior.encode(image)
        junior = self.junior.decode(others, size).logits
        if self.consultation is not None:
            if self.config.detach_junior:
                others = [other.detach() for other in others]
            taps = self.consultation(taps, others)
        return self.senior.decode(taps, size).logits, junior

    def mixed(self, batch: Batch, values: Tensor) -> Tensor:
        """Return what belongs to the strong views [V U, H, W], of values of the weak images."""
        return torch.cat([cutmix(values, mask) for mask in batch.cutmix[: self.views]])

    def cross_consistency(
        self, batch: Batch, senior: Logits, junior: Logits
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_con (Eqs. 5 and 6 with Eq. 2's threshold), and each one's confident share."""
        losses, shares = [], {}
        pairs = {"senior": (senior, junior), "junior": (junior, senior)}
        for name, (teacher, student) in pairs.items():  # each labels the other's strong views
            label, confidence = pseudo_label(teacher.weak)
            confident = confidence >= self.config.threshold
            target = (self.mixed(batch, part) for part in (label, confident, batch.valid))
            losses.append(confident_cross_entropy(student.strong, *target))
            selected = (confident & batch.valid).sum()
            shares[f"confident_{name}"] = over_count(selected.float(), batch.valid.sum())
        return 0.5 * (losses[0] + losses[1]), shares

    def distil(self, batch: Batch, senior: Logits, junior: Logits) -> Tensor:
        """Return L_KD over the images that `distilled` names; void and padding do not count."""
        own: SegKCConfig = self.config
        known = {"labelled": batch.label != IGNORE, "weak": batch.valid}
        if own.distils("strong"):
            known["strong"] = self.mixed(batch, batch.valid)
        names = list(known) if own.distilled == "all" else [own.distilled]
        teacher = torch.cat([getattr(senior, name) for name in names])
        student = torch.cat([getattr(junior, name) for name in names])
        teacher = teacher.detach() if own.detach_senior else teacher
        where = torch.cat([known[name] for name in names])
        return distillation(teacher, student, own.temperature, where)

    def reported(self) -> Sequence[nn.Module]:
        """Return the junior."""
        return [self.junior]

    def predict(self, image: Tensor) -> Tensor:
        """Return the junior's logits."""
        logits: Tensor = self.junior(image).logits
        return logits


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
