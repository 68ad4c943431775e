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
    "Ours: the embedded data set `shapes` with small networks. Published: the paper's data sets. "
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
    },
    metric="last.test.miou",
    metric_note="mIoU on the test part, last checkpoint",
    notes=(MINI_NOTE,),
    draws=3,
    seeds=1,
)

# Shorter, for studies that are to end in minutes (quickstart) or have many arms (methods_compared).
SHORT = dataclasses.replace(MINI, training=dataclasses.replace(MINI.training, steps=1000))

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
    config={"network": NetworkConfig(backbone="resnet50s", output_stride=16, pretrained=True)},
    metric="best.val.miou",
    metric_note="mIoU on the val part, best evaluation: selected on what it is scored "
    "on, as the paper does",
    sources={
        "data": "RankMatch, Sec. 4.1; the lists are UniMatch's",
        "training": UNIMATCH_CODE,
        "training.epochs": "RankMatch, Sec. 4.1: 80",
        "training.labelled_batch": "RankMatch, Sec. 4.1: 8",
        "training.crop_pixels": "RankMatch, Sec. 4.1: 513; its released configuration has 321",
        "training.optimizer": "RankMatch, Sec. 4.1; decay, momentum, rate of heads: released",
        "training.precision": "chosen: as released code; on a GPU TF32 in convolutions alone",
        "config": "RankMatch, Sec. 4.1; stem, stride and rates: released",
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
        "metric": "chosen: as UniMatch V2's code",
    },
)
SEGKC_CITYSCAPES = dataclasses.replace(
    SEGKC_PAPER,
    data=DataConfig(name="cityscapes", family="unimatch"),
    training=dataclasses.replace(
        SEGKC_PAPER.training,
        epochs=240,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=798,
        evaluation=PROTOCOLS["unimatch-v2-cityscapes"],
    ),
    config={**SEGKC_PAPER.config, "supervised_loss": "ce"},
    sources={
        **SEGKC_PAPER.sources,
        "training.epochs": "SegKC, Sec. 4.2: 240; UniMatch V2 has 180",
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
