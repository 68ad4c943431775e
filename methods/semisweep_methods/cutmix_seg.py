"""CutMix-Seg: Mean Teacher whose student sees mixed images.

G. French, S. Laine, T. Aila, M. Mackiewicz, G. Finlayson, "Semi-supervised semantic segmentation
needs strong, varied perturbations", BMVC 2020. What is new: the student's prediction for a mixture
of two images must be the mixture of the teacher's predictions for the two.

It is `MeanTeacher` with other values, and every trial of it is that method's. As in the paper: no
colour is changed, nothing is ramped up, and the share of confident pixels scales the loss.

Chosen by us, beside what `mean_teacher` says: the box is the platform's, smaller than the half of
the image that the paper cuts.
"""

from __future__ import annotations

from semisweep import Method, MethodConfig, config, setting
from semisweep.core.config import Fraction, common
from semisweep_methods.mean_teacher import MeanTeacher, MeanTeacherConfig


@config
class CutMixSegConfig(MeanTeacherConfig):
    """Mean Teacher's settings with the values of French et al."""

    confidence_threshold: Fraction = setting(
        0.97, paper="0.97", code="0.97", matters=lambda own: own.uses_unlabelled
    )
    ramp_up: Fraction = setting(
        0.0,
        off=0.0,
        needs=("consistency",),
        paper="none",
        code="none",
        matters=lambda own: own.uses_unlabelled,
    )
    strong_view: bool = setting(
        False,
        off=False,
        needs=("consistency",),
        paper="no colour",
        code="optional",
        matters=lambda own: own.uses_unlabelled,
    )
    cutmix: bool = setting(
        True,
        off=False,
        needs=("consistency",),
        paper="CutMix, half of the image",
        code="CutMix",
        matters=lambda own: own.uses_unlabelled,
    )


class CutMixSeg(MeanTeacher):
    """Mean Teacher with CutMix."""

    Config = CutMixSegConfig
    name = "semisweep_methods.cutmix_seg:CutMixSeg"

    @classmethod
    def same_as(cls, config: CutMixSegConfig) -> tuple[type[Method], MethodConfig]:
        """Return Mean Teacher with the same values."""
        return MeanTeacher, common(MeanTeacherConfig, config)
