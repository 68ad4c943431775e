"""The comparisons of STPG, Tables 1 to 3: Cityscapes, Pascal VOC blender and classic.

Rows of systems that are not implemented here show their published numbers only; those that are, are
trained by the paper's recipe for STPG, whatever recipe their numbers were published with. Mini
scale keeps the first partition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from semisweep import Column, Row, Study
from semisweep.core.config import replace
from semisweep_methods.cps import CPS
from semisweep_methods.cutmix_seg import CutMixSeg
from semisweep_methods.mean_teacher import MeanTeacher
from semisweep_methods.stpg import STPG
from semisweep_methods.supervised import Supervised
from semisweep_methods.u2pl import U2PL
from semisweep_studies.presets import MINI
from semisweep_studies.stpg import CITYSCAPES_PRESETS, MINI_STPG, PRESETS, STPG_PAPER
from semisweep_studies.tables import MINI_LABEL, MINI_LABELLED, MINI_U2PL, numbers

STPG_CLASSIC = replace(
    STPG_PAPER, {"data.family": "classic", "config.network.backbone": "resnet101s.gluon_in1k"}
)
TRAINED = (
    Row(name="Sup. baseline", label="Supervised", method=Supervised),
    Row(name="MT", label="Mean Teacher", method=MeanTeacher),
    Row(name="CutMix-Seg", method=CutMixSeg),
    Row(name="CPS", method=CPS),
    Row(name="U2PL", method=U2PL, scaled=MINI_U2PL),
    Row(name="STPG", method=STPG, scaled=MINI_STPG),
)


def rows(names: str) -> list[Row]:
    """Return a table's rows in order, names separated by commas."""
    trained = {row.name: row for row in TRAINED}
    return [trained.get(name) or Row(name=name, method=None) for name in names.split(", ")]


def columns(parts: Mapping[str, int]) -> list[Column]:
    """Return a column for each partition; the first one exists at mini scale too."""
    found = [
        Column(name=f"{part} ({labelled})", set={"paper": {"data.labelled": labelled}})
        for part, labelled in parts.items()
    ]
    small = {"mini": MINI_LABELLED, **found[0].set}
    return [dataclasses.replace(found[0], set=small, labels={"mini": MINI_LABEL}), *found[1:]]


_CITYSCAPES = columns({"1/16": 186, "1/8": 372, "1/4": 744})
cityscapes = Study(
    name="stpg_cityscapes",
    title="STPG, Table 1: Cityscapes",
    paper="stpg",
    table="1",
    presets=CITYSCAPES_PRESETS,
    base="Sup. baseline",
    confirmatory=("STPG",),
    rows=rows("Sup. baseline, CAC, PC2Seg, ELN, ST++, PGCL, MT, CCT, GCT, MMFA, STPG"),
    columns=_CITYSCAPES,
    published=numbers(
        _CITYSCAPES,
        {
            "Sup. baseline": (60.43, 66.74, 71.16),
            "CAC": (None, 69.7, 72.7),
            "PC2Seg": (None, 72.1, 73.8),
            "ELN": (None, 70.3, 73.5),
            "ST++": (None, 72.7, 73.8),
            "PGCL": (None, 71.2, 73.9),
            "MT": (66.1, 72.0, 74.5),
            "CCT": (66.4, 72.5, 75.7),
            "GCT": (65.8, 71.3, 75.3),
            "MMFA": (66.2, 73.6, 76.9),
            "STPG": (68.46, 75.14, 77.01),
        },
    ),
    published_note="Published: STPG, Table 1, ResNet-50. Its labelled images are drawn "
    '"arbitrarily"; ours are the lists of CPS and UniMatch.',
)

_BLENDER = columns({"1/16": 662, "1/8": 1323, "1/4": 2646, "1/2": 5291})
blender = Study(
    name="stpg_blender",
    title="STPG, Table 2: Pascal VOC 2012, blender",
    paper="stpg",
    table="2",
    presets=PRESETS,
    base="Sup. baseline",
    confirmatory=("STPG",),
    rows=rows(
        "Sup. baseline, CutMix-Seg, ADS-SemiSeg, ELN, CPS, ST++, U2PL, CPCL, PGCL, MMFA, VC ^c, "
        "STPG"
    ),
    columns=_BLENDER,
    published=numbers(
        _BLENDER,
        {
            "Sup. baseline": (61.72, 66.83, 71.52, 73.96),
            "CutMix-Seg": (68.9, 70.7, 72.5, 74.5),
            "ADS-SemiSeg": (None, 70.8, 72.8, None),
            "ELN": (None, 73.2, 75.6, None),
            "CPS": (72.0, 73.7, 74.9, 76.2),
            "ST++": (72.6, 74.4, 75.4, None),
            "U2PL": (72.0, 75.1, 76.2, None),
            "CPCL": (71.7, 73.7, 74.6, 75.3),
            "PGCL": (None, 75.2, 76.0, None),
            "MMFA": (68.0, 72.5, 75.7, None),
            "VC ^c": (73.8, 75.3, 75.8, None),
            "STPG": (73.88, 75.49, 76.97, 77.39),
        },
    ),
    published_note="Published: STPG, Table 2, ResNet-50. Its rows come from other papers, with "
    "labelled images of other families, and CPS without CutMix. Ours: the lists of CPS and "
    "UniMatch, whose supervised numbers (62.4, 68.2, 72.3) are nearest to the paper's.",
)

_CLASSIC = columns({"1/8": 183, "1/4": 366, "1/2": 732, "full": 1464})
classic = Study(
    name="stpg_classic",
    title="STPG, Table 3: Pascal VOC 2012, classic",
    paper="stpg",
    table="3",
    presets={"mini": MINI, "paper": STPG_CLASSIC},
    base="Sup. baseline",
    confirmatory=("STPG",),
    rows=rows(
        "Sup. baseline, CutMix-Seg, PseudoSeg, PC2Seg, CPS, CTT, ST++, U2PL, PS-MT, FPL, PRCL, STPG"
    ),
    columns=_CLASSIC,
    published=numbers(
        _CLASSIC,
        {
            "Sup. baseline": (54.32, 62.31, 67.36, 72.12),
            "CutMix-Seg": (63.5, 69.5, 73.7, 76.5),
            "PseudoSeg": (65.5, 69.1, 72.4, 73.2),
            "PC2Seg": (66.3, 69.8, 73.1, 74.2),
            "CPS": (67.4, 71.7, 75.9, None),
            "CTT": (71.1, 72.4, 76.1, None),
            "ST++": (71.0, 74.6, 77.3, 79.1),
            "U2PL": (69.2, 73.7, 76.2, 79.5),
            "PS-MT": (69.6, 76.6, 78.4, 80.0),
            "FPL": (71.7, 75.7, 79.0, None),
            "PRCL": (74.4, 76.7, None, 78.2),
            "STPG": (72.29, 77.69, 79.08, 80.45),
        },
    ),
    published_note="Published: STPG, Table 3, ResNet-101. The text gives the gains over the "
    "supervised row, 17.97 to 8.33, to 1/16 to 1/2; they are those of 1/8 to the full set.",
)
