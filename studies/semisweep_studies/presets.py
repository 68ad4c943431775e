"""What each scale trains: the embedded data in minutes, or the papers' protocols."""

from __future__ import annotations

import dataclasses

from semisweep import (
    AugmentationConfig,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    Option,
    Preset,
    TrainingConfig,
)
from semisweep.training.protocols import PROTOCOLS
from semisweep_methods.unimatch_v2 import dinov2
from semisweep_studies.augmentations import UNIMATCH

MINI_NOTE = (
    "Ours: {data} with small networks. Published: the paper's data sets. "
    "Compare orders and differences, not values."
)

# The encoder starts from telling random patterns apart (see `semisweep.data.patterns`), as the
# papers' start from ImageNet: with no start at all, the steps there is time for go into finding
# textures, and no method has any left for unlabelled images.
MINI_NETWORK = NetworkConfig(
    backbone="test_resnet",
    output_stride=8,
    channels=32,
    rates=(1, 2, 3),
    weights="semisweep_studies:encoder.safetensors",
    normalisation="imagenet",  # as it was trained
)

# Chosen on the val part; mini_learning_rate searches the rate, the same for every method. There is
# no CutMix: it is also the shape that tells these classes apart, and half a disc has none. With it,
# at one chance in two, FixMatch had 68.3 and 65.4 on val in two runs, without it 75.1 and 71.7, and
# CPS 69.7 and 75.6 in one.
MINI = Preset(
    data=DataConfig(name="shapes", family="stratified", labelled=32),
    training=TrainingConfig(
        steps=1500,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=64,
        optimizer=OptimizerConfig(name="adamw", learning_rate=0.016, head_multiplier=1.0),
        evaluations=5,
        augmentation=AugmentationConfig(scale=(0.8, 1.25), cutmix=0.0),
    ),
    config={
        "network": MINI_NETWORK,
        "junior": MINI_NETWORK,
        "senior": dataclasses.replace(MINI_NETWORK, channels=64),
        "exchange_weight": 1.5,  # CPS, released, without CutMix; GPS has it anyway
    },
    metric="last.test.miou",
    metric_note="mIoU on the test part, last checkpoint",
    notes=(MINI_NOTE,),
    draws=3,
    seeds=1,
)

# Shorter, for studies that are to end in minutes (quickstart) or have many arms (methods_compared).
SHORT = dataclasses.replace(MINI, training=dataclasses.replace(MINI.training, steps=1000))

# Of the ResNets with a deep stem of all papers but CSS's.
DEEP_STEM = (
    "the paper: ResNet, pretrained on ImageNet; a deep stem: CPS and UniMatch, released; weights, "
    "of which they say no origin: gluon's, which CPS's code can convert (furnace/tools)"
)
# CPS, released (exp.voc/voc8.res50v3+.CPS+CutMix/network.py, furnace/base_model/resnet.py).
CPS_NETWORK = NetworkConfig(
    backbone="resnet50s.gluon_in1k",
    output_stride=16,
    head="leaky",
    dilation="multi_grid",
    pretrained=True,
    normalisation="backbone",
)
# Gradient norms beside that of the orders' divergence, on random features with 128 agents: of "kl"
# 0.04 to 0.06 and of "l2" 0.02 where all are averaged; 0.2 to 0.3 and 0.1 where all are summed.
RANKMATCH_NOTE = (
    "Ours: what RankMatch compares is averaged over all of its numbers in every row, 24 orders or "
    "128 agents, as its release does with the orders; its lambda stands beside half of UniMatch's "
    "loss, 0.2 in Eq. 9. The option printed-sums sums both, as Eqs. 5 and 8 do."
)
SUPERVISED_NOTE = (
    " Its supervised row is thought to be UniMatch's, whose script trains for 80 or 240 epochs "
    "over the labelled images alone: the option released-supervised. Ours is trained for as many "
    "iterations as the other rows."
)
RANKMATCH_OPTIONS = {
    "printed-sums": Option(
        set={
            "config.kl_reduction": "sum_over_permutations",
            "config.correlation_reduction": "sum_over_agents",
        },
        source="RankMatch, Eqs. 5 and 8: divergences are sums over agents and over orders; "
        "released (rankmatch.py, corr_loss): KLDivLoss with reduction mean, 1/24 of Eq. 8",
    ),
    "released-supervised": Option(
        set={"training.supervised_epochs": "labelled"},
        source="released (supervised.py, as UniMatch's): 80 epochs over the labelled images alone, "
        "880 iterations at 92 labels, or 400 with the doubled batch of UniMatch's README; "
        "RankMatch: not said",
    ),
    "printed-positions": Option(
        set={"config.shared_positions": False},
        source="RankMatch, Algorithm 1, line 10: agents for teacher and student respectively; "
        "released (rankmatch.py, orthogonal_landmarks): positions of the teacher's, for both",
    ),
    "released-agents": Option(
        set={"config.agents": 64},
        source="released (rankmatch.py, corr_loss): 64 agents; RankMatch, Sec. 4.1, Table 7: 128",
    ),
    "released-crop": Option(
        set={"training.crop_pixels": 321},
        source="released (configs/pascal.yaml), as UniMatch: 321; RankMatch, Sec. 4.1: 513",
    ),
}

# What timm knows of another backbone's weights counts as well, where a user names one.
RESNET = NetworkConfig(
    backbone="resnet50s.gluon_in1k",
    output_stride=16,
    pretrained=True,
    normalisation="backbone",
)
UNIMATCH_CODE = "UniMatch, released, which RankMatch's code is a copy of"

RANKMATCH_PAPER = Preset(
    data=DataConfig(name="voc", family="classic"),
    training=TrainingConfig(
        epochs=80,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=513,
        optimizer=OptimizerConfig(
            name="sgd", learning_rate=0.001, head_multiplier=10.0, weight_decay=1e-4
        ),
        evaluations=80,
        evaluation=PROTOCOLS["unimatch-voc"],
        augmentation=UNIMATCH,
    ),
    config={
        "network": RESNET,
        "correlation_reduction": "mean_all",
        "mixed_cells": "aligned",
    },
    metric="best.val.miou",
    metric_note="mIoU on the val part, best evaluation: selected on what it is scored "
    "on, as the paper does",
    notes=(RANKMATCH_NOTE,),
    options=RANKMATCH_OPTIONS,
    sources={
        "data": "RankMatch, Sec. 4.1; the lists are UniMatch's",
        "training": UNIMATCH_CODE,
        "training.epochs": "RankMatch, Sec. 4.1: 80",
        "training.supervised_epochs": "chosen: as many iterations as the other rows, 104,880 at 92 "
        "labels; released (supervised.py): epochs over the labelled images alone, 880",
        "training.labelled_batch": "RankMatch, Sec. 4.1: 8",
        "training.crop_pixels": "RankMatch, Sec. 4.1: 513; its released configuration has 321",
        "training.optimizer": "RankMatch, Sec. 4.1: SGD, 0.001; decay, momentum, rate of heads: "
        "released",
        "training.schedule_power": "RankMatch, Sec. 4.1: polynomial; its power: released",
        "training.evaluations": "released: every epoch",
        "training.precision": "chosen: as released code; on a GPU TF32 in convolutions alone",
        "config": "RankMatch, Sec. 4.1; stem, stride and rates: released",
        "config.network.backbone": DEEP_STEM,
        "config.mixed_cells": "released; RankMatch: not said",
        "config.correlation_reduction": "RankMatch, Eq. 5: a sum over agents; released: not in it, "
        "its divergence of orders is a mean",
        "metric": "released code: the best of all evaluations on val",
    },
)

V2_CODE = "UniMatch V2, released, whose recipe SegKC follows"
SEGKC_PAPER = Preset(
    data=DataConfig(name="voc", family="classic"),
    training=TrainingConfig(
        epochs=80,
        labelled_batch=16,
        unlabelled_batch=16,
        crop_pixels=518,
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=5e-6, head_multiplier=40.0, weight_decay=0.01
        ),
        evaluations=80,
        evaluation=PROTOCOLS["unimatch-v2-voc"],
        augmentation=UNIMATCH,
    ),
    config={"network": dinov2("small"), "senior": dinov2("base"), "junior": dinov2("small")},
    metric="best.val.miou",
    metric_note="mIoU on the val part, best evaluation, of the junior: selected on what "
    "it is scored on, as the literature does",
    sources={
        "data": "SegKC, Sec. 4.1 and the captions of Tables 1 and 2",
        "training": V2_CODE,
        "training.epochs": "SegKC, Sec. 4.2: 80; UniMatch V2 has 60",
        "training.labelled_batch": "SegKC, Sec. 4.2: 16 and 16",
        "training.unlabelled_batch": "SegKC, Sec. 4.2: 16 and 16",
        "training.crop_pixels": "SegKC, Sec. 4.2: 518",
        "training.optimizer": "SegKC, Sec. 4.2: AdamW, 5e-6, decoder x40, decay 0.01",
        "training.schedule_power": "SegKC, Sec. 4.2: 0.9",
        "training.precision": "chosen: as released code; on a GPU TF32 in convolutions alone",
        "config": "SegKC, Sec. 4.2: DPT, DINOv2",
        **{
            f"config.{name}.backbone": "SegKC, Sec. 4.2: DINOv2; weights: its authors', as released"
            for name in ("network", "senior", "junior")
        },
        "metric": "chosen: as UniMatch V2's code",
    },
)
SEGKC_CITYSCAPES = dataclasses.replace(
    SEGKC_PAPER,
    data=DataConfig(name="cityscapes", family="unimatch"),
    training=dataclasses.replace(
        SEGKC_PAPER.training,
        epochs=240,
        evaluations=240,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=798,
        evaluation=PROTOCOLS["unimatch-v2-cityscapes"],
    ),
    config={**SEGKC_PAPER.config, "supervised_loss": "ce"},
    sources={
        **SEGKC_PAPER.sources,
        "training.epochs": "SegKC, Sec. 4.2: 240; UniMatch V2 has 180",
        "training.evaluations": "UniMatch V2, released: every epoch",
        "training.labelled_batch": "SegKC, Sec. 4.2: 8 and 8",
        "training.unlabelled_batch": "SegKC, Sec. 4.2: 8 and 8",
        "training.crop_pixels": "chosen: 738 in the text and 712 in Table 3 are no multiples of "
        "DINOv2's 14 pixels; 798 is the window of its evaluation and UniMatch V2's crop",
        "training.evaluation": "SegKC, Sec. 4.2: windows of 798; UniMatch V2, released",
        "config.supervised_loss": "SegKC, Eqs. 1 and 4: cross-entropy; UniMatch V2, released: OHEM",
    },
    options={
        "hard-pixels": Option(
            set={"config.supervised_loss": "ohem"},
            source="UniMatch V2, released, whose recipe SegKC follows, on Cityscapes: OHEM, "
            "threshold 0.7, at least 200,000 pixels a GPU of two images (configs/cityscapes.yaml); "
            "SegKC has no release, and its Eqs. 1 and 4 are cross-entropy",
        )
    },
)
