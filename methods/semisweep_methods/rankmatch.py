"""RankMatch: UniMatch, and consistency of how each pixel ranks a set of representative pixels.

H. Mai, R. Sun, T. Zhang, F. Wu, "RankMatch: Exploring the Better Consistency Regularization for
Semi-supervised Semantic Segmentation", CVPR 2024. What is new: every pixel is compared with a few
agents, pixels of its own image as orthogonal as can be, and the distribution over the orders of its
four nearest agents must be the same for the teacher (weak view) and the student (strong view).

Where paper and release differ, both readings are options and the table of settings says which is
the default. Where they are silent or we depart from them, beside what `agents` says:
1. the teacher's features follow CutMix at feature resolution: a cell is the donor's where the donor
   covers most of it. The release goes up to the image, mixes, and comes down again, both with
   aligned corners. At its crops that gives every cell back as it was, and a cell is the donor's
   where the donor covers the one pixel that it stands for, up to half a cell from ours' middle.
   Studies at paper scale do the same, without the 256 times as large features in between;
2. no pixel is masked, as in the release: neither padding nor unconfident pixels;
3. lambda is outside of the half that UniMatch takes of its own terms, as in the release: its 0.1 is
   0.2 in Eq. 9, which has no half;
4. "l2", "ce" and "kl" compare the whole distribution of Eq. 4. They are not in the release, whose
   one divergence is averaged over all of its numbers; so are these in studies at paper scale. The
   teacher is constant, so "ce" is "kl" plus a constant: it has the same gradients and is the same
   trial.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from semisweep import Batch, Method, MethodConfig, Progress, config, setting
from semisweep.core.config import Count, NonNegative, common
from semisweep.core.errors import ConfigError
from semisweep.networks.network import Output
from semisweep.training.cuda_graph import Replayed
from semisweep.training.functional import (
    aligned_mask,
    cutmix,
    draw,
    generator,
    moved,
    shrink_mask,
)
from semisweep.training.precision import without_autocast
from semisweep_methods.agents import (
    agent_scores,
    all_orders,
    correlation_loss,
    orthogonal_agents,
    pixels,
    rank_loss,
    top_agents,
)
from semisweep_methods.unimatch import Opinion, Outputs, UniMatch, UniMatchConfig


@config
class RankMatchConfig(UniMatchConfig):
    """RankMatch's settings beside those of UniMatch."""

    rank_weight: NonNegative = setting(
        0.1,
        off=0.0,
        switch="correlation",
        symbol="lambda",
        paper="0.1 (Sec. 4.1, Table 8)",
        code="0.1, beside half of UniMatch's terms: 0.2 in Eq. 9",
        why="the code's; zero is UniMatch",
    )
    consistency: Literal["none", "l2", "ce", "kl", "rank"] = setting(
        "rank",
        off="kl",
        switch="rank",
        needs=("correlation",),
        paper="rank-aware (Eq. 8, Table 6)",
        code="rank-aware",
        why='"none" is UniMatch',
    )
    selection: Literal["orthogonal", "random", "top_n", "all"] = setting(
        "orthogonal",
        off="random",
        switch="orthogonal",
        needs=("correlation",),
        paper="orthogonal (Sec. 3.2, Table 5)",
        code="orthogonal",
    )
    agents: Count = setting(
        128,
        symbol="N",
        paper="128 (Sec. 4.1, Table 7)",
        code="64",
        why="the paper's: its Table 7 ranks the release's 64 last",
        matters=lambda own: own.selection != "all",
    )
    orthogonality: Literal["absolute_cosine", "cosine"] = setting(
        "absolute_cosine",
        paper="minimal cosine similarity (Sec. 3.2)",
        code="minimal absolute cosine",
        why="an opposite vector is not orthogonal; after DeepLabV3+'s ReLU there is no difference",
        matters=lambda own: own.selection == "orthogonal" and own.network.decoder == "dpt",
    )
    shared_positions: bool = setting(
        True,
        paper="agents for teacher and student respectively (Algorithm 1, line 10)",
        code="positions chosen on the teacher's features, used in both",
        why="the code's: otherwise the n-th agents of teacher and student are different pixels",
        matters=lambda own: own.selection != "all",
    )
    ranked: Annotated[int, Field(ge=2, le=5)] = setting(
        4,
        paper="the top 4 agents of a pixel (Sec. 3.3)",
        code="4, the teacher's",
        matters=lambda own: own.consistency == "rank",
    )
    kl_reduction: Literal["mean_all", "sum_over_permutations"] = setting(
        "mean_all",
        paper="summed over permutations (Eq. 8)",
        code="averaged over pixels and permutations: 1/24 of it",
        why="the code's: lambda was tuned with it; Eq. 8 as printed is lambda = 2.4 in its terms, "
        "five times the largest in Table 8",
        matters=lambda own: own.consistency == "rank",
    )
    mixed_cells: Literal["covered", "aligned"] = setting(
        "covered",
        neutral="covered",
        code="aligned: the donor's where it covers a cell's pixel, by aligned corners",
        why="what earlier versions did; studies at paper scale have the code's",
    )
    correlation_reduction: Literal["sum_over_agents", "mean_all"] = setting(
        "sum_over_agents",
        neutral="sum_over_agents",
        paper="summed over agents (Eq. 5)",
        code="not in it; its divergence is averaged over pixels and what is compared",
        why="what earlier versions did; studies at paper scale have the code's",
        matters=lambda own: own.consistency in ("l2", "ce", "kl"),
    )

    def __post_init__(self) -> None:
        few = self.selection != "all" and self.agents < self.ranked
        if few and self.consistency == "rank":
            raise ConfigError(
                f"ranked must be at most agents, got ranked={self.ranked}, agents={self.agents}"
            )

    @property
    def compares_agents(self) -> bool:
        """Whether there is anything beyond UniMatch."""
        return self.rank_weight > 0 and self.consistency != "none"

    @property
    def uses_strong_views(self) -> bool:
        """Whether any loss looks at the strong views."""
        return self.view_weight > 0 or self.compares_agents


class RankMatch(UniMatch):
    """UniMatch with one more term; the teacher is the network itself on the weak view."""

    Config = RankMatchConfig
    name = "semisweep_methods.rankmatch:RankMatch"
    orders: Tensor  # [ranked!, ranked]

    def __init__(self, config: RankMatchConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.register_buffer("orders", all_orders(config.ranked), persistent=False)
        absolute = config.orthogonality == "absolute_cosine"
        self.orthogonal = Replayed(
            lambda feature, first: orthogonal_agents(feature, config.agents, first, absolute)
        )

    @classmethod
    def same_as(cls, config: RankMatchConfig) -> tuple[type[Method], MethodConfig]:
        """Return UniMatch where no agents are compared, and "kl" for "ce"."""
        if not config.compares_agents:
            return UniMatch, common(UniMatchConfig, config)
        if config.consistency == "ce":
            return cls, dataclasses.replace(config, consistency="kl")
        return cls, config

    def opinion(self, seen: Outputs) -> Opinion:
        """Return what the weak view teaches, features too; of the whole pass no more is held."""
        return super().opinion(seen)._replace(fused=seen.weak.fused.detach().clone())

    def strong_loss(
        self, batch: Batch, opinion: Opinion, strong: Output, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return UniMatch's loss of the strong views + lambda times the agents' (Eq. 9)."""
        own: RankMatchConfig = self.config
        parts: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        if own.view_weight > 0:
            loss, terms = super().strong_loss(batch, opinion, strong, progress)
            parts.append(loss)
        if own.compares_agents:
            term = self.agent_consistency(batch, opinion.fused, strong.fused, progress)
            parts.append(own.rank_weight * term)
            terms["rank"] = term.detach()
        return torch.stack(parts).sum(), terms

    def agent_consistency(
        self, batch: Batch, weak: Tensor, strong: Tensor, progress: Progress
    ) -> Tensor:
        """Return the mean over views, images and pixels of what Table 6 compares.

        weak [U, D, h, w] are the teacher's features, strong [V U, D, h, w] the student's.
        """
        own: RankMatchConfig = self.config
        size = weak.shape[-2:]
        shrink = aligned_mask if own.mixed_cells == "aligned" else shrink_mask
        mixed = torch.cat([cutmix(weak, shrink(mask, size)) for mask in self.masks(batch)])
        with without_autocast(weak):
            teacher, student = pixels(mixed), pixels(strong)  # [V U, P, D], P = h w
            chosen = self.select(teacher, progress, "teacher")
            other = chosen if own.shared_positions else self.select(student, progress, "student")
            expected = agent_scores(teacher, chosen)
            scores = agent_scores(student, other)
            if own.consistency != "rank":
                kind, reduction = own.consistency, own.correlation_reduction
                return correlation_loss(kind, expected, scores, reduction)
            return rank_loss(expected, scores, self.orders, own.kl_reduction)

    def select(self, feature: Tensor, progress: Progress, role: str) -> Tensor | None:
        """Return the positions [V U, N] of the agents among pixels [V U, P, D]; None for all."""
        own: RankMatchConfig = self.config
        images, count = len(feature) // self.views, feature.shape[1]
        if own.selection == "all":
            return None
        if own.agents > count:
            raise ConfigError(
                f"agents must be at most the pixels of the feature map, got agents={own.agents}, "
                f"pixels={count}; use fewer agents, a larger crop or a smaller output stride"
            )
        if own.selection == "top_n":
            return top_agents(feature.detach(), own.agents)
        purpose = ("agents", role)
        drawn = [draw(generator(progress, *purpose, v), images, count) for v in range(self.views)]
        numbers = moved(torch.cat(drawn), feature.device)
        if own.selection == "random":
            return numbers.topk(own.agents, dim=1).indices
        chosen: Tensor = self.orthogonal(feature.detach(), numbers.argmax(dim=1))
        return chosen
