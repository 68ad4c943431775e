"""The comparisons of SegKC, Tables 1 to 3: Pascal VOC, classic and augmented, and Cityscapes.

Rows of systems that are not implemented here show their published numbers only. Those that are,
and have a ResNet-101, are trained as RankMatch and UniMatch are, whatever recipe their numbers were
published with; so they are trials of RankMatch's tables, too. Mini scale keeps the first partition.
"""

from __future__ import annotations

import dataclasses

from semisweep import Column, Preset, Row, Study
from semisweep.core.config import replace
from semisweep.study.scales import Fields
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.segkc import SegKC
from semisweep_methods.supervised import Supervised
from semisweep_methods.u2pl import U2PL
from semisweep_methods.unimatch import UniMatch
from semisweep_methods.unimatch_v2 import UniMatchV2
from semisweep_studies.parameters import PARAMETERS, parameter_counts, published_sizes
from semisweep_studies.presets import RANKMATCH_PAPER, SEGKC_CITYSCAPES
from semisweep_studies.rankmatch import MINI_AGENTS
from semisweep_studies.rankmatch_comparisons import RANKMATCH_CITYSCAPES
from semisweep_studies.segkc import (
    BLENDER_COLUMNS,
    CITYSCAPES_COLUMNS,
    CITYSCAPES_NOTE,
    CLASSIC_COLUMNS,
    PRESETS,
    at_mini,
)
from semisweep_studies.tables import MINI_U2PL, numbers

ENCODERS_NOTE = (
    "Encoders: SegKC and UniMatch V2 DINOv2-S, AllSpark MiT-B5, SemiVL CLIP-B, all others "
    "ResNet-101. Ours at paper scale: those with ResNet-101 have the recipe of RankMatch; "
    "UniMatch V2 has its own number of epochs and else SegKC's recipe, which is UniMatch V2's."
)


LENGTH_OF_THE_TABLE = {
    *("evaluations", "evaluate_from", "record_every", "schedule_share", "stop_share"),
}


def recipe(preset: Preset) -> Fields:
    """Return the fields that train a row with ResNet-101 and another paper's recipe.

    How often it is scored, and for which share of its schedule it is trained, is the table's.
    """
    network = replace(preset.config["network"], {"backbone": "resnet101s.gluon_in1k"})
    names = {item.name for item in dataclasses.fields(preset.training)}
    recipe = {
        f"training.{name}": getattr(preset.training, name)
        for name in sorted(names - LENGTH_OF_THE_TABLE)
    }
    return {"config.network": network, **own_loss(preset), **recipe}


def own_loss(preset: Preset) -> Fields:
    """Return the supervised loss that a row keeps from its own recipe, where that names one."""
    name = "supervised_loss"
    return {f"config.{name}": preset.config[name]} if name in preset.config else {}


def rows(names: str, resnet: Preset, epochs: int) -> list[Row]:
    """Return a table's rows in order, names separated by commas; `epochs`: UniMatch V2's."""
    paper = {"paper": recipe(resnet)}
    of_rankmatch = {f"config.{name}": own for name, own in resnet.config.items()}
    of_rankmatch["config.network"] = paper["paper"]["config.network"]
    trained = {
        "Labeled Only": Row(
            name="Labeled Only", label="Supervised", method=Supervised, scaled=paper
        ),
        "U2PL": Row(name="U2PL", method=U2PL, scaled={**MINI_U2PL, **paper}),
        "UniMatch V1": Row(name="UniMatch V1", method=UniMatch, scaled=paper),
        "RankMatch": Row(
            name="RankMatch",
            method=RankMatch,
            scaled={**MINI_AGENTS, "paper": {**paper["paper"], **of_rankmatch}},
        ),
        "UniMatch V2": Row(
            name="UniMatch V2",
            method=UniMatchV2,
            scaled={"paper": {**own_loss(resnet), "training.epochs": epochs}},
        ),
        "SegKC": Row(name="SegKC", method=SegKC),
    }
    return [trained.get(name) or Row(name=name, method=None) for name in names.split(", ")]


_CLASSIC_ROWS = (
    "Labeled Only, U2PL, GTA-Seg, PCR, CCVC, AugSeg, UniMatch V1, Diverse CoT, MKD, DDFP, "
    "RankMatch, CorrMatch, AllSpark, BeyondPixels, SemiVL, UniMatch V2, SegKC"
)
classic = Study(
    name="segkc_classic",
    title="SegKC, Table 1: Pascal VOC 2012, classic",
    paper="segkc",
    table="1",
    presets=PRESETS,
    base="UniMatch V2",
    confirmatory=("SegKC",),
    rows=rows(
        _CLASSIC_ROWS,
        RANKMATCH_PAPER,
        epochs=60,
    ),
    columns=[*CLASSIC_COLUMNS, PARAMETERS],
    computed=parameter_counts,
    published=numbers(
        CLASSIC_COLUMNS,
        {
            "Labeled Only": (45.1, 55.3, 64.8, 69.7, 73.5),
            "U2PL": (68.0, 69.2, 73.7, 76.2, 79.5),
            "GTA-Seg": (70.0, 73.2, 75.6, 78.4, 80.5),
            "PCR": (70.1, 74.7, 77.2, 78.5, 80.7),
            "CCVC": (70.2, 74.4, 77.4, 79.1, 80.5),
            "AugSeg": (71.1, 75.5, 78.8, 80.3, 81.4),
            "UniMatch V1": (75.2, 77.2, 78.8, 79.9, 81.2),
            "Diverse CoT": (75.7, 77.7, 80.1, 80.9, 82.0),
            "MKD": (76.1, 77.8, 80.4, 82.1, 83.8),
            "DDFP": (75.0, 78.0, 79.5, 81.2, 82.0),
            "RankMatch": (75.5, 77.6, 79.8, 80.7, 82.2),
            "CorrMatch": (76.4, 78.5, 79.4, 80.6, 81.8),
            "AllSpark": (76.1, 78.4, 79.8, 80.8, 82.1),
            "BeyondPixels": (77.3, 78.6, 79.8, 80.8, 81.7),
            "SemiVL": (84.0, 85.6, 86.0, 86.7, 87.3),
            "UniMatch V2": (79.0, 85.5, 85.9, 86.7, 87.8),
            "SegKC": (82.0, 84.4, 87.1, 89.2, 89.8),
        },
    )
    | published_sizes(_CLASSIC_ROWS),
    published_note="Published: SegKC, Table 1. All classic labels: 89.8 here, 89.9 in Tables 4 "
    f"and 5. {ENCODERS_NOTE}",
)

# The half of the labels that the figure's caption names.
_HALF = CLASSIC_COLUMNS[3]
_EFFICIENCY = Column(
    name="mIoU",
    set={"mini": CLASSIC_COLUMNS[0].set["mini"], "paper": _HALF.set["paper"]},
    labels={"mini": CLASSIC_COLUMNS[0].labels["mini"], "paper": "mIoU at 1/2 (732)"},
)
efficiency = dataclasses.replace(
    classic,
    name="segkc_efficiency",
    title="SegKC, Figure 1: mIoU against parameters, Pascal VOC 2012, classic, 1/2",
    table="fig1",
    columns=[_EFFICIENCY, PARAMETERS],
    published={
        (row, _EFFICIENCY.name): value
        for (row, column), value in classic.published.items()
        if column == _HALF.name
    }
    | published_sizes(_CLASSIC_ROWS),
    published_note="Published: SegKC, Figure 1, drawn; its caption has 89.2 and 24.8 M of SegKC, "
    "and points to Table 1, of which the other numbers are. Parameters are those of the "
    f"network that predicts. {ENCODERS_NOTE}",
)

_BLENDER = [at_mini(BLENDER_COLUMNS[0]), *BLENDER_COLUMNS[1:]]
_NONE = (None,) * 3
_BLENDER_ROWS = (
    "Labeled Only, U2PL, GTA-Seg, PCR, CCVC, AugSeg, UniMatch V1, MKD, DDFP, RankMatch, "
    "CorrMatch, AllSpark, BeyondPixels, SegKC"
)
blender = Study(
    name="segkc_augmented",
    title="SegKC, Table 2: Pascal VOC 2012, augmented",
    paper="segkc",
    table="2",
    presets=PRESETS,
    base="UniMatch V1",
    confirmatory=("SegKC",),
    rows=rows(
        _BLENDER_ROWS,
        RANKMATCH_PAPER,
        epochs=60,
    ),
    columns=[*_BLENDER, PARAMETERS],
    computed=parameter_counts,
    published=numbers(
        _BLENDER,
        {
            "Labeled Only": (67.5, 71.1, 74.2, *_NONE),
            "U2PL": (*_NONE, 77.2, 79.0, 79.3),
            "GTA-Seg": (77.8, 80.5, 80.6, 77.8, 80.5, 80.6),
            "PCR": (*_NONE, 78.6, 80.7, 80.8),
            "CCVC": (77.2, 78.4, 79.0, 76.8, 79.4, 79.6),
            "AugSeg": (77.1, 77.3, 78.8, 79.3, 81.5, 80.5),
            "UniMatch V1": (78.1, 78.9, 79.2, 80.9, 81.9, 80.4),
            "MKD": (78.7, 80.1, 80.8, 80.1, 81.4, 82.3),
            "DDFP": (78.3, 78.9, 79.8, *_NONE),
            "RankMatch": (78.9, 79.2, 80.0, *_NONE),
            "CorrMatch": (78.4, 79.3, 79.6, 81.3, 81.9, 80.9),
            "AllSpark": (78.3, 80.0, 80.4, 81.6, 82.0, 80.9),
            "BeyondPixels": (82.5, 83.1, 81.5, *_NONE),
            "SegKC": (83.8, 84.9, 85.8, 88.3, 88.8, 87.7),
        },
    )
    | published_sizes(_BLENDER_ROWS, CCVC=119.0),
    published_note="Published: SegKC, Table 2. GTA-Seg has the same numbers on the augmented and "
    "on U2PL's partitions, which are different images: of U2PL's first two, all have "
    f"hand-made masks, of the others one in seven. CCVC has 119.0 M parameters beside the "
    f"augmented partitions and 59.5 M beside U2PL's. {ENCODERS_NOTE}",
)

_CITYSCAPES = [at_mini(CITYSCAPES_COLUMNS[0]), *CITYSCAPES_COLUMNS[1:]]
_CITYSCAPES_ROWS = (
    "Labeled Only, U2PL, GTA-Seg, CCVC, AugSeg, UniMatch V1, Diverse CoT, MKD, DDFP, "
    "RankMatch, CorrMatch, AllSpark, BeyondPixels, SemiVL, UniMatch V2, SegKC"
)
cityscapes = Study(
    name="segkc_cityscapes",
    title="SegKC, Table 3: Cityscapes",
    paper="segkc",
    table="3",
    # Rows have the loss of their own recipe: what differs by row is no option of the table.
    presets={**PRESETS, "paper": dataclasses.replace(SEGKC_CITYSCAPES, options={})},
    base="UniMatch V2",
    confirmatory=("SegKC",),
    rows=rows(
        _CITYSCAPES_ROWS,
        RANKMATCH_CITYSCAPES,
        epochs=180,
    ),
    columns=[*_CITYSCAPES, PARAMETERS],
    computed=parameter_counts,
    published=numbers(
        _CITYSCAPES,
        {
            "Labeled Only": (66.3, 72.8, 75.0, 78.0),
            "U2PL": (74.9, 76.5, 78.5, 79.1),
            "GTA-Seg": (69.4, 72.0, 76.1, None),
            "CCVC": (74.9, 76.4, 77.3, None),
            "AugSeg": (75.2, 77.8, 79.6, 80.4),
            "UniMatch V1": (76.6, 77.9, 79.2, 79.5),
            "Diverse CoT": (75.7, 77.4, 78.5, None),
            "MKD": (77.2, 79.2, 80.8, 81.0),
            "DDFP": (77.1, 78.2, 79.9, 80.8),
            "RankMatch": (77.1, 78.6, 80.0, 80.7),
            "CorrMatch": (77.3, 78.5, 79.4, 80.4),
            "AllSpark": (78.3, 79.2, 80.6, 81.4),
            "BeyondPixels": (78.5, 79.2, 80.9, 81.3),
            "SemiVL": (77.9, 79.4, 80.3, 80.6),
            "UniMatch V2": (80.6, 81.9, 82.4, 82.6),
            "SegKC": (81.2, 82.4, 83.4, 83.6),
        },
    )
    | published_sizes(_CITYSCAPES_ROWS, CCVC=119.0, SemiVL=59.5),
    published_note="Published: SegKC, Table 3. SemiVL has 59.5 M parameters here and 88.0 M in "
    f"Table 1, CCVC 119.0 M here and 59.5 M there. Ours: all rows but SegKC's learn labels "
    "by OHEM, as UniMatch and UniMatch V2, released; SegKC by cross-entropy (Eq. 4), and by OHEM "
    f"in the last row of segkc_losses with its option hard-pixels. {CITYSCAPES_NOTE} "
    f"{ENCODERS_NOTE}",
)
