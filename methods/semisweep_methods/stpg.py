"""STPG: a professional and a general student, each taught by the average of the other.

Y. Hong, H. Xiao, H. Hao, X. Qiu, B. Yao, C. Peng, "Semi-Supervised Semantic Segmentation with
Professional and General Training", 2024. What is new: the professional student learns only from
pixels on which it agrees with its teacher or on which the teacher's class is the more often
mismatched one, a sign of a minority; and features gather around class anchors fixed beforehand.

A pixel is consistent, or mismatched, where the student's class is not the teacher's; highly so
where the teacher's class is the more often mismatched one of the two (Eqs. 4 to 7 and 11). U mixed
strong views, C classes.

As in the paper:
1. each teacher is the average of one student and teaches the other; the general one is reported;
2. a pseudo-label weighs as much as its teacher is confident, and no threshold cuts it off;
3. the memory holds labelled features of the general teacher: confident, nearest to their anchor.

Chosen by us, as no code is released (the settings say what else is open):
4. labelled images and the strong view go through a student in one pass, both students see the same
   view, and teachers look in evaluation mode with averaged batch statistics;
5. features, anchors and memory have unit length; features are the cells of the fused
   representation, with the label or selected confident pseudo-label at the cell's place;
6. there is no contrast before classes have met their anchors, after `matching_epochs` counted as a
   share of all steps: a training that is shorter has no contrast;
7. Eq. 17 has one L_ac and one L_sim: those of both students, added;
8. with lambda_u = 0 nothing unlabelled is seen: there is only the general student and its teacher;
9. a share of Eq. 5 of nothing is zero; the confusion matrix is that of all workers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    NetworkConfig,
    Progress,
    Switch,
    Update,
    config,
    setting,
)
from semisweep.core.config import Fraction, NonNegative
from semisweep.core.seeding import derive
from semisweep.networks.network import Network, Output
from semisweep.training import distributed
from semisweep.training.functional import (
    IGNORE,
    cutmix,
    full_precision,
    over_count,
    pseudo_label,
    supervised_loss,
)
from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum
from semisweep_methods.stpg_contrast import ContrastConfig, DualContrast
from semisweep_methods.supervised import Supervised, SupervisedConfig


@config
class STPGConfig(MethodConfig):
    """STPG's settings; lambda_u = 0 without contrast is the Supervised trial."""

    switches = (
        Switch(
            name="selection",
            off={"select_low_mismatched": True},
            needs=("dual",),
            label="pixel selection",
        ),
        Switch(name="contrast", off={"contrast.weight": 0.0}, needs=("dual",)),
    )

    network: NetworkConfig = setting(factory=NetworkConfig, paper="DeepLabV3+, ResNet-50 or 101")
    teachers: Literal["dual", "single"] = setting(
        "dual",
        off="single",
        switch="dual",
        needs=("unlabelled",),
        paper="dual mean teacher; without DM in Table 4, one traditional mean teacher",
        why='"single": the general student is taught by its own average, on all pixels',
        matters=lambda own: own.unlabelled_weight > 0,
    )
    select_consistent: bool = setting(
        True, paper="selected (Table 5)", matters=lambda own: own.uses_dual
    )
    select_low_mismatched: bool = setting(
        False,
        paper="not selected (Table 5); all three are Table 4 without PS",
        matters=lambda own: own.uses_dual,
    )
    select_highly_mismatched: bool = setting(
        True, paper="selected (Eq. 6, Table 5)", matters=lambda own: own.uses_dual
    )
    unlabelled_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="unlabelled",
        symbol="lambda_u",
        paper="1 (Sec. 4.1, Fig. 8b)",
        why="zero: no unlabelled image",
    )
    unlabelled_mean: Literal["valid", "weight"] = setting(
        "valid",
        paper="open: Eq. 7 and 11 do not say what the weighted sum is divided by",
        why='"valid": by pixels that are no padding, so doubt weighs less; "weight": by weights',
        matters=lambda own: own.unlabelled_weight > 0,
    )
    teacher_momentum: Fraction = setting(
        0.99,
        paper="open",
        why="U2PL's, less in the first 100 steps; the UniMatch family later took 0.996",
    )
    contrast: ContrastConfig = setting(
        factory=ContrastConfig, paper="dual contrastive learning, DCL (Sec. 3.3)"
    )
    contrasted_students: Literal["both", "general"] = setting(
        "both",
        paper="open: Eq. 17 does not say of whose features",
        why="each with a projection head of its own",
        matters=lambda own: own.contrast.active and own.uses_dual,
    )
    contrasted_images: Literal["all", "labelled"] = setting(
        "all",
        paper='open: "the predicting pixel"',
        why="of unlabelled ones, pixels whose pseudo-label is selected and at least phi sure",
        matters=lambda own: own.contrast.active and own.unlabelled_weight > 0,
    )

    @property
    def uses_dual(self) -> bool:
        """Whether there is a professional student."""
        return self.teachers == "dual" and self.unlabelled_weight > 0


class STPG(Method):
    """Two students and their averages; `network` is the general student, which is reported."""

    Config = STPGConfig
    name = "semisweep_methods.stpg:STPG"

    def __init__(self, config: STPGConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = 1 if config.unlabelled_weight > 0 else 0
        self.network = config.network.build(classes, seed)  # Gen-Student
        self.teacher = frozen_copy(self.network)  # Gen-Teacher
        if config.uses_dual:
            self.professional = config.network.build(classes, derive(seed, "second"))
            self.professional_teacher = frozen_copy(self.professional)
        if config.contrast.active:
            heads = 2 if config.uses_dual and config.contrasted_students == "both" else 1
            channels = self.network.decoder.fused_channels
            self.contrast = DualContrast(config.contrast, channels, classes, seed, heads)

    @classmethod
    def same_as(cls, config: STPGConfig) -> tuple[type[Method], MethodConfig]:
        """Return Supervised where only L_s is left; contrast that is off has weight zero."""
        if config.contrast.active:
            return cls, config
        if config.unlabelled_weight == 0:
            loss = config.supervised_loss
            return Supervised, SupervisedConfig(supervised_loss=loss, network=config.network)
        off = dataclasses.replace(config.contrast, weight=0.0)
        return cls, dataclasses.replace(config, contrast=off)

    @property
    def students(self) -> list[Network]:
        """Gen-Student, and Pro-Student where there is one."""
        return [self.network, *([self.professional] if self.config.uses_dual else [])]

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the students and their projection heads."""
        contrast = [self.contrast] if self.config.contrast.active else []
        return {"students": [*self.students, *contrast]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L_s + lambda_u (L_Gen + L_Pro) + lambda_ctr (L_ac + L_sim), Eq. 17."""
        own: STPGConfig = self.config
        labelled, strong = self.outputs(batch)
        kind = own.supervised_loss
        losses = [supervised_loss(kind, seen.logits, batch.label) for seen in labelled]
        loss = torch.stack(losses).sum()  # Eq. 1
        terms = {"supervised": loss.detach()}
        targets = self.teach(batch, strong) if own.unlabelled_weight > 0 else []
        for name, seen, target in zip(("general", "professional"), strong, targets, strict=False):
            term = weighted_cross_entropy(seen.logits, target, own.unlabelled_mean)  # Eq. 7, 11
            loss = loss + own.unlabelled_weight * term
            terms[name] = term.detach()
        if own.uses_dual:
            selected = targets[1].selected.sum().float()
            terms["selected"] = over_count(selected, targets[1].valid.sum())
        if own.contrast.active:
            pairs = self.contrasted(batch, labelled, strong, targets)
            for name, term in self.contrast.losses(pairs, progress).items():
                loss = loss + own.contrast.weight * term
                terms[name] = term.detach()
        yield Update("students", loss, terms)
        # The students have moved: their averages follow, and Gen-Teacher looks at what is known.
        for average, source in self.averages():
            follow(average, source, warm_momentum(own.teacher_momentum, progress.step))
        if own.contrast.active:
            with evaluating(self.teacher), torch.no_grad():
                recalled = self.teacher(batch.image)
            self.contrast.remember(recalled, batch.label, progress)

    def outputs(self, batch: Batch) -> tuple[list[Output], list[Output]]:
        """Return what each student makes of labelled images and of the mixed strong view."""
        images, known = batch.image, len(batch.image)
        if self.views:
            images = torch.cat([images, cutmix(batch.strong[0], batch.cutmix[0])])
        seen = [student(images) for student in self.students]
        labelled = [Output(own.logits[:known], own.fused[:known]) for own in seen]
        strong = [Output(own.logits[known:], own.fused[known:]) for own in seen]
        return labelled, strong

    @torch.no_grad()
    def teach(self, batch: Batch, strong: Sequence[Output]) -> list[Target]:
        """Return each student's targets: all pixels for the general one, Eq. 4 to 6 for the other.

        Pseudo-labels of weak images, pasted as the images are.
        """
        own: STPGConfig = self.config
        teachers = [self.professional_teacher, self.teacher] if own.uses_dual else [self.teacher]
        targets = []
        for teacher in teachers:
            with evaluating(teacher):
                label, confidence = pseudo_label(teacher(batch.weak).logits)
            parts = (label, confidence, batch.valid, batch.valid)
            targets.append(Target(*(cutmix(part, batch.cutmix[0]) for part in parts)))
        if own.uses_dual:
            label, valid = targets[1].label, targets[1].valid
            believed = strong[1].logits.argmax(dim=1)
            score = mismatch_scores(confusion(believed, label, valid, self.classes))
            chosen = select_pixels(own, believed, label, score) & valid
            targets[1] = targets[1]._replace(selected=chosen)
        return targets

    def contrasted(
        self, batch: Batch, labelled: list[Output], strong: list[Output], targets: list[Target]
    ) -> list[list[tuple[Tensor, Tensor]]]:
        """Return for each contrasted student its feature maps and their labels [.., H, W]."""
        pairs = [[(seen.fused, batch.label)] for seen in labelled]
        if self.config.contrasted_images == "all":
            for own, seen, target in zip(pairs, strong, targets, strict=False):
                sure = target.selected & (target.confidence >= self.config.contrast.confidence)
                own.append((seen.fused, target.label.where(sure, IGNORE)))
        return pairs[: len(self.contrast.heads)]

    def averages(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Yield each average and whose it is."""
        yield self.teacher, self.network
        if self.config.uses_dual:
            yield self.professional_teacher, self.professional
        if self.config.contrast.active:
            yield self.contrast.teacher_head, self.contrast.heads[0]

    def reported(self) -> Sequence[nn.Module]:
        """Return the general student."""
        return [self.network]

    def predict(self, image: Tensor) -> Tensor:
        """Return the general student's logits."""
        logits: Tensor = self.network(image).logits
        return logits

    def project(self, fused: Tensor) -> Tensor | None:
        """Return unit features in the space of the anchors, by the general student's head."""
        if not self.config.contrast.active:
            return None
        batch, _, height, width = fused.shape
        rows: Tensor = self.contrast.heads[0](fused)
        return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


class Target(NamedTuple):
    """What a student is to believe of its mixed strong view."""

    label: Tensor  # [U, H, W]
    confidence: Tensor  # [U, H, W]
    selected: Tensor  # [U, H, W]  only where valid
    valid: Tensor  # [U, H, W]


def confusion(row: Tensor, column: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Return how many counted pixels of all workers are of each pair of classes [C, C] (Fig. 5)."""
    pair = (row * classes + column).where(counted, classes * classes).flatten()
    counts = pair.new_zeros(classes * classes + 1).scatter_add_(0, pair, torch.ones_like(pair))
    return distributed.sum_over_workers(counts[:-1]).view(classes, classes)


def mismatch_scores(confusion: Tensor) -> Tensor:
    """Return the scores I [C] of a confusion matrix [C, C] (Eq. 5).

    The shares of a class's row and column that are off the diagonal, added. A share of nothing is
    zero.
    """
    agreed = confusion.diagonal()
    sums = torch.stack([confusion.sum(dim=1), confusion.sum(dim=0)])
    return ((sums - agreed) / sums.clamp_min(1)).sum(dim=0)


def select_pixels(config: STPGConfig, student: Tensor, teacher: Tensor, score: Tensor) -> Tensor:
    """Return which pseudo-labels are used, given both models' classes (Fig. 4, Table 5).

    student and teacher [U, H, W], score [C]. Highly mismatched where the teacher's class has the
    greater score (Eq. 6), low mismatched where they differ and it has not.
    """
    consistent = student == teacher
    high = score[student] < score[teacher]
    return (
        (consistent & config.select_consistent)
        | (high & config.select_highly_mismatched)
        | (~consistent & ~high & config.select_low_mismatched)
    )


def weighted_cross_entropy(logits: Tensor, target: Target, kind: str) -> Tensor:
    """Return the cross-entropy of selected pixels weighted by confidence (Eq. 7 and 11).

    logits [U, C, H, W]. Over the number of "valid" pixels or the sum of the "weight"s, of all
    workers; zero, attached to the graph, where that is nothing.
    """
    losses = F.cross_entropy(full_precision(logits), target.label, reduction="none")
    weight = target.confidence.where(target.selected, 0.0)
    return over_count(
        (weight * losses).sum(), target.valid.sum() if kind == "valid" else weight.sum()
    )
