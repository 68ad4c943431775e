"""Contrast of pixels with class prototypes and with pixels of other classes, without a loop.

The sampling is that of S. Liu, S. Zhi, E. Johns, A. J. Davison, "Bootstrapping Semantic
Segmentation with Regional Contrast", ICLR 2022: a class's anchors are hard pixels, and their
negatives come the more from another class the more its prototype is like theirs. M is the number
of this worker's pixels, A that of anchors and N that of negatives of an anchor, K that of the
candidates of a class.

Chosen by us:
1. anchors and candidates are the pixels of the highest of random priorities, so none is taken
   twice, and they are the best of all workers' pixels. The release draws with replacement, and so
   repeats pixels where a class has few; the expected loss is the same;
2. negatives are drawn from K candidates of each class rather than from all of its pixels. Anchors
   meet all candidates in one product, [C A, C K]; the release copies D channels for every negative
   of every anchor.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from semisweep import Progress, config, setting
from semisweep.core.config import Count, Fraction, NonNegative, Positive
from semisweep.training import distributed
from semisweep.training.feature_memory import best_of_class
from semisweep.training.functional import draw, generator, moved, over_count

RAMP_PASSES = 200  # of "labelled_ramp"


def _in_use(own: ContrastConfig) -> bool:
    return own.weight > 0


@config
class ContrastConfig:
    """Settings of the contrastive loss; weight zero switches it off."""

    weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="contrast",
        symbol="lambda_c",
        paper="not given",
        code="1, times its schedule",
    )
    schedule: Literal["ramp_down", "labelled_ramp", "constant"] = setting(
        "ramp_down",
        paper="lambda_c is written as a constant (Eq. 6)",
        code="labelled_ramp: exp(-5 (e / 200)^2) at pass e over the labelled images, then zero: "
        "with 92 of them and batches of 16 after 1,000 iterations",
        why="the code's form; the paper names no value with which a constant would be tuned",
        matters=_in_use,
    )
    ramp_share: Positive = setting(
        1.0,
        code="200 passes over the labelled images: with 92 of them and its batches of 32 400 of "
        "80,000 iterations, 0.005",
        why="of the training, after which the weight is zero; the release's ancestor had it last "
        "all through",
        matters=lambda own: own.weight > 0 and own.schedule == "ramp_down",
    )
    temperature: Positive = setting(
        0.5, symbol="tau", paper="not given (Eq. 9)", code="0.5", matters=_in_use
    )
    anchors: Count = setting(
        256, symbol="|Z_c|", paper="not given", code="256 of a class", matters=_in_use
    )
    negatives: Count = setting(512, paper="not given", code="512 of an anchor", matters=_in_use)
    candidates: Count = setting(
        128, why="of a class, from which negatives are drawn", matters=_in_use
    )
    hard_sampling: bool = setting(
        True,
        off=False,
        switch="hard_sampling",
        needs=("contrast",),
        paper="on (Sec. 3.4)",
        code="on",
        why="off: any valid pixel",
        matters=_in_use,
    )
    hard_indicator: Literal["similarity", "confidence"] = setting(
        "similarity",
        paper="similarity (Sec. 3.3); confidence in Table 6's first row",
        code="similarity",
        why="the student's, at the class of the pixel",
        matters=lambda own: own.weight > 0 and own.hard_sampling,
    )
    hard_threshold: Fraction = setting(
        0.8,
        symbol="delta_s",
        paper="not given",
        code="0.8; 0.97 in the script of the baseline",
        why="one value for all rows, so that they differ in what they say they do",
        matters=lambda own: own.weight > 0 and own.hard_sampling,
    )
    negative_classes: Literal["similar", "uniform"] = setting(
        "similar", paper="similar prototypes (Sec. 3.4)", code="similar", matters=_in_use
    )
    negative_sets: Literal["anchor", "class"] = setting(
        "anchor",
        paper="one set for a class (Eq. 9)",
        code="one for each anchor",
        why="the code's: more pixels are seen, and a pixel's chance to be drawn is the same",
        matters=_in_use,
    )
    numerator: Literal["scaled", "printed"] = setting(
        "scaled",
        paper="without the temperature (Eq. 9 as printed)",
        code="with it",
        why="the code's: otherwise the positive is not what the denominator holds of it",
        matters=_in_use,
    )
    class_mean: Literal["present", "all"] = setting(
        "present",
        paper="over all classes (Eq. 9)",
        code="over the classes in the batch",
        why="the code's: the weight of a class does not depend on which others are there",
        matters=_in_use,
    )

    def weight_at(self, progress: Progress) -> float:
        """Return lambda_c at this step."""
        if self.schedule == "constant":
            return self.weight
        passed = progress.step / (progress.total_steps * self.ramp_share)
        if self.schedule == "labelled_ramp":
            passed = progress.labelled_epoch / RAMP_PASSES
        return self.weight * math.exp(-5 * passed**2) if passed < 1 else 0.0


class Pixels(NamedTuple):
    """What may be contrasted on this worker."""

    feature: Tensor  # [M, D]
    label: Tensor  # [M]      class index; any other number: none
    hard: Tensor  # [M]       whether it may be an anchor


class Draws(NamedTuple):
    """Uniform numbers, the same whatever the number of workers."""

    anchor: Tensor  # [M]           priority of each pixel as an anchor
    candidate: Tensor  # [M]        priority as a candidate for negatives
    negative: Tensor  # [C, A, N]   which negative; A is 1 where a class has one set


def make_draws(
    own: ContrastConfig, progress: Progress, classes: int, images: dict[str, int], positions: int
) -> Draws:
    """Return the draws for `positions` pixels of each of so many images of each kind, in order."""

    def priorities(purpose: str) -> Tensor:
        made = [
            draw(generator(progress, purpose, kind), count, positions)
            for kind, count in images.items()
        ]
        return torch.cat(made).flatten()

    sets = own.anchors if own.negative_sets == "anchor" else 1
    negative = torch.rand(classes, sets, own.negatives, generator=generator(progress, "negatives"))
    return Draws(priorities("anchors"), priorities("candidates"), negative)


def contrastive_loss(
    pixels: Pixels, prototype: Tensor, draws: Draws, own: ContrastConfig
) -> Tensor:
    """Return the mean over classes of the mean over their anchors of Eq. 9's logarithm.

    prototype [C, D]. Gradients flow through anchors alone. An anchor without negatives adds
    nothing; zero, attached to the graph, where no class has an anchor.
    """
    device, kind = pixels.feature.device, pixels.feature.dtype
    classes = torch.arange(len(prototype), device=device)
    member = pixels.label == classes.unsqueeze(1)  # [C, M]
    index, chosen = best_rows(member & pixels.hard, moved(draws.anchor, device), own.anchors)
    priority = moved(draws.candidate, device)
    candidate, filled = best_of_class(pixels.feature, member, priority, own.candidates)
    held = filled.sum(1)
    odds = negative_odds(prototype, held > 0, own)
    negative = draw_negatives(odds, held, own.candidates, moved(draws.negative.to(kind), device))
    anchor = functional.normalize(pixels.feature[index], dim=2)
    scores = anchor_scores(anchor, prototype, candidate, negative, own.temperature)
    counted = chosen & odds.isfinite().any(1, keepdim=True)
    losses = anchor_losses(*scores, own).where(counted, 0.0)  # [C, A]
    total = over_count(losses.sum(1), chosen.sum(1)).sum()
    return total / (len(held) if own.class_mean == "all" else (held > 0).sum().clamp_min(1))


def anchor_scores(
    anchor: Tensor, prototype: Tensor, candidate: Tensor, negative: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return cosine over temperature with the positive [C, A] and with the negatives [C, A, N].

    anchor [C, A, D] of length one, prototype [C, D], candidate [C, K, D], negative [C, A or 1, N]
    candidates counted through all classes.
    """
    positive = (anchor * functional.normalize(prototype, dim=1).unsqueeze(1)).sum(2)
    everyone = functional.normalize(candidate, dim=2).flatten(0, 1)  # [C K, D]
    cosine = anchor.flatten(0, 1) @ everyone.T  # [C A, C K]
    index = negative.expand(-1, anchor.shape[1], -1)
    chosen = cosine.gather(1, index.flatten(0, 1)).view(index.shape)
    return positive / temperature, chosen / temperature


def anchor_losses(positive: Tensor, negative: Tensor, own: ContrastConfig) -> Tensor:
    """Return -log of Eq. 9's fraction for anchors [C, A]; positive [C, A], negative [C, A, N]."""
    numerator = positive if own.numerator == "scaled" else positive * own.temperature
    return torch.logaddexp(positive, negative.logsumexp(2)) - numerator


def negative_odds(prototype: Tensor, available: Tensor, own: ContrastConfig) -> Tensor:
    """Return the log-odds [C, C] with which a class, a row, draws negatives from another.

    The cosine of the prototypes [C, D] over the temperature, or zero for "uniform"; minus infinity
    for the class itself and where nothing is available [C].
    """
    unit = functional.normalize(prototype, dim=1)
    odds = unit @ unit.T / own.temperature
    odds = odds if own.negative_classes == "similar" else torch.zeros_like(odds)
    itself = torch.eye(len(odds), dtype=torch.bool, device=odds.device)
    return odds.masked_fill(itself | ~available, -torch.inf)


def draw_negatives(odds: Tensor, held: Tensor, candidates: int, uniform: Tensor) -> Tensor:
    """Return the candidate, class * K + place, that each uniform number [C, S, N] stands for.

    odds [C, C] are log-odds of classes; held [C] candidates, at most K, stand at a class's first
    places and are equally likely. Any candidate where all odds are minus infinity.
    """
    share = odds.softmax(1).nan_to_num(0.0)  # [C, C]
    bound = share.cumsum(1)
    number = uniform.flatten(1) * bound[:, -1:]
    last = (share > 0).long().cumsum(1).argmax(1, keepdim=True)  # rounding must not pass it
    drawn = torch.searchsorted(bound, number, right=True).minimum(last)
    # What is left of the number within its class's interval is uniform again.
    rest = (number - (bound - share).gather(1, drawn)) / share.gather(1, drawn)
    there = held[drawn]
    place = (rest * there).nan_to_num(0.0).long().minimum(there - 1).clamp_min(0)
    return (drawn * candidates + place).view(uniform.shape)


@torch.no_grad()
def best_rows(candidates: Tensor, priority: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows of highest priority over all workers for each class, and which are here.

    candidates [C, M], whether a row may be taken; priority [M]. Returns indices of own rows
    [C, count], best first, and [C, count], false where there is no such row on this worker.
    """
    score = torch.where(candidates, priority, -torch.inf)
    lacking = count - score.shape[1]
    score = functional.pad(score, (0, lacking), value=-torch.inf) if lacking > 0 else score
    score, index = score.topk(count, dim=1)
    everyone = distributed.from_all_workers(score).permute(1, 0, 2).flatten(1)  # [C, W count]
    score, place = everyone.topk(count, dim=1)
    rank, _ = distributed.world()
    here = (score > -torch.inf) & (place // count == rank)
    return index.gather(1, place % count).masked_fill(~here, 0), here
