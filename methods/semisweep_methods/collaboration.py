"""CSS's collaboration of spaces: the labels they agree on, who is sure of them, what they teach.

C. Wang et al., "Space Engage: Collaborative Space Supervision for Contrastive-based Semi-Supervised
Semantic Segmentation", ICCV 2023, Secs. 3.3 and 3.4, Eq. 8. How sure a space is of a pixel is told
by an indicator: "confidence", the probability from the logits, or "similarity", the softmax
similarity with the prototypes (Eq. 5). U unlabelled images, N images of both kinds, C classes.

As in paper or release:
1. a pixel is hard by the probability or softmax similarity of the class of its label.

Chosen by us:
2. a pixel is selected by the probability or softmax similarity of its likeliest class, whatever its
   label: asked of the label's class, a similarity above one half would make every logit label a
   mixed one, and Table 6's second row would be twice the same training;
3. before there is any prototype no pixel has a label from its representation: in the release all
   have class 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from semisweep.functional import IGNORE, full_precision, over_count
from semisweep.method import PseudoLabel
from semisweep_methods.spaces import Look, Prototypes, nearest

if TYPE_CHECKING:
    from semisweep_methods.css import CSSConfig


@torch.no_grad()
def label_spaces(
    own: CSSConfig, prototypes: Prototypes, seen: Look, source: str, valid: Tensor
) -> tuple[PseudoLabel, PseudoLabel]:
    """Return the labels for the logit space and for the representation space (Sec. 3.3).

    The teacher's look at U images, valid [U, H, W]. A label is 255 on padding, where the spaces
    disagree under "mix", and from representations before there is any prototype.
    """
    probability = full_precision(seen.logits).softmax(1)
    by_logits = by_representation = probability.argmax(1)
    similar = probability
    if own.uses_representations:
        size = valid.shape[-2:]
        similar = prototypes(seen.representation, own.indicator_temperature, size)
        by_representation = similar.argmax(1).where(prototypes.met().any(), IGNORE)
    labels = collaborate(by_logits, by_representation, source)
    indicators = (own.unlabelled_indicator, own.valid_indicator)
    thresholds = (own.unlabelled_threshold, own.valid_threshold)
    made = []
    for label, indicator, threshold in zip(labels, indicators, thresholds, strict=True):
        label = label.where(valid, IGNORE)
        sure = (probability if indicator == "confidence" else similar).amax(1)
        made.append(PseudoLabel(label, (sure > threshold) & (label != IGNORE)))
    return made[0], made[1]


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
def hard_pixels(own: CSSConfig, prototypes: Prototypes, seen: Look, label: Tensor) -> Tensor:
    """Return which pixels the student is unsure of at their class, [N, h, w] (Sec. 3.4).

    Its look at N images, label [N, h, w] of the size of the representations. All pixels where hard
    ones are not sampled.
    """
    contrast, size = own.contrast, label.shape[-2:]
    if not contrast.hard_sampling:
        return torch.ones_like(label, dtype=torch.bool)
    if contrast.hard_indicator == "similarity":
        shares = prototypes(seen.representation, own.indicator_temperature, size)
    else:
        shares = full_precision(nearest(seen.logits, size)).softmax(1)
    return at_class(shares, label) < contrast.hard_threshold


def at_class(values: Tensor, label: Tensor) -> Tensor:
    """Return each pixel's value for its class: values [N, C, ...], label [N, ...].

    A label that is no class gets the last class's value.
    """
    index = label.clamp(0, values.shape[1] - 1).unsqueeze(1)
    return values.gather(1, index).squeeze(1)


def known(target: PseudoLabel) -> Tensor:
    """Return the labels [U, H, W] that are selected, 255 elsewhere."""
    return target.label.where(target.selected, IGNORE)


def unlabelled_loss(kind: str, logits: Tensor, target: PseudoLabel) -> Tensor:
    """Return the cross-entropy on pseudo-labels (Eq. 8); logits [U, C, H, W].

    "selected_pixels": its mean over the selected pixels. "image_share": each image's over all
    pixels with a label, times the share of these that is selected; their mean over the pixels whose
    loss is not zero, as in the release. Zero, attached to the graph, where there is none.
    """
    losses = functional.cross_entropy(
        full_precision(logits), target.label, ignore_index=IGNORE, reduction="none"
    )
    if kind == "selected_pixels":
        return over_count(losses.where(target.selected, 0.0).sum(), target.selected.sum())
    labelled = (target.label != IGNORE).sum((1, 2))
    share = target.selected.sum((1, 2)) / labelled.clamp_min(1)
    return over_count((losses * share[:, None, None]).sum(), (losses.detach() > 0).sum())
