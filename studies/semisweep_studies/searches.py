"""Searches over the settings of GPS and of CSS, and over sizes and backbones of SegKC's networks.

Those of SegKC's, STPG's and RankMatch's settings stand with their ablations.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from semisweep import Bundle, Halving, Objective, Search, When
from semisweep.study.search_space import Space
from semisweep_methods.css import CSS
from semisweep_methods.gps import GPS
from semisweep_methods.segkc import SegKC
from semisweep_studies import css, segkc
from semisweep_studies.gps import PRESETS as GPS_PRESETS
from semisweep_studies.gps import pascal
from semisweep_studies.photo import LABELLED, PHOTO_NETWORK, PHOTO_PRESETS, SCALE
from semisweep_studies.tables import MINI_CSS, MINI_LABELLED

_GPS = {
    "config.guide_weight": FloatDistribution(0.1, 4.0, log=True),
    "config.exchange_weight": FloatDistribution(0.25, 8.0, log=True),
    "config.feedback_weight": FloatDistribution(0.1, 4.0, log=True),
    "config.teacher_share": FloatDistribution(0.05, 0.4),
}
gps = Search(
    name="gps_search",
    title="GPS: weights of guide, exchange and feedback, and the teacher's share of the steps",
    presets=GPS_PRESETS,
    method=GPS,
    space={"mini": _GPS, "paper": _GPS},
    trials=12,
    confirm=2,
    set={"mini": MINI_LABELLED, "paper": pascal("1/8")},
)

LABELS = "config.label_source"
_CSS: Space = {
    LABELS: CategoricalDistribution(("mix", "cross")),
    "config.unlabelled_threshold": FloatDistribution(0.7, 0.99),
    "config.valid_threshold": FloatDistribution(0.4, 0.95),
    "config.indicator_temperature": FloatDistribution(0.05, 0.5, log=True),
    "config.contrast.weight": FloatDistribution(0.05, 2.0, log=True),
    "config.contrast.hard_threshold": FloatDistribution(0.5, 0.97),
}
css_search = Search(
    name="css_search",
    title="CSS: source of labels, thresholds, weight and number of anchors of the contrast",
    presets=css.PRESETS,
    method=CSS,
    space={
        "mini": {
            **_CSS,
            "config.warm_up_epochs": When(LABELS, "cross", IntDistribution(0, 8)),
            "config.contrast.anchors": IntDistribution(16, 128, log=True),
        },
        "paper": {
            **_CSS,
            "config.warm_up_epochs": When(LABELS, "cross", IntDistribution(0, 40)),
            "config.contrast.anchors": IntDistribution(64, 512, log=True),
        },
    },
    trials=16,
    halving=Halving(rungs=(0.2, 0.4)),
    set={
        "mini": {**MINI_LABELLED, **MINI_CSS["mini"]},
        "paper": {"data.labelled": 92},
    },
)

# The question of SegKC's Figure 1, of the whole method: both networks are trained.
segkc_sizes = Search(
    name="segkc_sizes",
    title="SegKC: mIoU against parameters, over sizes of the senior",
    presets=segkc.PRESETS,
    method=SegKC,
    space={
        "mini": {
            "senior": Bundle(
                {
                    name: {"config.senior.channels": channels}
                    for name, channels in (("S-S", 32), ("B-S", 128), ("L-S", 256))
                }
            )
        },
        "paper": {
            "senior": Bundle(
                {
                    name: {"config.senior.backbone": backbone}
                    for name, backbone in (
                        ("S-S", segkc.SMALL),
                        ("B-S", segkc.BASE),
                        ("L-S", segkc.LARGE),
                    )
                }
            )
        },
    },
    sampler="grid",
    confirm_seeds=2,
    also=[Objective(metric="parameters", direction="minimize")],
    set={"mini": MINI_LABELLED, "paper": {"data.labelled": 92}},
)

LITE = PHOTO_NETWORK.backbone


def pairs(name: str, backbones: Sequence[tuple[str, str]], *, title: str) -> Search:
    """Return a search over pairs of backbones, senior and junior, at photo scale.

    Any of timm's that DeepLabV3+ can read, and whose weights are at hand, will do; both networks
    have decoders of one width, so that pairs differ in their encoders alone.
    """
    return Search(
        name=name,
        title=title,
        presets=PHOTO_PRESETS,
        method=SegKC,
        space={
            SCALE: {
                "backbones": Bundle(
                    {
                        f"{senior} > {junior}": {
                            "config.senior.backbone": senior,
                            "config.junior.backbone": junior,
                        }
                        for senior, junior in backbones
                    }
                )
            }
        },
        sampler="grid",
        confirm=2,
        confirm_seeds=2,
        also=[Objective(metric="parameters", direction="minimize")],
        set={SCALE: {"data.labelled": LABELLED, "config.senior": PHOTO_NETWORK}},
    )


segkc_pairs = pairs(
    "segkc_pairs",
    [
        (LITE, LITE),
        ("resnet18.a1_in1k", LITE),
        (LITE, "resnet18.a1_in1k"),
        ("resnet50.a1_in1k", LITE),
        ("resnet50.a1_in1k", "resnet18.a1_in1k"),
    ],
    title="SegKC: mIoU against parameters, over pairs of backbones",
)
