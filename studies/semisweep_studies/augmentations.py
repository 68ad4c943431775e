"""How the papers change their training images, as their released code has it, or its nearest kin's.

Every probability, range and size has its source in the comment above it; "released" is read in the
repository that the name says.
"""

from __future__ import annotations

from semisweep import AugmentationConfig
from semisweep.core.config import replace

# UniMatch, UniMatch V2 and RankMatch, released (dataset/semi.py, dataset/transform.py): the
# defaults, and boxes whose aspect and place are drawn again until they fit. SegKC does not say its
# own and follows UniMatch V2.
UNIMATCH = AugmentationConfig(cutmix_shape="redrawn_aspect")

NO_COLOURS = {"jitter": 0.0, "grayscale": 0.0, "blur": 0.0}

# GPS, Sec. 4.1 (scales) and CPS, released (CutMix of French et al.): three boxes on every image,
# 0.25 to 0.5 of the area between them, heights log-uniform, turned over where they overlap; no
# colours. STPG, Sec. 4.1, has "three rectangular regions with random ratios ranging from 0.25 to
# 0.5" and CutMix, and names neither scales nor colours.
CPS = replace(
    AugmentationConfig(
        scales=(0.5, 0.75, 1.0, 1.5, 1.75, 2.0),
        cutmix=1.0,
        cutmix_area=(0.25, 0.5),
        cutmix_boxes=3,
        cutmix_shape="log_height",
    ),
    NO_COLOURS,
)

# U2PL, released: half of the images smaller and half larger, no colours; CutMix on half of the
# batches, all images of one or none, a box of half the area.
U2PL = replace(
    AugmentationConfig(
        scale_law="halves",
        cutmix=0.5,
        cutmix_area=(0.5, 0.5),
        cutmix_shape="width",
        cutmix_together=True,
    ),
    NO_COLOURS,
)

# CSS, released, and ReCo's and PRCL's: reflected borders, colours on labelled images as well, a box
# of half the area on every image.
CSS = AugmentationConfig(
    scale=(0.5, 1.5),
    padding="reflect",
    labelled_colours=True,
    brightness=0.25,
    contrast=0.25,
    saturation=0.25,
    grayscale=0.0,
    blur_sigma_pixels=(0.15, 1.15),
    cutmix=1.0,
    cutmix_area=(0.5, 0.5),
    cutmix_shape="width",
)
# Released (dataset_helpers/Cityscapes.py, config/CityScapes_config_baseline.yaml): labelled images
# of Cityscapes keep their size; what the student sees of unlabelled ones is scaled.
CSS_CITYSCAPES = replace(CSS, {"scale": (1.0, 1.0), "unlabelled_scale": (0.5, 2.0)})
