"""CSS: pseudo-labels from two spaces, logits and representations, that check each other.

C. Wang, H. Xie, Y. Yuan, C. Fu, X. Yue, "Space Engage: Collaborative Space Supervision for
Contrastive-based Semi-Supervised Semantic Segmentation", ICCV 2023. What is new: a pixel's nearest
class prototype labels it as well as its logits do; labels must agree ("mix") or each space teaches
the other ("cross"); and how sure a prototype is of a pixel says where contrast is needed.

How sure a space is of a pixel is told by an indicator (Secs. 3.3 and 3.4, Eq. 8):
"confidence", the probability from the logits, or "similarity", the softmax similarity with
the prototypes (Eq. 5). U unlabelled images, N images of both kinds, C classes.

Where paper and release differ, both readings are options and the table of settings says which is
the default. As in paper or release:
1. the teacher follows the student, predicts in training mode on the weak views, and is evaluated;
   the student sees strong views, always mixed by CutMix;
2. selection for a loss asks the teacher that made the label, selection of hard pixels the student;
3. a pixel is hard by the probability or softmax similarity of the class of its label.

Chosen by us, beside what `spaces` and `contrast` say:
4. this iteration's labels come from the prototypes of the last, which this iteration's labels then
   move; the contrast uses the moved ones;
5. labelled and mixed images go through the student in one pass;
6. a pixel is selected by the probability or softmax similarity of its likeliest class, whatever its
   label: asked of the label's class, a similarity above one half would make every logit label a
   mixed one, and Table 6's second row would be twice the same training;
7. before there is any prototype no pixel has a label from its representation: in the release all
   have class 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    NetworkConfig,
    Progress,
    PseudoLabel,
    Switch,
    Update,
    config,
    setting,
)
from semisweep.core.config import Count, Fraction, NonNegativeCount, Positive
from semisweep.networks.network import seeded
from semisweep.training.functional import (
    IGNORE,
    cutmix,
    full_precision,
    over_count,
    supervised_loss,
)
from semisweep.training.precision import without_autocast
from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum
from semisweep_methods.contrast import ContrastConfig, Pixels, contrastive_loss, make_draws
from semisweep_methods.spaces import (
    Prototypes,
    RepresentationHead,
    SpaceOutput,
    TwoSpaces,
    at_class,
    nearest,
    rows,
)


def _with_representations(own: CSSConfig) -> bool:
    return own.uses_representations


@config
class CSSConfig(MethodConfig):
    """CSS's settings; the defaults are those of its best row, "mix + ind"."""

    switches = (
        Switch(
            name="indicators",
            off={"valid_indicator": "confidence", "contrast.hard_indicator": "confidence"},
        ),
    )

    network: NetworkConfig = setting(factory=NetworkConfig, paper="DeepLabV3+, ResNet-101")
    label_source: Literal["logits", "representations", "mix", "cross"] = setting(
        "mix",
        off="logits",
        switch="label_spaces",
        paper="mix or cross (Sec. 3.3, Tables 5 and 7)",
        code="a script for each",
    )
    warm_up_epochs: NonNegativeCount = setting(
        20,
        paper="20 with logits alone (Sec. 4.1)",
        code="0, and 20 in its description",
        matters=lambda own: own.label_source == "cross",
    )
    warm_up_passes: Literal["unlabelled", "labelled"] = setting(
        "unlabelled",
        neutral="unlabelled",
        paper="not given: what an epoch is a pass over",
        code="labelled: with 92 images and batches of 16, 20 epochs are 100 iterations",
        why="studies of the paper's scale have the code's; unlabelled is ours, in which prototypes "
        "are those of a network that has learned: 13,100 iterations at 92 labels",
        matters=lambda own: own.label_source == "cross",
    )
    unlabelled_indicator: Literal["confidence", "similarity", "of_label"] = setting(
        "confidence",
        paper="confidence (Sec. 3.3); similarity in Table 6",
        code="confidence; in the script of cross of_label, that of the space the label comes from: "
        "similarity after the warm-up, which at its temperature of 0.5 never reaches 0.97, so "
        "that nothing is learned from pseudo-labels",
        why="the paper's",
    )
    unlabelled_threshold: Fraction = setting(
        0.97, symbol="delta_u", paper="not given", code="0.97 of the confidence"
    )
    unlabelled_mean: Literal["selected_pixels", "image_share", "confident_share"] = setting(
        "selected_pixels",
        paper="over the selected pixels (Eq. 8)",
        code="confident_share: over all labelled pixels, each image times its number of pixels "
        "above the threshold, with a label or without, over that of labelled ones",
        why="the paper's equation; image_share counts those with a label alone, as does the "
        "code where every pixel has one",
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
    prototype_start: Literal["zero", "first_mean"] = setting(
        "zero",
        neutral="zero",
        paper="not given (Eq. 3)",
        code="first_mean: a class's first mean is its prototype, whole",
        why="studies of the paper's scale have the code's; from zero, cosines see the same "
        "first prototype, and later ones that forget it sooner",
        matters=_with_representations,
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
    name = "semisweep_methods.css:CSS"

    def __init__(self, config: CSSConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        network, head = config.network.build(classes, seed), None
        channels = config.representation_channels if config.uses_representations else 0
        if channels:
            with seeded(seed, "representation"):
                head = RepresentationHead(network, channels)
        self.student = TwoSpaces(network, head)
        self.teacher = frozen_copy(self.student)
        self.prototypes = Prototypes(
            classes, channels, config.prototype_momentum, config.prototype_start
        )

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the student."""
        return {"student": [self.student]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L_s + L_u + lambda_c L_c (Eq. 6); then the teacher follows."""
        own: CSSConfig = self.config
        taught = self.teach(batch)
        weak = SpaceOutput(*(part[-len(batch.weak) :] for part in taught))
        source = self.source(progress)
        for_logits, for_representations = self.supervision(weak, source, batch.valid)
        mixed = cutmix(batch.strong[0], batch.cutmix[0])
        seen = self.student(torch.cat([batch.image, mixed]))
        target = PseudoLabel(*(cutmix(part, batch.cutmix[0]) for part in for_logits))
        confident = None
        if own.unlabelled_mean == "confident_share":
            confident = confident_pixels(own, self.prototypes, weak, source, batch.valid)
            confident = cutmix(confident, batch.cutmix[0])
        loss, terms = self.logit_loss(batch, seen.logits, target, confident)
        if own.uses_representations:
            label = for_representations.label.where(for_representations.selected, IGNORE)
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
        unlabelled = own.warm_up_passes == "unlabelled"
        epoch = progress.epoch if unlabelled else progress.labelled_epoch
        warming = own.label_source == "cross" and epoch < own.warm_up_epochs
        return "logits" if warming else own.label_source

    @torch.no_grad()
    def teach(self, batch: Batch) -> SpaceOutput:
        """Return what the teacher sees of the weak images, or of labelled and weak ones."""
        own: CSSConfig = self.config
        image = batch.weak
        if own.uses_representations and own.prototype_source == "teacher":
            image = torch.cat([batch.image, batch.weak])
        with nullcontext() if own.teacher_statistics == "own" else evaluating(self.teacher):
            return self.teacher(image)  # type: ignore[no-any-return]

    def supervision(
        self, seen: SpaceOutput, source: str, valid: Tensor
    ) -> tuple[PseudoLabel, PseudoLabel]:
        """Return the labels for the logit space and for the representation space (Sec. 3.3).

        The teacher's output for U images, valid [U, H, W].
        """
        return label_spaces(self.config, self.prototypes, seen, source, valid)

    def logit_loss(
        self, batch: Batch, logits: Tensor, target: PseudoLabel, confident: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_s + L_u and both; logits [B + U, C, H, W], the others of the mixed images."""
        own: CSSConfig = self.config
        labelled, mixed = torch.split(logits, [len(batch.image), len(batch.weak)])
        supervised = supervised_loss(own.supervised_loss, labelled, batch.label)
        unlabelled = unlabelled_loss(own.unlabelled_mean, mixed, target, confident)
        return supervised + unlabelled, {
            "supervised": supervised.detach(),
            "unlabelled": unlabelled.detach(),
            "selected": target.selected.float().mean(),
        }

    def contrast(
        self, batch: Batch, seen: SpaceOutput, label: Tensor, progress: Progress
    ) -> Tensor:
        """Return L_c (Eq. 9) of the student's labelled and mixed images, label [B + U, H, W]."""
        own: ContrastConfig = self.config.contrast
        size = seen.representation.shape[-2:]
        label = nearest(label, size)
        hard = hard_pixels(self.config, self.prototypes, seen, label)
        images = {"labelled": len(batch.image), "unlabelled": len(batch.weak)}
        draws = make_draws(own, progress, self.classes, images, size[0] * size[1])
        with without_autocast(label):
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

    def reported(self) -> Sequence[nn.Module]:
        """Return the teacher's network."""
        return [self.teacher.network]

    def predict(self, image: Tensor) -> Tensor:
        """Return the teacher's logits."""
        logits: Tensor = self.teacher.network(image).logits
        return logits


@torch.no_grad()
def label_spaces(
    own: CSSConfig, prototypes: Prototypes, seen: SpaceOutput, source: str, valid: Tensor
) -> tuple[PseudoLabel, PseudoLabel]:
    """Return the labels for the logit space and for the representation space (Sec. 3.3).

    The teacher's output for U images, valid [U, H, W]. A label is 255 on padding, where the spaces
    disagree under "mix", and from representations before there is any prototype.
    """
    probability, similar = shares(own, prototypes, seen)
    by_logits = by_representation = probability.argmax(1)
    if own.uses_representations:
        by_representation = similar.argmax(1).where(prototypes.met().any(), IGNORE)
    labels = collaborate(by_logits, by_representation, source)
    indicators = (logit_indicator(own, source), own.valid_indicator)
    thresholds = (own.unlabelled_threshold, own.valid_threshold)
    made = []
    for label, indicator, threshold in zip(labels, indicators, thresholds, strict=True):
        label = label.where(valid, IGNORE)
        sure = (probability if indicator == "confidence" else similar).amax(1)
        made.append(PseudoLabel(label, (sure > threshold) & (label != IGNORE)))
    return made[0], made[1]


def shares(own: CSSConfig, prototypes: Prototypes, seen: SpaceOutput) -> tuple[Tensor, Tensor]:
    """Return the classes' probabilities and their softmax similarities, both [U, C, H, W].

    Without representations the former twice.
    """
    probability = full_precision(seen.logits).softmax(1)
    if not own.uses_representations:
        return probability, probability
    size = probability.shape[-2:]
    return probability, prototypes(seen.representation, own.indicator_temperature, size)


def logit_indicator(own: CSSConfig, source: str) -> str:
    """Return the indicator that selects for the logit space, where labels come from `source`."""
    if own.unlabelled_indicator != "of_label":
        return own.unlabelled_indicator
    return "similarity" if source in ("representations", "cross") else "confidence"


@torch.no_grad()
def confident_pixels(
    own: CSSConfig, prototypes: Prototypes, seen: SpaceOutput, source: str, valid: Tensor
) -> Tensor:
    """Return which pixels pass the logit space's threshold, labelled or not, [U, H, W]."""
    probability, similar = shares(own, prototypes, seen)
    indicator = probability if logit_indicator(own, source) == "confidence" else similar
    return (indicator.amax(1) > own.unlabelled_threshold) & valid


def collaborate(by_logits: Tensor, by_representation: Tensor, source: str) -> tuple[Tensor, Tensor]:
    """Return the labels for logits and for representations [U, H, W], made of those from both.

    "mix" is 255 where they differ (Sec. 3.3).
    """
    if source == "mix":
        agreed = by_logits.where(by_logits == by_representation, IGNORE)
        return agreed, agreed
    if source == "cross":
        return by_representation, by_logits
    label = by_logits if source == "logits" else by_representation
    return label, label


@torch.no_grad()
def hard_pixels(own: CSSConfig, prototypes: Prototypes, seen: SpaceOutput, label: Tensor) -> Tensor:
    """Return which pixels the student is unsure of at their class, [N, h, w] (Sec. 3.4).

    Its output for N images, label [N, h, w] of the size of the representations. All pixels where
    hard ones are not sampled.
    """
    contrast, size = own.contrast, label.shape[-2:]
    if not contrast.hard_sampling:
        return torch.ones_like(label, dtype=torch.bool)
    if contrast.hard_indicator == "similarity":
        shares = prototypes(seen.representation, own.indicator_temperature, size)
    else:
        shares = full_precision(nearest(seen.logits, size)).softmax(1)
    return at_class(shares, label) < contrast.hard_threshold


def unlabelled_loss(
    kind: str, logits: Tensor, target: PseudoLabel, confident: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy on pseudo-labels (Eq. 8); logits [U, C, H, W].

    "selected_pixels": its mean over the selected pixels. Else each image's over all pixels with a
    label, times their number that is selected, or of pixels that are `confident` [U, H, W] where
    that is given, over the number of them; their mean over the pixels whose loss is not zero, as in
    the release. Zero, attached to the graph, where there is none.
    """
    losses = functional.cross_entropy(
        full_precision(logits), target.label, ignore_index=IGNORE, reduction="none"
    )
    if kind == "selected_pixels":
        return over_count(losses.where(target.selected, 0.0).sum(), target.selected.sum())
    labelled = (target.label != IGNORE).sum((1, 2))
    counted = target.selected if confident is None else confident
    share = counted.sum((1, 2)) / labelled.clamp_min(1)
    return over_count((losses * share[:, None, None]).sum(), (losses.detach() > 0).sum())
