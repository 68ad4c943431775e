"""GPS: a teacher trained first guides two students, who teach each other and, later, the teacher.

H. Cho, I. Choi, S. Kwak, W. H. Kim, "Interactive Network Perturbation between Teacher and Students
for Semi-Supervised Semantic Segmentation", WACV 2024. What is new: labelled images first make a
teacher of a third network; students learn from it and from each other, and their common opinion
comes back to it the more, the closer their loss on labelled images is to its own. There is no
threshold and no average of weights.

The teacher's labels guide the students (Eq. 5); the students' common label is their feedback to it
(Eq. 8), whose weight w ramps up until they have caught up with the teacher on labelled images
(Eq. 9). M images, C classes; a moment is e / E, the share of the students' time that is over, and
r / E, a number [], the one at which they caught up.

There is no released code. As in the paper:
1. an iteration is two optimizer steps, the students' and then the teacher's, for which the students
   are asked again with their new weights; "united" asks them once, before. Since labels carry no
   gradient, one optimizer step on the sum of all losses (Figure 6a) is two steps on its halves;
2. without a guide the students never meet the teacher: the rows of Table 4 without L_gps train
   them as CPS, or as Supervised where nothing is exchanged either;
3. r of Eq. 9 is never set back: once the students have caught up, w stays 1.

Chosen by us, where it is silent:
4. the teacher's time alone is a share of the trial's steps and has a schedule of its own; the
   students' schedule and the epochs e and E of Eq. 9 are counted from its end;
5. e / E is counted in iterations; at the end of an epoch it is the paper's;
6. losses are compared as global means over the last whole epoch, or in each iteration;
7. passes, CutMix and padding are as in `semisweep_methods.cps`: all networks, in training mode,
   label the plain images, and the labels are pasted together like the images;
8. a loss of weight zero is not computed; the teacher goes on learning L_sup^t where there is no
   feedback, as Table 4 marks it;
9. the ramp-down of L_gps (Sec. 4.4.3) mirrors Eq. 9: 1 up to r, then exp(-((e - r) / (E - r))^2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    Progress,
    PseudoLabel,
    Rate,
    Update,
    config,
    setting,
)
from semisweep.core.config import NonNegative, Positive, common
from semisweep.core.seeding import derive
from semisweep.training.distributed import mean_over_workers
from semisweep.training.functional import confident_cross_entropy, full_precision, pseudo_label
from semisweep_methods import cps
from semisweep_methods.cps import (
    CPS,
    CPSConfig,
    Images,
    ask,
    everywhere,
    logits_of,
    mix,
    mixed_label,
)


@config
class GPSConfig(CPSConfig):
    """The settings of GPS; the defaults are those for Pascal VOC."""

    networks: Annotated[int, Field(ge=2)] = setting(
        2, paper="two students (Sec. 3)", why="the paper's; the teacher is one more"
    )
    guide_weight: NonNegative = setting(
        0.5,
        off=0.0,
        switch="guide",
        symbol="alpha",
        paper="0.5 on Pascal, 1 on Cityscapes (Sec. 4.1)",
    )
    exchange_weight: NonNegative = setting(
        1.5,
        off=0.0,
        switch="exchange",
        symbol="beta",
        paper="1.5 on Pascal, 5 on Cityscapes (Sec. 4.1)",
    )
    feedback_weight: NonNegative = setting(
        0.5,
        off=0.0,
        switch="feedback",
        needs=("guide",),
        symbol="gamma",
        paper="0.5 on Pascal, 1 on Cityscapes (Sec. 4.1)",
    )
    cutmix: bool = setting(
        True,
        off=False,
        paper="with it in Tables 2 and 3 and Sec. 4.4.3, without it in Table 4 and Figure 3",
        matters=lambda own: own.uses_unlabelled,
    )
    labelled_too: bool = setting(
        False,
        paper="no; in the row marked with a dagger of Table 3 labelled images are among the "
        "unlabelled ones of an epoch, which is data.unlabelled",
        matters=lambda own: own.uses_unlabelled,
    )
    teacher_share: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.2,
        paper="a supervised teacher is obtained first; with it, epochs are fewer than ST++'s 80",
        why="80 against 60 epochs of students leave at most a quarter; of all iterations",
    )
    teacher_schedule: Literal["fixed", "poly"] = setting(
        "fixed",
        paper="initial rate x (max_epoch x max_iter)^-0.9, fixed (Sec. 4.1)",
        why="the paper's: the last value of a schedule as the students', which \"poly\" follows",
    )
    teacher_rate_scale: Positive = setting(
        1.0, paper="none", why="a factor on the teacher's rate beside the students: 10 to 1000"
    )
    ramp: Literal["adaptive", "none"] = setting(
        "adaptive",
        off="none",
        needs=("feedback",),
        symbol="w",
        paper="Eq. 9",
        matters=lambda own: own.feedback_weight > 0,
    )
    guide_ramp_down: bool = setting(
        False, paper="no; tried in Sec. 4.4.3", matters=lambda own: own.guide_weight > 0
    )
    comparison: Literal["epoch", "iteration"] = setting(
        "epoch",
        paper="L_sup^s / 2 <= L_sup^t, over what time is not said",
        why="Eq. 9 speaks of epochs, and one easy batch decides nothing",
        matters=lambda own: own.compares,
    )
    updates: Literal["separate", "united"] = setting(
        "separate", paper="united: Figure 6", matters=lambda own: own.feedback_weight > 0
    )

    @property
    def uses_unlabelled(self) -> bool:
        """Whether any loss looks at images without labels."""
        return max(self.exchange_weight, self.guide_weight, self.feedback_weight) > 0

    @property
    def compares(self) -> bool:
        """Whether anything depends on when the students catch up."""
        ramps_up = self.feedback_weight > 0 and self.ramp == "adaptive"
        return ramps_up or (self.guide_weight > 0 and self.guide_ramp_down)


class GPS(CPS):
    """Two students and a teacher."""

    Config = GPSConfig
    name = "semisweep_methods.gps:GPS"
    caught_up: Tensor  # []   r / E
    losses: Tensor  # [2]     L_sup of the students (mean) and of the teacher, summed over an epoch
    epoch: Tensor  # []       which one

    def __init__(self, config: GPSConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.teacher = config.network.build(classes, derive(seed, "teacher"))
        self.register_buffer("caught_up", torch.ones(()))
        self.register_buffer("losses", torch.zeros(2))
        self.register_buffer("epoch", torch.tensor(-1))

    @classmethod
    def same_as(cls, config: Any) -> tuple[type[Method], MethodConfig]:
        """Return CPS (or what that is) where there is no teacher to speak of."""
        if max(config.guide_weight, config.feedback_weight, config.teacher_share) > 0:
            return cls, config
        return CPS.same_as(common(CPSConfig, config))

    def groups(self) -> Mapping[str, list[nn.Module]]:
        """Return the students and the teacher."""
        return {"students": [*self.peers], "teacher": [self.teacher]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield the teacher's update (phase a), or the students' (b) and then the teacher's (c)."""
        own: GPSConfig = self.config
        alone = teacher_steps(own.teacher_share, progress.total_steps)
        if progress.step < alone:
            loss = self.supervised([self.teacher], batch)
            terms = {"supervised": loss.detach()}
            yield Update("teacher", loss, terms, Rate(progress.step, alone))
            return
        rate = Rate(progress.step - alone, progress.total_steps - alone)
        moment = (rate.step + 1) / rate.total_steps  # e / E
        images = self.images(batch)

        loss, terms, opinions = self.guide(batch, images, moment)
        yield Update("students", loss, terms, rate)

        # The students have moved: ask them again.
        if own.feedback_weight > 0 and own.updates == "separate":
            opinions = ask(self.peers, images)
        supervised = self.supervised([self.teacher], batch)
        if own.compares:
            self.compare(terms["supervised"], supervised, progress.epoch, moment)
        loss, terms = self.feedback(supervised, images, opinions, moment)
        yield Update("teacher", loss, terms, self.teacher_rate(rate))

    def guide(
        self, batch: Batch, images: Images, moment: float
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Return L_guide (Eq. 7), its terms, and the students' logits on the plain images.

        The latter only where they are needed: for exchange, or for feedback without a further
        forward pass.
        """
        own: GPSConfig = self.config
        loss = self.supervised(self.peers, batch)
        terms = {"supervised": loss.detach()}
        learns = own.guide_weight > 0 or own.exchange_weight > 0
        at_once = own.feedback_weight > 0 and own.updates == "united"
        logits = logits_of(self.peers, images) if learns else []
        asked = own.exchange_weight > 0 or at_once
        opinions = ask(self.peers, images, logits) if asked else []
        if own.guide_weight > 0:
            label = mixed_label(ask([self.teacher], images)[0], images)  # Y^t
            guide = guide_loss(logits, label, images.valid)
            terms["guide"] = guide.detach()
            if own.guide_ramp_down:
                terms["ramp"] = ramp_down(moment, self.caught_up)
                guide = terms["ramp"] * guide
            loss = loss + own.guide_weight * guide
        if own.exchange_weight > 0:
            labels = [mixed_label(one, images) for one in opinions]  # Y^s1, Y^s2
            exchange = cps.exchange_loss(logits, labels, images.valid)
            terms["exchange"] = exchange.detach()
            loss = loss + own.exchange_weight * exchange
        return loss, terms, opinions

    def feedback(
        self, supervised: Tensor, images: Images, opinions: list[Tensor], moment: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_fb (Eq. 10) and its terms, given what the students think of the plain images."""
        own: GPSConfig = self.config
        loss, terms = supervised, {"supervised": supervised.detach()}
        if own.feedback_weight > 0:
            label = mix(common_label(opinions), images.mask)
            logits = logits_of([self.teacher], images)[0]
            feedback = confident_cross_entropy(logits, label, images.valid, images.valid)  # Eq. 8
            terms["feedback"] = feedback.detach()
            if own.ramp == "adaptive":
                terms["ramp"] = ramp_up(moment, self.caught_up)
                feedback = terms["ramp"] * feedback
            loss = loss + own.feedback_weight * feedback
        return loss, terms

    @torch.no_grad()
    def compare(self, students: Tensor, teacher: Tensor, epoch: int, moment: float) -> None:
        """Note whether the students have caught up, by their mean loss and the teacher's.

        Equal on all workers.
        """
        own: GPSConfig = self.config
        latest = mean_over_workers(torch.stack([students / own.networks, teacher]))
        judged = latest
        if own.comparison == "epoch":
            ended = self.epoch != epoch  # then the sums are those of a whole epoch
            judged = self.losses.where(ended, 0.0)
            self.losses.copy_(self.losses.where(~ended, 0.0) + latest)
            self.epoch.fill_(epoch)
        self.caught_up.copy_(catch_up(self.caught_up, judged, moment))

    def teacher_rate(self, students: Rate) -> Rate:
        """Return the teacher's rate beside the students'; fixed, it is N^-0.9 of its start."""
        own: GPSConfig = self.config
        step, total = students.step, students.total_steps
        if own.teacher_schedule == "fixed":
            step = total - 1  # (1 - (N - 1) / N)^0.9 = N^-0.9
        return Rate(step, total, own.teacher_rate_scale)

    def pseudo_labels(self, image: Tensor) -> Mapping[str, PseudoLabel]:
        """Return what guides, what is exchanged and what is fed back; every pixel is used."""
        opinions = [student(image).logits for student in self.peers]
        return {
            "guide": everywhere(pseudo_label(self.teacher(image).logits)[0]),
            "exchange": everywhere(pseudo_label(opinions[0])[0]),
            "feedback": everywhere(common_label(opinions)),
        }

    def label_confidence(self, image: Tensor) -> Mapping[str, Tensor]:
        """Return the teacher's, a student's, and the mean of the students' probabilities."""
        opinions = [student(image).logits for student in self.peers]
        mean = torch.stack([full_precision(one).softmax(dim=1) for one in opinions]).mean(dim=0)
        return {
            "guide": pseudo_label(self.teacher(image).logits)[1],
            "exchange": pseudo_label(opinions[0])[1],
            "feedback": mean.amax(dim=1),
        }


def teacher_steps(share: float, total_steps: int) -> int:
    """Return how many of a trial's iterations the teacher is alone for; the students get one."""
    return min(int(share * total_steps), total_steps - 1)


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
