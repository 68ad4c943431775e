"""A configuration of each method that keeps every part of its loss alive on small random images.

A network that knows nothing is never 0.95 confident, and its memories are small ones.
"""

from __future__ import annotations

from typing import Any

from semisweep import NetworkConfig
from semisweep.testing import tiny_network
from semisweep_methods import contrast, stpg_contrast
from semisweep_methods.cps import CPSConfig
from semisweep_methods.css import CSSConfig
from semisweep_methods.cutmix_seg import CutMixSegConfig
from semisweep_methods.fixmatch import FixMatchConfig
from semisweep_methods.gps import GPSConfig
from semisweep_methods.mean_teacher import MeanTeacherConfig
from semisweep_methods.rankmatch import RankMatchConfig
from semisweep_methods.segkc import SegKCConfig
from semisweep_methods.stpg import STPGConfig
from semisweep_methods.supervised import SupervisedConfig
from semisweep_methods.u2pl import U2PLConfig
from semisweep_methods.unimatch import UniMatchConfig
from semisweep_methods.unimatch_contrastive import UniMatchContrastiveConfig
from semisweep_methods.unimatch_v2 import UniMatchV2Config

CONTRAST_OF_U2PL: dict[str, Any] = {
    "anchors": 6,
    "negatives": 5,
    "anchor_probability": 0.25,
    "nearest_rank": 2,
    "representation_channels": 8,
    "memory_size": 12,
    "keys_per_step": 4,
}
CONTRAST_OF_CSS = contrast.ContrastConfig(
    anchors=12, negatives=16, candidates=8, hard_threshold=0.4
)
# Classes meet their anchors at step 2 of the suite's 100.
CONTRAST_OF_STPG = stpg_contrast.ContrastConfig(
    width=8, confidence=0.2, memory_size=12, nearest=4, prototype_momentum=0.5, matching_epochs=0.2
)
# Taps of other widths and other sizes than the senior's.
JUNIOR = NetworkConfig(
    backbone="test_efficientnet", output_stride=16, channels=12, rates=(1, 2), pretrained=False
)

CONFIGS: dict[str, Any] = {
    "supervised": SupervisedConfig(network=tiny_network()),
    "mean_teacher": MeanTeacherConfig(network=tiny_network(), confidence_threshold=0.2755),
    "cutmix_seg": CutMixSegConfig(network=tiny_network(), confidence_threshold=0.2755),
    "fixmatch": FixMatchConfig(network=tiny_network(), threshold=0.3),
    "cps": CPSConfig(network=tiny_network(), exchange_weight=1.5),
    "u2pl": U2PLConfig(network=tiny_network(), supervised_epochs=0, **CONTRAST_OF_U2PL),
    "unimatch": UniMatchConfig(network=tiny_network(), threshold=0.3),
    "unimatch_contrastive": UniMatchContrastiveConfig(
        network=tiny_network(), threshold=0.3, **CONTRAST_OF_U2PL
    ),
    # A fresh network in evaluation mode is nowhere surer of one of four classes.
    "unimatch_v2": UniMatchV2Config(network=tiny_network(), threshold=0.275),
    "rankmatch": RankMatchConfig(network=tiny_network(), threshold=0.3, agents=8),
    "css": CSSConfig(
        network=tiny_network(),
        unlabelled_threshold=0.3,
        valid_threshold=0.25,
        representation_channels=8,
        contrast=CONTRAST_OF_CSS,
    ),
    "gps": GPSConfig(network=tiny_network(), teacher_share=0.03),
    "stpg": STPGConfig(network=tiny_network(), contrast=CONTRAST_OF_STPG),
    "segkc": SegKCConfig(senior=tiny_network(), junior=JUNIOR, threshold=0.3, temperature=2.0),
}
