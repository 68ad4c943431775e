"""U2PL's contrastive loss: unreliable pixels are negatives of classes they surely are not.

Y. Wang et al., "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels", CVPR 2022,
Sec. 3.3, Eqs. 9, 10 and 13 to 15. Used by `u2pl` and, on UniMatch, by `unimatch_contrastive`. The
rows of a batch are called cells: the places [n, h, w] of feature maps. P cells of this worker, of
features of D channels; C classes, ranked for each cell by the teacher's logits, the likeliest
first; M anchors of each class, N negatives of an anchor, W workers.

Chosen by us:
1. anchors are drawn without replacement from the cells of the whole batch, so that the number of
   workers changes nothing; a class with fewer than M has all of them as anchors. The release draws
   on each worker, with replacement;
2. anchors, centre and memory are those of one class, as in the paper; in the release they part as
   soon as a class is absent, for it counts some by all classes and some by those present;
3. the mean is over the classes that have anchors and a memory, as in the release; Eq. 4 divides by
   all classes;
4. in data sets of few classes the window of ranks ends at the last class and holds at least that
   one;
5. labels, entropies and probabilities of a cell are those of the nearest pixel;
6. negatives of a class are the paper's: pixels of other classes, far down in whose ranking it is.
   The release's mask (u2pl/utils/loss_helper.py, issue 171 of its repository) requires of them also
   to carry the class as label or pseudo-label. No labelled pixel can do both, and of unlabelled
   ones those alone where the teacher's two passes differ by three ranks or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semisweep import Progress, config, setting
from semisweep.core.config import Count, Fraction, NonNegative, NonNegativeCount, Positive
from semisweep.core.errors import ConfigError
from semisweep.training.distributed import from_all_workers, sum_over_workers, world
from semisweep.training.feature_memory import ClassMemory, best_of_class
from semisweep.training.functional import IGNORE, draw, full_precision, generator, moved
from semisweep.training.precision import without_autocast
from semisweep_methods.u2pl_partition import Partition, PartitionConfig


def contrasts(own: ContrastConfig) -> bool:
    """Return whether the loss is used at all."""
    return own.contrast_weight > 0


@config
class ContrastConfig(PartitionConfig):
    """The settings of the contrastive loss, beside those of the partition by entropy."""

    contrast_weight: NonNegative = setting(
        1.0, off=0.0, switch="contrast", symbol="lambda_c", paper="1", code="1"
    )
    anchors: Count = setting(50, symbol="M", paper="50", code="256", matters=contrasts)
    negatives: Count = setting(256, symbol="N", paper="256", code="50", matters=contrasts)
    temperature: Positive = setting(0.5, symbol="tau", paper="0.5", code="0.5", matters=contrasts)
    anchor_probability: Fraction = setting(
        0.3, symbol="delta_p", paper="0.3", code="0.3", matters=contrasts
    )
    anchor_pixels: Literal["reliable", "surest"] = setting(
        "reliable",
        paper="reliable: entropy below the percentile 1 - alpha_t (Eq. 10)",
        code="surest: entropy up to the percentile alpha_t",
        why="the paper's; with the code's, unlabelled anchors vanish as alpha_t goes to zero",
        matters=contrasts,
    )
    negative_pixels: Literal["unreliable", "reliable", "all"] = setting(
        "unreliable", paper="unreliable", code="unreliable", matters=contrasts
    )
    nearest_rank: NonNegativeCount = setting(
        3, symbol="r_l", paper="3", code="3", matters=contrasts
    )
    farthest_rank: Count = setting(
        20, symbol="r_h", paper="20", code="20", why="exclusive", matters=contrasts
    )
    representation_channels: Count = setting(256, paper="256", code="256", matters=contrasts)
    memory_size: Count = setting(
        4096,
        paper="a queue of each class",
        code="30,000, and 50,000 of the first class",
        why="reaches back as far, with fewer keys a step, at a seventh of the memory",
        matters=contrasts,
    )
    keys_per_step: Count = setting(
        512,
        paper="all pixels that Eqs. 13 to 15 allow: some 13,000 of each class",
        code="next to none: its mask asks of a negative of a class also to be labelled so",
        why="drawn from the paper's at random, over all workers",
        matters=contrasts,
    )

    def __post_init__(self) -> None:
        if self.keys_per_step > self.memory_size:
            raise ConfigError(
                "keys_per_step must be at most memory_size, got "
                f"keys_per_step={self.keys_per_step}, memory_size={self.memory_size}"
            )
        if self.nearest_rank >= self.farthest_rank:
            raise ConfigError(
                "nearest_rank must be less than farthest_rank, got "
                f"nearest_rank={self.nearest_rank}, farthest_rank={self.farthest_rank}"
            )

    @property
    def partitions(self) -> bool:
        """Whether pixels are told apart by their entropy."""
        return contrasts(self)


class Contrast(nn.Module):
    """The loss, and its memory of negatives."""

    def __init__(self, config: ContrastConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.memory = ClassMemory(classes, config.memory_size, config.representation_channels)

    def forward(
        self, student: Sequence[Cells], teacher: Sequence[Cells], progress: Progress
    ) -> Tensor:
        """Return the mean over classes and anchors of Eq. 4; zero where there is no anchor.

        Anchors are the student's cells; centres and negatives are the teacher's, which get no
        gradient. New negatives enter the memory before any are drawn.
        """
        own = self.config
        with without_autocast(student[0].feature):
            self.remember(teacher, progress)
            centre, members = self.centres(teacher)
            anchor, share, rank = self.anchors(student, progress)  # [C, M, D], [C, M], [C, M]
            positive = torch.einsum("cmd,cd->cm", anchor, centre)
            key = self.draw_negatives(rank, progress)  # [C, M, N, D]
            negative = torch.matmul(key, anchor.unsqueeze(3)).squeeze(3)  # [C, M, N]
            scores = torch.cat([positive.unsqueeze(2), negative], dim=2) / own.temperature
            losses = scores.logsumexp(dim=2) - scores[..., 0]
            used = (sum_over_workers(share.sum(1)) > 0) & (members > 0) & (self.memory.pushed > 0)
            mean = (losses * share).sum(1).where(used, 0.0).sum() / used.sum().clamp_min(1)
        return mean * world()[1]

    @torch.no_grad()
    def remember(self, teacher: Sequence[Cells], progress: Progress) -> None:
        """Push the directions of some of this iteration's negatives, the same on all workers."""
        feature, candidates, priority = self.pool(teacher, "keys", progress)
        best, present = best_of_class(feature, candidates, priority, self.config.keys_per_step)
        self.memory.push(F.normalize(best, dim=2), present)

    @torch.no_grad()
    def centres(self, teacher: Sequence[Cells]) -> tuple[Tensor, Tensor]:
        """Return each class's direction [C, D] (Eq. 12) and how many cells made it [C]."""
        members = torch.cat([anchor_candidates(one, self.config) for one in teacher], dim=1)
        feature = torch.cat([rows(one.feature) for one in teacher])
        total = sum_over_workers(members.to(feature.dtype) @ feature)
        return F.normalize(total, dim=1), sum_over_workers(members.sum(1))

    def anchors(
        self, student: Sequence[Cells], progress: Progress
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return M anchors' directions, their shares in their class's mean, and their ranks.

        An anchor's rank is its place in the order of all workers' anchors of the class. Where a
        worker holds fewer than M of a class, the others have share zero.
        """
        feature, candidates, priority = self.pool(student, "anchors", progress)
        with torch.no_grad():
            score = torch.where(candidates, priority, -torch.inf)
            score, index = score.topk(min(self.config.anchors, score.shape[1]), dim=1)
            everyone = from_all_workers(score).transpose(0, 1).flatten(1)  # [C, W M]
            best = everyone.topk(min(self.config.anchors, everyone.shape[1]), dim=1).values
            rank = torch.searchsorted(-best, -score).clamp_max(best.shape[1] - 1)
            chosen = (score >= best[:, -1:]) & (score > -torch.inf)
            count = (best > -torch.inf).sum(1, keepdim=True).clamp_min(1)
        anchor = F.embedding(index, feature)
        return F.normalize(anchor, dim=2), chosen.to(feature.dtype) / count, rank

    @torch.no_grad()
    def draw_negatives(self, rank: Tensor, progress: Progress) -> Tensor:
        """Return N of its class's memory, with replacement, for every anchor: [C, M, N, D]."""
        classes, size, width = self.memory.rows.shape
        shape = (classes, self.config.anchors, self.config.negatives)
        numbers = torch.rand(shape, generator=generator(progress, "negatives"))
        numbers = moved(numbers, rank.device)
        numbers = numbers.gather(1, rank.unsqueeze(2).expand(-1, -1, shape[2]))
        filled = self.memory.pushed.clamp_max(size).reshape(-1, 1, 1)
        place = (numbers * filled).long().minimum((filled - 1).clamp_min(0))
        place += size * torch.arange(classes, device=place.device).reshape(-1, 1, 1)
        return F.embedding(place, self.memory.rows.view(-1, width))

    def pool(
        self, blocks: Sequence[Cells], purpose: str, progress: Progress
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all cells' features [P, D], whose candidates they are [C, P], random order [P]."""
        candidates = anchor_candidates if purpose == "anchors" else negative_candidates
        numbers = [
            draw(generator(progress, purpose, place), len(one.label), one.label[0].numel())
            for place, one in enumerate(blocks)
        ]
        return (
            torch.cat([rows(one.feature) for one in blocks]),
            torch.cat([candidates(one, self.config) for one in blocks], dim=1),
            moved(torch.cat([number.flatten() for number in numbers]), blocks[0].feature.device),
        )


class Cells(NamedTuple):
    """Some images as the loss sees them: one network's features, the teacher's opinions."""

    feature: Tensor  # [n, D, h, w]
    logits: Tensor  # [n, C, h, w]
    label: Tensor  # [n, h, w]     the truth or a pseudo-label, 255 = none
    anchor: Tensor  # [n, h, w]    may be anchors and parts of a centre
    negative: Tensor  # [n, h, w]  may be negatives
    labelled: bool


def rows(values: Tensor) -> Tensor:
    """Return maps [n, D, h, w] as rows [n h w, D], in full precision."""
    return full_precision(values).permute(0, 2, 3, 1).flatten(0, 2)


@torch.no_grad()
def anchor_candidates(cells: Cells, own: ContrastConfig) -> Tensor:
    """Return [C, n h w]: of that class, anchor-worthy, and likelier than delta_p (Eqs. 9, 10)."""
    probability = rows(cells.logits).softmax(dim=1)
    label = cells.label.flatten()
    worthy = cells.anchor.flatten().unsqueeze(1) & (probability > own.anchor_probability)
    classes = torch.arange(probability.shape[1], device=label.device)
    return ((label.unsqueeze(1) == classes) & worthy).T


@torch.no_grad()
def negative_candidates(cells: Cells, own: ContrastConfig) -> Tensor:
    """Return [C, n h w]: where a cell is a negative of that class (Eqs. 13 to 15).

    A labelled cell, of the classes among its r_l likeliest that are not its own; an unlabelled one,
    of the classes of ranks r_l to r_h, the latter excluded.
    """
    logits = rows(cells.logits)
    classes = logits.shape[1]
    first, end = min(own.nearest_rank, classes - 1), min(own.farthest_rank, classes)
    rank = logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    label = cells.label.flatten().unsqueeze(1)
    if cells.labelled:
        other = label != torch.arange(classes, device=label.device)
        window = (rank < first) & other & (label != IGNORE)
    else:
        window = (rank >= first) & (rank < end)
    return (window & cells.negative.flatten().unsqueeze(1)).T


def labelled_cells(feature: Tensor, logits: Tensor, label: Tensor) -> Cells:
    """Return labelled images as cells: feature [n, D, h, w], logits [n, C, H, W], label [n, H, W].

    The logits are the teacher's; every cell that is not 255 may be an anchor and a negative.
    """
    known = label != IGNORE
    return _cells(feature, logits, label, known, known, labelled=True)


def unlabelled_cells(
    feature: Tensor, logits: Tensor, label: Tensor, parts: Partition, own: ContrastConfig
) -> Cells:
    """Return unlabelled images as cells: as above, with the partition's maps [n, H, W].

    The partition and the two settings that name its parts say what may be anchor and negative.
    """
    anchor = parts.reliable if own.anchor_pixels == "reliable" else parts.surest
    negative = {
        "unreliable": parts.valid & ~parts.reliable,
        "reliable": parts.reliable,
        "all": parts.valid,
    }[own.negative_pixels]
    return _cells(feature, logits, label, anchor, negative, labelled=False)


def _cells(
    feature: Tensor, logits: Tensor, label: Tensor, anchor: Tensor, negative: Tensor, labelled: bool
) -> Cells:
    size = feature.shape[-2:]
    small = [F.interpolate(part.unsqueeze(1).float(), size) for part in (label, anchor, negative)]
    label, anchor, negative = (part.squeeze(1) for part in small)
    logits = F.interpolate(logits.detach(), size)
    return Cells(feature, logits, label.long(), anchor.bool(), negative.bool(), labelled)
