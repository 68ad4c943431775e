"""The comparisons of CSS (ICCV 2023): Tables 2 (Pascal VOC, blender) and 3 (Cityscapes).

Rows of systems that are not implemented here show their published numbers only. Mini scale keeps
the first column. The network has a deep stem (Sec. 4.2), the lists are U2PL's.
"""

from __future__ import annotations

import dataclasses

from semisweep import Column, DataConfig, NetworkConfig, Option, Row, Study
from semisweep.study.scales import Fields
from semisweep.training.protocols import Protocol
from semisweep_methods.cps import CPS
from semisweep_methods.css import CSS
from semisweep_methods.u2pl import U2PL
from semisweep_studies.augmentations import CSS_CITYSCAPES as CSS_CITYSCAPES_AUGMENTATION
from semisweep_studies.css import CSS_OPTIONS, CSS_PAPER, SMALL
from semisweep_studies.presets import MINI
from semisweep_studies.tables import MINI_LABEL, MINI_LABELLED, MINI_U2PL, numbers

_NETWORK = NetworkConfig(
    backbone="resnet101s.gluon_in1k",
    output_stride=8,
    rates=(12, 24, 36),
    head="plain",
    dilation="even",
    ceil_pooling=True,
    pretrained=True,
)
_NETWORK_SOURCES = {
    "config": "CSS, Sec. 4.2: a deep stem; stride and rates: released",
    "config.network.backbone": "CSS, Sec. 4.2: a deep stem; released: a file on a drive whose "
    "origin is not said; chosen: gluon's, whose layers are the same",
    "config.network.dilation": "CSS, released: networks/resnet.py, dilated once more by deeplabv3",
    "config.network.ceil_pooling": "CSS, released: networks/resnet.py",
}
# U2PL, released (experiments, u2pl/models): its own decoder, and dilations of the last stage.
_U2PL: Fields = {"config.network.head": "wide", "config.network.dilation": "multi_grid"}
_U2PL_OPTION = {
    "released-u2pl-contrast": Option(
        set={
            "config.anchors": 256,
            "config.negatives": 50,
            "config.anchor_pixels": "surest",
        },
        source="U2PL, released: num_queries and num_negatives of experiments/*/config.yaml and "
        "low_entropy_threshold of train_semi.py; its paper: 50 and 256, Eq. 10: all reliable",
    )
}
CSS_BLENDER = dataclasses.replace(
    CSS_PAPER,
    data=DataConfig(name="voc", family="u2pl"),
    config={**CSS_PAPER.config, "network": _NETWORK},
    sources={
        **CSS_PAPER.sources,
        **_NETWORK_SOURCES,
        "data": "CSS, Sec. 4.1; its authors: U2PL's lists",
    },
    options={**CSS_OPTIONS, **_U2PL_OPTION},
)
CSS_CITYSCAPES = dataclasses.replace(
    CSS_PAPER,
    data=DataConfig(name="cityscapes", family="u2pl"),
    config={**CSS_PAPER.config, "network": _NETWORK, "supervised_loss": "ohem_50000"},
    training=dataclasses.replace(
        CSS_PAPER.training,
        steps=80_000,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=768,
        optimizer=dataclasses.replace(CSS_PAPER.training.optimizer, learning_rate=0.0038),
        evaluation=Protocol(name="window", size_pixels=768, sums="logits"),
        augmentation=CSS_CITYSCAPES_AUGMENTATION,
    ),
    sources={
        **CSS_PAPER.sources,
        **_NETWORK_SOURCES,
        "data": "CSS, Sec. 4.1; its authors: U2PL's lists",
        "training.steps": "CSS, Sec. 4.1: 80,000",
        "training.labelled_batch": "CSS, Sec. 4.1: 8; that it is so many of each, chosen",
        "training.unlabelled_batch": "CSS, Sec. 4.1: 8; that it is so many of each, chosen",
        "training.crop_pixels": "CSS, Sec. 4.1: 768",
        "training.optimizer.learning_rate": "CSS, Sec. 4.1: 0.0038; released: 0.0064",
        "training.evaluation": "CSS, Sec. 4.1: a sliding window, as CPS, released: of the crop, "
        "two thirds apart, logits added. CSS, released: one random crop of 769 an image",
        "training.augmentation.unlabelled_scale": "CSS, released: scale_size of "
        "config/CityScapes_config_baseline.yaml; there the crop that the teacher sees is scaled, "
        "here the image before it is cropped for both",
        "config.supervised_loss": "CSS, Sec. 4.2: OHEM as CPS; released: threshold 0.7, 50,000 "
        "pixels an image of a GPU's batch together, here of each image",
    },
    options={
        **{name: own for name, own in CSS_OPTIONS.items() if name != "released-steps"},
        **_U2PL_OPTION,
        "released-rate": Option(
            set={"training.optimizer.learning_rate": 0.0064},
            source="CSS, released: config/CityScapes_config_baseline.yaml; Sec. 4.1: 0.0038",
        ),
        "released-crop": Option(
            set={"training.crop_pixels": 769},
            source="CSS, released: config/CityScapes_config_baseline.yaml; Sec. 4.1: 768",
        ),
        "released-batch": Option(
            set={"training.labelled_batch": 16, "training.unlabelled_batch": 16},
            source="CSS, released: config/CityScapes_config_baseline.yaml, 4 on each of 4 GPUs; "
            "Sec. 4.1: 8",
        ),
    },
)


def columns(counts: tuple[int, ...]) -> list[Column]:
    """Return a column for each number of labelled images; the first one exists at mini too."""
    return [
        Column(
            name=str(count),
            set={"paper": {"data.labelled": count}}
            | ({"mini": MINI_LABELLED} if count == counts[0] else {}),
            labels={"mini": MINI_LABEL},
        )
        for count in counts
    ]


_BLENDER = columns((662, 1323, 2646, 5291))
blender = Study(
    name="css_blender",
    title="CSS, Table 2: Pascal VOC 2012, blender",
    paper="css",
    table="2",
    presets={"mini": MINI, "paper": CSS_BLENDER},
    base="CSS(mix)",
    rows=[
        Row(name="CCT", method=None),
        Row(name="CPS", method=CPS),
        Row(name="U2PL", method=U2PL, scaled={**MINI_U2PL, "paper": _U2PL}),
        Row(name="ST++", method=None),
        Row(name="PRCL", method=None),
        Row(name="PCR", method=None),
        Row(name="PSMT", label="PS-MT", method=None),
        Row(name="CSS(mix)", label="CSS, mix", method=CSS, scaled=SMALL),
    ],
    columns=_BLENDER,
    published=numbers(
        _BLENDER,
        {
            "CCT": (71.86, 73.68, 76.51, 77.40),
            "CPS": (74.48, 76.44, 77.68, 78.64),
            "U2PL": (77.21, 79.01, 79.30, 80.50),
            "ST++": (74.70, 77.90, 77.90, None),
            "PRCL": (76.96, 78.16, 79.02, 79.59),
            "PCR": (78.60, 80.71, 80.78, 80.91),
            "PSMT": (75.50, 78.20, 78.72, 79.76),
            "CSS(mix)": (78.73, 79.54, 80.82, 81.06),
        },
    ),
    published_note="Published: CSS, Table 2. Its rows stand on lists of two kinds: U2PL's, whose "
    "labelled images have the better masks, and those of CPS, three to four points harder.",
)

_CITYSCAPES = columns((186, 372, 744, 1488))
cityscapes = Study(
    name="css_cityscapes",
    title="CSS, Table 3: Cityscapes",
    paper="css",
    table="3",
    presets={"mini": MINI, "paper": CSS_CITYSCAPES},
    base="CSS(mix)",
    rows=[
        Row(name="CCT", method=None),
        Row(name="CPS", method=CPS, scaled={"paper": {"config.exchange_weight": 5.0}}),
        Row(
            name="U2PL",
            method=U2PL,
            scaled={**MINI_U2PL, "paper": {**_U2PL, "config.supervised_epochs": 0}},
        ),
        Row(name="PCR", method=None),
        Row(name="PSMT", label="PS-MT", method=None),
        Row(name="CSS(mix)", label="CSS, mix", method=CSS, scaled=SMALL),
    ],
    columns=_CITYSCAPES,
    published=numbers(
        _CITYSCAPES,
        {
            "CCT": (69.32, 74.12, 75.99, 78.10),
            "CPS": (69.78, 74.31, 74.58, 76.82),
            "U2PL": (70.30, 74.37, 76.47, 79.05),
            "PCR": (73.41, 76.31, 78.40, 79.11),
            "PSMT": (None, 76.89, 77.60, 79.09),
            "CSS(mix)": (74.02, 76.93, 77.94, 79.62),
        },
    ),
    published_note="Published: CSS, Table 3. Its row of CPS is U2PL's run of it, three to five "
    "points below CPS's own (74.7, 77.6, 79.2, 80.2). The release scores a random crop of each "
    "image, the paper a sliding window.",
)
