"""What GPS's teacher and students tell each other, and how much that counts at a moment.

H. Cho, I. Choi, S. Kwak, W. H. Kim, "Interactive Network Perturbation between Teacher and Students
for Semi-Supervised Semantic Segmentation", WACV 2024, Secs. 3.3 and 4.4.3. The teacher's labels
guide the students (Eq. 5); the students' common label is their feedback to it (Eq. 8), whose weight
w ramps up until they have caught up with the teacher on labelled images (Eq. 9). M images, C
classes; a moment is e / E, the share of the students' time that is over, and r / E, a number [],
the one at which they caught up.

As in the paper:
1. r of Eq. 9 is never set back: once the students have caught up, w stays 1.

Chosen by us, where it is silent:
2. the ramp-down of L_gps (Sec. 4.4.3) mirrors Eq. 9: 1 up to r, then exp(-((e - r) / (E - r))^2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from semisweep.functional import confident_cross_entropy, full_precision


def guide_loss(logits: list[Tensor], label: Tensor, valid: Tensor) -> Tensor:
    """Return the sum over students of the mean cross-entropy with the teacher's label (Eq. 5).

    logits of each student [M, C, H, W], label and valid [M, H, W].
    """
    return torch.stack([confident_cross_entropy(one, label, valid, valid) for one in logits]).sum()


def common_label(logits: list[Tensor]) -> Tensor:
    """Return the class [M, H, W] that is likeliest to the students on average (Sec. 3.3)."""
    probabilities = [full_precision(one.detach()).softmax(dim=1) for one in logits]
    return torch.stack(probabilities).mean(dim=0).argmax(dim=1)


def catch_up(caught_up: Tensor, losses: Tensor, moment: float) -> Tensor:
    """Return r / E, given what it was and L_sup of a student and of the teacher, [2], at e / E.

    It is the first moment at which the students' loss is no more than the teacher's, and 1 before
    there is one. A teacher's loss of zero, that of images on which no pixel is known, says nothing.
    """
    good = (losses[0] <= losses[1]) & (losses[1] > 0)
    now = torch.full_like(caught_up, moment)
    return torch.minimum(caught_up, now.where(good, 1.0))


def ramp_up(moment: float, caught_up: Tensor) -> Tensor:
    """Return w(e) of Eq. 9 for e / E and r / E: up to 1 at r, and 1 ever after."""
    return torch.exp(-((1 - moment / caught_up).clamp_min(0) ** 2))


def ramp_down(moment: float, caught_up: Tensor) -> Tensor:
    """Return the weight of the guide for e / E and r / E: 1 up to r, 1 / e at the end of training.

    Eq. 9 mirrored (Sec. 4.4.3).
    """
    left = (1 - caught_up).clamp_min(torch.finfo(caught_up.dtype).tiny)
    return torch.exp(-(((moment - caught_up) / left).clamp_min(0) ** 2))
