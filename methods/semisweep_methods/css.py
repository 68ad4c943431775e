"""CSS: pseudo-labels from two spaces, logits and representations, that check each other.

C. Wang, H. Xie, Y. Yuan, C. Fu, X. Yue, "Space Engage: Collaborative Space Supervision for
Contrastive-based Semi-Supervised Semantic Segmentation", ICCV 2023. What is new: a pixel's nearest
class prototype labels it as well as its logits do; labels must agree ("mix") or each space teaches
the other ("cross"); and how sure a prototype is of a pixel says where contrast is needed.

Where paper and release differ, both readings are options and the table of settings says which is
the default. As in paper or release:
1. the teacher follows the student, predicts in training mode on the weak views, and is evaluated;
   the student sees strong views, always mixed by CutMix;
2. selection for a loss asks the teacher that made the label, selection of hard pixels the student.

Chosen by us, beside what `spaces`, `collaboration` and `contrast` say:
3. this iteration's labels come from the prototypes of the last, which this iteration's labels then
   move; the contrast uses the moved ones;
4. labelled and mixed images go through the student in one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from semisweep.averaging import evaluating, follow, frozen_copy, warm_momentum
from semisweep.config import Count, Fraction, NonNegativeCount, Positive, config, setting
from semisweep.functional import cutmix, supervised_loss
from semisweep.method import Batch, Method, MethodConfig, Progress, PseudoLabel, Update
from semisweep.network import NetworkConfig, seeded
from semisweep_methods.collaboration import hard_pixels, known, label_spaces, unlabelled_loss
from semisweep_methods.contrast import ContrastConfig, Pixels, contrastive_loss, make_draws
from semisweep_methods.spaces import Look, Prototypes, RepresentationHead, TwoSpaces, nearest, rows


def _with_representations(own: CSSConfig) -> bool:
    return own.uses_representations


@config
class CSSConfig(MethodConfig):
    """CSS's settings; the defaults are those of its best row, "mix + ind"."""

    network: NetworkConfig = setting(factory=NetworkConfig, paper="DeepLabV3+, ResNet-101")
    label_source: Literal["logits", "representations", "mix", "cross"] = setting(
        "mix", paper="mix or cross (Sec. 3.3, Tables 5 and 7)", code="a script for each"
    )
    warm_up_epochs: NonNegativeCount = setting(
        20,
        paper="20 with logits alone (Sec. 4.1)",
        code="0, and 20 in its description",
        matters=lambda own: own.label_source == "cross",
    )
    unlabelled_indicator: Literal["confidence", "similarity"] = setting(
        "confidence", paper="confidence (Sec. 3.3); similarity in Table 6", code="confidence"
    )
    unlabelled_threshold: Fraction = setting(
        0.97, symbol="delta_u", paper="not given", code="0.97 of the confidence"
    )
    unlabelled_mean: Literal["selected_pixels", "image_share"] = setting(
        "selected_pixels",
        paper="over the selected pixels (Eq. 8)",
        code="over all labelled pixels, each image times the share that is selected of it",
        why="the paper's equation",
    )
    valid_indicator: Literal["confidence", "similarity"] = setting(
        "similarity",
        paper="similarity (Sec. 3.4); confidence in Table 6's first row",
        code="confidence, always",
        why="the paper's: it is what the indicator is for",
        matters=_with_representations,
    )
    valid_threshold: Fraction = setting(
        0.7,
        symbol="delta_w",
        paper="not given",
        code="0.7 of the confidence",
        matters=_with_representations,
    )
    indicator_temperature: Positive = setting(
        0.1,
        symbol="tau",
        paper="not given (Eq. 5)",
        code="0.5, as in the contrast",
        why="at 0.5 the similarity of 21 classes is below 0.74 whatever the features: no pixel "
        "would be valid and all would be hard; a tenth can reach both thresholds",
        matters=lambda own: own.uses_similarity,
    )
    representation_channels: Count = setting(
        256, symbol="D", paper="not given", code="256", matters=_with_representations
    )
    prototype_source: Literal["teacher", "student"] = setting(
        "teacher",
        paper="the teacher's representations (Eq. 2)",
        code="the student's, mixed images included",
        why="the paper's; the teacher then looks at the labelled images too",
        matters=_with_representations,
    )
    prototype_momentum: Fraction = setting(
        0.99, symbol="alpha", paper="not given (Eq. 3)", code="0.99", matters=_with_representations
    )
    teacher_momentum: Fraction = setting(
        0.99, paper="EMA (Sec. 3.1), not given", code="0.99, at first min(1 - 1 / (step + 1), 0.99)"
    )
    teacher_statistics: Literal["own", "average"] = setting(
        "own",
        paper="not given",
        code="own: the teacher is in training mode",
        why="average: in evaluation mode, with averages of the student's batch statistics",
    )
    contrast: ContrastConfig = setting(factory=ContrastConfig, paper="Eq. 9")

    @property
    def uses_representations(self) -> bool:
        """Whether any loss looks at the representation space."""
        labels = self.label_source != "logits" or self.unlabelled_indicator == "similarity"
        return labels or self.contrast.weight > 0

    @property
    def uses_similarity(self) -> bool:
        """Whether any label or threshold comes from softmax similarity."""
        hard = self.contrast.hard_sampling and self.contrast.hard_indicator == "similarity"
        inner = self.valid_indicator == "similarity" or (self.contrast.weight > 0 and hard)
        outer = self.label_source != "logits" or self.unlabelled_indicator == "similarity"
        return outer or (self.uses_representations and inner)


class CSS(Method):
    """A student, a teacher that follows it, and a prototype of each class."""

    Config: ClassVar[type[CSSConfig]] = CSSConfig

    def __init__(self, config: CSSConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        network, head = config.network.build(classes, seed), None
        channels = config.representation_channels if config.uses_representations else 0
        if channels:
            with seeded(seed, "representation"):
                head = RepresentationHead(network, channels)
        self.student = TwoSpaces(network, head)
        self.teacher = frozen_copy(self.student)
        self.prototypes = Prototypes(classes, channels, config.prototype_momentum)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the student."""
        return {"student": [self.student]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L_s + L_u + lambda_c L_c (Eq. 6); then the teacher follows."""
        own: CSSConfig = self.config
        taught = self.teach(batch)
        weak = Look(*(part[-len(batch.weak) :] for part in taught))
        for_logits, for_representations = self.supervision(weak, self.source(progress), batch.valid)
        mixed = cutmix(batch.strong[0], batch.cutmix[0])
        seen = self.student(torch.cat([batch.image, mixed]))
        target = PseudoLabel(*(cutmix(part, batch.cutmix[0]) for part in for_logits))
        loss, terms = self.logit_loss(batch, seen.logits, target)
        if own.uses_representations:
            label = known(for_representations)
            mixed_label = torch.cat([batch.label, cutmix(label, batch.cutmix[0])])
            if own.prototype_source == "teacher":
                self.prototypes.move(taught, torch.cat([batch.label, label]))
            else:
                self.prototypes.move(seen, mixed_label)
            weight = own.contrast.weight_at(progress)
            if weight > 0:
                contrast = self.contrast(batch, seen, mixed_label, progress)
                loss = loss + weight * contrast
                terms["contrast"] = contrast.detach()
        yield Update("student", loss, terms)
        momentum = warm_momentum(own.teacher_momentum, progress.step)
        follow(self.teacher, self.student, momentum, own.teacher_statistics)

    def source(self, progress: Progress) -> str:
        """Return where labels come from now: logits alone until the prototypes are good."""
        own: CSSConfig = self.config
        warming = own.label_source == "cross" and progress.epoch < own.warm_up_epochs
        return "logits" if warming else own.label_source

    @torch.no_grad()
    def teach(self, batch: Batch) -> Look:
        """Return what the teacher sees of the weak images, or of labelled and weak ones."""
        own: CSSConfig = self.config
        image = batch.weak
        if own.uses_representations and own.prototype_source == "teacher":
            image = torch.cat([batch.image, batch.weak])
        with nullcontext() if own.teacher_statistics == "own" else evaluating(self.teacher):
            return self.teacher(image)  # type: ignore[no-any-return]

    def supervision(
        self, seen: Look, source: str, valid: Tensor
    ) -> tuple[PseudoLabel, PseudoLabel]:
        """Return the labels for the logit space and for the representation space (Sec. 3.3).

        The teacher's look at U images, valid [U, H, W].
        """
        return label_spaces(self.config, self.prototypes, seen, source, valid)

    def logit_loss(
        self, batch: Batch, logits: Tensor, target: PseudoLabel
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_s + L_u and both; logits [B + U, C, H, W], target of the mixed images."""
        own: CSSConfig = self.config
        labelled, mixed = torch.split(logits, [len(batch.image), len(batch.weak)])
        supervised = supervised_loss(own.supervised_loss, labelled, batch.label)
        unlabelled = unlabelled_loss(own.unlabelled_mean, mixed, target)
        return supervised + unlabelled, {
            "supervised": supervised.detach(),
            "unlabelled": unlabelled.detach(),
            "selected": target.selected.float().mean(),
        }

    def contrast(self, batch: Batch, seen: Look, label: Tensor, progress: Progress) -> Tensor:
        """Return L_c (Eq. 9) of the student's labelled and mixed images, label [B + U, H, W]."""
        own: ContrastConfig = self.config.contrast
        size = seen.representation.shape[-2:]
        label = nearest(label, size)
        hard = hard_pixels(self.config, self.prototypes, seen, label)
        images = {"labelled": len(batch.image), "unlabelled": len(batch.weak)}
        draws = make_draws(own, progress, self.classes, images, size[0] * size[1])
        with torch.autocast(label.device.type, enabled=False):
            pixels = Pixels(rows(seen.representation), label.flatten(), hard.flatten())
            return contrastive_loss(pixels, self.prototypes.centre, draws, own)

    def pseudo_labels(self, image: Tensor) -> Mapping[str, PseudoLabel]:
        """Return the teacher's labels from logits, from representations, and where both agree.

        The rows of Table 4; each is selected as for the space it comes from, "mix" as for logits.
        """
        seen = self.teacher(image)
        valid = torch.ones_like(image[:, 0], dtype=torch.bool)
        labels = {"logits": self.supervision(seen, "logits", valid)[0]}
        if self.config.uses_representations:
            other = self.supervision(seen, "representations", valid)[1]
            labels |= {"representations": other, "mix": self.supervision(seen, "mix", valid)[0]}
        return labels

    def predict(self, image: Tensor) -> Tensor:
        """Return the teacher's logits."""
        logits: Tensor = self.teacher.network(image).logits
        return logits
