"""Mean Teacher: the student agrees with the average of its own past.

A. Tarvainen, H. Valpola, "Mean teachers are better role models: Weight-averaged consistency targets
improve semi-supervised deep learning results", NeurIPS 2017, for segmentation as the papers use it.
What is new: the targets come from an exponential moving average of the student's weights.

As in the paper:
1. the squared distance of the two networks' probabilities, ramped up as exp(-5 (1 - x)^2);
2. the teacher follows after every iteration, quickly at first; it is the network that is evaluated.

As French et al. have it (see `cutmix_seg`):
3. the distance is summed over classes and averaged over pixels, so that the gradient does not
   shrink with the number of classes;
4. where a confidence is asked for, the share of pixels at least that confident scales the loss;
5. with CutMix, the teacher looks at whole images and its answers are mixed.

Chosen by us:
6. the student's noise is the strong view of the platform: a consistency of one image with itself
   would have nothing but batch statistics to teach;
7. labelled and unlabelled images are one forward pass of the student, as in U2PL; French et al.
   make two;
8. the teacher looks in evaluation mode and its batch statistics are averages too. French et al.
   leave it in training mode;
9. with weight zero no unlabelled image is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, NetworkConfig, Progress, Update, config, setting
from semisweep.core.config import Fraction, NonNegative
from semisweep.training.distributed import sum_over_workers
from semisweep.training.functional import cutmix, full_precision, over_count, supervised_loss
from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum


@config
class MeanTeacherConfig(MethodConfig):
    """Mean Teacher's settings."""

    network: NetworkConfig = setting(
        factory=NetworkConfig, why="the network of the compared methods"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.99,
        symbol="alpha",
        paper="0.99 during ramp-up, 0.999 after",
        code="0.99 (French et al., CPS)",
        why="the segmentation literature's",
    )
    consistency_weight: NonNegative = setting(
        1.0,
        off=0.0,
        switch="consistency",
        symbol="lambda",
        paper="100, averaged over 10 classes",
        code="1 with CutMix, 0.003 with plain augmentation (French et al.)",
        why="of a sum over classes; tune it",
    )
    consistency: Literal["squared", "cross_entropy"] = setting(
        "squared",
        paper="squared distance",
        code="squared distance (French et al.)",
        why='"cross_entropy" takes the teacher\'s likeliest class for a label',
        matters=lambda own: own.uses_unlabelled,
    )
    confidence_threshold: Fraction = setting(
        0.0,
        paper="none",
        code="0.97 (French et al.)",
        why="the paper's",
        matters=lambda own: own.uses_unlabelled,
    )
    ramp_up: Fraction = setting(
        0.25,
        off=0.0,
        needs=("consistency",),
        paper="40,000 of 150,000 iterations",
        code="none (French et al.: the confidence replaces it)",
        why="a share of all iterations; zero is no ramp",
        matters=lambda own: own.uses_unlabelled,
    )
    strong_view: bool = setting(
        True,
        off=False,
        needs=("consistency",),
        paper="student and teacher see different noise",
        why="whether the student sees the strong view or the weak one",
        matters=lambda own: own.uses_unlabelled,
    )
    cutmix: bool = setting(
        False,
        off=False,
        needs=("consistency",),
        paper="none",
        why="with CutMix it is CutMix-Seg",
        matters=lambda own: own.uses_unlabelled,
    )

    @property
    def uses_unlabelled(self) -> bool:
        """Whether any loss looks at images without labels."""
        return self.consistency_weight > 0


class MeanTeacher(Method):
    """A student, and its average as a teacher."""

    Config: ClassVar[type[MeanTeacherConfig]] = MeanTeacherConfig
    name = "semisweep_methods.mean_teacher:MeanTeacher"

    def __init__(self, config: MeanTeacherConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = int(config.uses_unlabelled and (config.strong_view or config.cutmix))
        self.student = config.network.build(classes, seed)
        self.teacher = frozen_copy(self.student)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the student."""
        return {"student": [self.student]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L_x + lambda w(t) L_u; then the teacher follows."""
        own: MeanTeacherConfig = self.config
        images = [batch.image, self.perturb(batch)] if own.uses_unlabelled else [batch.image]
        logits = self.student(torch.cat(images)).logits
        labelled, unlabelled = logits[: len(batch.image)], logits[len(batch.image) :]
        loss = supervised_loss(own.supervised_loss, labelled, batch.label)
        terms = {"supervised": loss.detach()}
        if own.uses_unlabelled:
            target, valid = self.teach(batch)
            term, confident = consistency(
                own.consistency, unlabelled, target, valid, own.confidence_threshold
            )
            terms |= {"consistency": term.detach(), "confident": confident}
            loss = loss + own.consistency_weight * ramp(own.ramp_up, progress) * term
        yield Update("student", loss, terms)
        follow(self.teacher, self.student, warm_momentum(own.momentum, progress.step))

    def perturb(self, batch: Batch) -> Tensor:
        """Return what the student sees of the unlabelled images [U, 3, H, W]."""
        view = batch.strong[0] if self.config.strong_view else batch.weak
        return cutmix(view, batch.cutmix[0]) if self.config.cutmix else view

    @torch.no_grad()
    def teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the teacher's probabilities [U, C, H, W], where they are valid [U, H, W]."""
        with evaluating(self.teacher):
            target = full_precision(self.teacher(batch.weak).logits).softmax(dim=1)
        if not self.config.cutmix:
            return target, batch.valid
        return cutmix(target, batch.cutmix[0]), cutmix(batch.valid, batch.cutmix[0])

    def reported(self) -> Sequence[nn.Module]:
        """Return the teacher."""
        return [self.teacher]

    def predict(self, image: Tensor) -> Tensor:
        """Return the teacher's logits."""
        logits: Tensor = self.teacher(image).logits
        return logits


def consistency(
    kind: str, logits: Tensor, target: Tensor, valid: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    """Return the student's mean distance from the targets, and the share of confident pixels.

    logits and target (probabilities) [U, C, H, W], valid [U, H, W]. "squared" is summed over
    classes, "cross_entropy" takes the target's likeliest class. The mean over valid pixels is
    scaled by the share of them, over all workers, whose target has `threshold` or more. Zero,
    attached to the graph, where nothing is valid.
    """
    logits = full_precision(logits)
    highest, label = target.max(dim=1)
    if kind == "squared":
        distance = (logits.softmax(dim=1) - target).square().sum(dim=1)
    else:
        distance = nn.functional.cross_entropy(logits, label, reduction="none")
    mean = over_count(distance.where(valid, 0.0).sum(), valid.sum())
    confident = sum_over_workers(((highest >= threshold) & valid).sum())
    share = confident / sum_over_workers(valid.sum()).clamp_min(1)
    return mean * share, share


def ramp(share: float, progress: Progress) -> float:
    """Return exp(-5 (1 - x)^2), x the part gone of the first `share` of all iterations, or 1."""
    steps = share * progress.total_steps
    x = min(progress.step / steps, 1.0) if steps > 0 else 1.0
    return math.exp(-5 * (1 - x) ** 2)
