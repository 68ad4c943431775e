"""STPG's dual contrastive learning: its settings, projection heads, anchors and memory.

Y. Hong et al., "Semi-Supervised Semantic Segmentation with Professional and General Training",
Sec. 3.3. What is open in the paper stands in the settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from semisweep import Progress, config, setting
from semisweep.core.config import Count, Fraction, NonNegative, NonNegativeCount, Positive
from semisweep.core.errors import ConfigError
from semisweep.core.seeding import derive
from semisweep.networks.network import Output, seeded
from semisweep.training.feature_memory import ClassMemory, best_of_class
from semisweep.training.functional import IGNORE, channel_dropout, full_precision, generator
from semisweep.training.precision import without_autocast
from semisweep.training.weight_averaging import frozen_copy
from semisweep_methods.anchors import (
    Anchors,
    anchor_losses,
    at_cells,
    mean_over,
    similarity_losses,
)


@config
class ContrastConfig:
    """The settings of Sec. 3.3; a weight of zero, no memory, or neither loss is no contrast."""

    weight: NonNegative = setting(0.1, symbol="lambda_ctr", paper="0.1 (Sec. 4.1)")
    anchor: bool = setting(True, symbol="L_ac", paper="Eq. 15", matters=lambda own: own.active)
    similarity: bool = setting(True, symbol="L_sim", paper="Eq. 16", matters=lambda own: own.active)
    mean: Literal["classes", "pixels"] = setting(
        "classes",
        paper="open: Eq. 15 and 16 are of one feature",
        why="no class dominates, which is what the losses are for, and no pixels need be sampled",
        matters=lambda own: own.active,
    )
    width: Count = setting(256, paper="256 (Sec. 4.1)", matters=lambda own: own.active)
    dropout: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.1,
        paper="Conv-ReLU-Dropout-Conv, rate and kernels open",
        why="of channels, as in U2PL's head; 1x1 convolutions",
        matters=lambda own: own.active,
    )
    temperature: Positive = setting(
        0.5, symbol="tau", paper="0.5 (Sec. 4.1)", matters=lambda own: own.active
    )
    confidence: Fraction = setting(
        0.95,
        symbol="phi",
        paper="0.95 (Sec. 4.1), of features for the memory",
        why="of the true class; also of pseudo-labels whose pixels are contrasted",
        matters=lambda own: own.active,
    )
    memory_size: NonNegativeCount = setting(
        256,
        symbol="N",
        paper="256 (Sec. 4.1, Fig. 8a); 0 is no contrast at all",
        matters=lambda own: own.uses_memory,
    )
    nearest: Count = setting(
        16,
        symbol="K",
        paper="open",
        why="at most so many new features a class and step: the memory spans 16 steps or more",
        matters=lambda own: own.uses_memory,
    )
    prototype_momentum: Fraction = setting(
        0.99,
        symbol="alpha",
        paper="0.99 (Eq. 13)",
        why="a class starts at its first mean",
        matters=lambda own: own.uses_prototypes,
    )
    matching_epochs: NonNegative = setting(
        1.0,
        paper='open: prototypes are "of the early stages"',
        why="after the first epoch; 0: at once, which gives anchors out arbitrarily",
        matters=lambda own: own.active,
    )
    matching: Literal["once", "every_epoch"] = setting(
        "once",
        paper="open: whether classes are matched again",
        why="what the losses aim at stays where it is",
        matters=lambda own: own.active,
    )

    def __post_init__(self) -> None:
        if self.uses_memory and self.nearest > self.memory_size:
            raise ConfigError(
                "nearest must be at most memory_size, "
                f"got nearest={self.nearest}, memory_size={self.memory_size}"
            )

    @property
    def active(self) -> bool:
        """Whether anything is contrasted."""
        return self.weight > 0 and self.memory_size > 0 and (self.anchor or self.similarity)

    @property
    def uses_memory(self) -> bool:
        """Whether a loss looks into the memory."""
        return self.active and self.similarity

    @property
    def uses_prototypes(self) -> bool:
        """Whether a matching ever sees prototypes."""
        return self.active and (self.matching_epochs > 0 or self.matching == "every_epoch")


class DualContrast(nn.Module):
    """The students' projection heads, the general teacher's, the anchors and the memory."""

    def __init__(
        self, config: ContrastConfig, channels: int, classes: int, seed: int, heads: int
    ) -> None:
        super().__init__()
        self.config = config
        starts = (seed, derive(seed, "second"))[:heads]
        self.heads = nn.ModuleList(Projection(channels, config.width, own) for own in starts)
        self.teacher_head = frozen_copy(self.heads[0])
        self.anchors = Anchors(classes, config.width, config.temperature, seed)
        if config.uses_memory:
            self.memory = ClassMemory(classes, config.memory_size, config.width)

    def first_step(self, progress: Progress) -> int:
        """Return the step before which classes meet their anchors and from which on they pull."""
        return math.ceil(round(self.config.matching_epochs * epoch_steps(progress), 6))

    def losses(
        self, seen: Sequence[Sequence[tuple[Tensor, Tensor]]], progress: Progress
    ) -> Mapping[str, Tensor]:
        """Return L_ac and L_sim, those that are on, summed over students; none before the matching.

        For each student its maps [B, D, h, w] and labels [B, H, W], a pair per pass over images.
        """
        own, first = self.config, self.first_step(progress)
        if progress.step < first:
            return {}
        gone = progress.step - first
        again = own.matching == "every_epoch" and gone % epoch_steps(progress) < 1
        if gone == 0 or again:
            self.anchors.match()
        terms: dict[str, Tensor] = {}
        for student, (head, pairs) in enumerate(zip(self.heads, seen, strict=True)):
            draws = [generator(progress, "projection", student, part) for part in range(len(pairs))]
            rows = [
                head(fused, own.dropout, draw)
                for (fused, _), draw in zip(pairs, draws, strict=True)
            ]
            labels = [at_cells(label, fused.shape[-2:]).flatten() for fused, label in pairs]
            for name, loss in self.pulls(torch.cat(rows), torch.cat(labels).long()).items():
                terms[name] = terms[name] + loss if name in terms else loss
        return terms

    def pulls(self, feature: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Return the means of both losses over features [M, D] of a label [M]."""
        own, terms = self.config, {}
        with without_autocast(feature):
            anchors = self.anchors.of_classes()
            if own.anchor:
                losses = anchor_losses(feature, label, anchors, own.temperature)
                terms["anchor"] = mean_over(own.mean, losses, label, label != IGNORE, len(anchors))
            if own.similarity:
                losses, counted = similarity_losses(
                    feature, label, self.memory.rows, self.memory.filled()
                )
                terms["similarity"] = mean_over(own.mean, losses, label, counted, len(anchors))
        return terms

    @torch.no_grad()
    def remember(self, seen: Output, label: Tensor, progress: Progress) -> None:
        """Take up the general teacher's features of labelled images: prototypes, then memory.

        seen [B, ...], label [B, H, W]. Prototypes move as long as a matching is to come; the memory
        takes in features as soon as there are anchors to be near to.
        """
        own, first = self.config, self.first_step(progress)
        feature = self.teacher_head(seen.fused)
        size = seen.fused.shape[-2:]
        cells = at_cells(label, size).flatten()
        with without_autocast(feature):
            if own.uses_prototypes and (progress.step < first or own.matching == "every_epoch"):
                self.anchors.observe(feature, cells, own.prototype_momentum)
            if own.uses_memory and progress.step >= first:
                logits = full_precision(at_cells(seen.logits, size))
                scores = logits.permute(0, 2, 3, 1).flatten(0, 2).softmax(dim=1).T  # [C, M]
                classes = torch.arange(len(scores), device=label.device).unsqueeze(1)
                sure = (cells == classes) & (scores >= own.confidence)
                nearness = self.anchors.of_classes().to(feature.dtype) @ feature.T
                self.memory.push(*best_of_class(feature, sure, nearness, own.nearest))


class Projection(nn.Module):
    """The head from the fused representation to the space of the anchors: two 1x1 convolutions."""

    def __init__(self, inputs: int, width: int, seed: int) -> None:
        super().__init__()
        with seeded(seed, "projection"):
            self.hidden = nn.Conv2d(inputs, inputs, 1)
            self.output = nn.Conv2d(inputs, width, 1)

    def forward(
        self, fused: Tensor, rate: float = 0.0, draws: torch.Generator | None = None
    ) -> Tensor:
        """Return unit features [B h w, D] of maps [B, inputs, h, w], in full precision.

        With a generator, hidden channels of each image are dropped at the rate.
        """
        hidden = F.relu(self.hidden(fused))
        if draws is not None:
            hidden = channel_dropout(hidden, rate, draws)
        rows = full_precision(self.output(hidden)).permute(0, 2, 3, 1).flatten(0, 2)
        return F.normalize(rows, dim=1)


def epoch_steps(progress: Progress) -> float:
    """Return how many steps an epoch has on average."""
    return progress.total_steps / progress.total_epochs
