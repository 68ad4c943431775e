"""The scale `photo`: real photographs, a trial of a minute on one GPU.

CamVid, 367 streets of 480 x 360 pixels to train on, 11 classes of very different size. Networks
start from ImageNet. All methods have the same crops, steps, rate and augmentation; what is a
method's own is its paper's, but for what rows set, with the reason beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from semisweep import (
    Column,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    Option,
    Preset,
    TrainingConfig,
)
from semisweep.study.scales import Fields
from semisweep_studies.augmentations import UNIMATCH

SCALE = "photo"
LABELLED, MORE = 30, 90  # of 367
RATE = "training.optimizer.learning_rate"
UNTUNED = "chosen; not yet tuned"

PHOTO_NETWORK = NetworkConfig(
    backbone="tf_efficientnet_lite0",
    output_stride=16,
    channels=128,
    rates=(4, 8, 12),
    pretrained=True,
    normalisation="backbone",
)

OPTIONS = {
    "cpu": Option(
        set={
            "training.steps": 300,
            "training.crop_pixels": 128,
            "training.precision": "fp32",
            "training.evaluations": 3,
            RATE: 1e-3,
            "config.warm_up_epochs": 2,  # CSS: a third of its passes, as in the paper
        },
        source="chosen: minutes on a core; the rate is the best on val of photo_learning_rate",
    )
}

PHOTO = Preset(
    data=DataConfig(name="camvid", family="random", labelled=LABELLED),
    training=TrainingConfig(
        steps=1200,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=320,
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=5e-4, head_multiplier=4.0, weight_decay=0.01
        ),
        precision="bf16",
        evaluations=5,
        augmentation=UNIMATCH,
    ),
    config={
        "network": PHOTO_NETWORK,
        "junior": PHOTO_NETWORK,
        "senior": dataclasses.replace(PHOTO_NETWORK, channels=256),
        "correlation_reduction": "mean_all",
        "mixed_cells": "aligned",
        "prototype_start": "first_mean",
    },
    metric="last.test.miou",
    metric_note="mIoU on the test part, last checkpoint",
    notes=(
        "Ours: {data} with a small network that starts from ImageNet. Published: the paper's data "
        "sets and networks. Compare orders and differences, not values.",
    ),
    draws=3,
    seeds=1,
    options=OPTIONS,
    sources={
        "data": "chosen: 30 of 367, a twelfth, as the papers' 1/8 and 1/16; drawn at random",
        "training": f"{UNTUNED}; the same for every method",
        "training.steps": f"{UNTUNED}: a minute on a GPU at 50 ms a step; 28 passes over the "
        "unlabelled images",
        "training.crop_pixels": f"{UNTUNED}: of images of 480 x 360",
        "training.optimizer": f"{UNTUNED}: AdamW, as few steps leave no time for SGD's small rates",
        "training.augmentation": "UniMatch, released",
        "training.evaluation": "chosen: the whole image",
        "config": "chosen: the smallest encoder of ImageNet that is widely used",
        "config.network.rates": "chosen: of the 20 cells of a crop what 6, 12, 18 are of 33",
        "config.senior": "chosen: bigger by its decoder, so that one file of weights is enough",
        "config.correlation_reduction": "RankMatch, as at paper scale",
        "config.mixed_cells": "RankMatch, released",
        "config.prototype_start": "CSS, released",
        "metric": "chosen: val chooses rates, test is scored once",
    },
)

# RankMatch has 128 agents of about 1,100 cells; a crop has 400 here.
PHOTO_AGENTS: Mapping[str, Fields] = {SCALE: {"config.agents": 48}}
# CSS waits 20 of its 61 epochs before cross-labelling; there are 28 here.
PHOTO_CSS: Mapping[str, Fields] = {SCALE: {"config.warm_up_epochs": 9}}

PHOTO_PRESETS: Mapping[str, Preset] = {SCALE: PHOTO}
MANY = Column(
    name=f"CamVid {MORE}",
    set={SCALE: {"data.labelled": MORE}},
    labels={SCALE: f"{MORE} of 367"},
)


def at_photo(column: Column) -> Column:
    """Return a column as one that exists at scale `photo` too, where it has 30 labelled images."""
    return dataclasses.replace(
        column,
        set={**column.set, SCALE: {"data.labelled": LABELLED}},
        labels={**column.labels, SCALE: f"{LABELLED} of 367"},
    )
