"""Semi-supervised segmentation methods on semisweep: a paper, a file that reads like it.

What a paper says at length stands beside its file: `stpg_contrast` and `anchors` of STPG; `spaces`
and `contrast` of CSS; `agents` of RankMatch; `u2pl_partition` and `u2pl_contrast` of U2PL.
"""

METHODS = {
    "supervised": "semisweep_methods.supervised:Supervised",
    "mean_teacher": "semisweep_methods.mean_teacher:MeanTeacher",
    "cutmix_seg": "semisweep_methods.cutmix_seg:CutMixSeg",
    "fixmatch": "semisweep_methods.fixmatch:FixMatch",
    "cps": "semisweep_methods.cps:CPS",
    "u2pl": "semisweep_methods.u2pl:U2PL",
    "unimatch": "semisweep_methods.unimatch:UniMatch",
    "unimatch_contrastive": "semisweep_methods.unimatch_contrastive:UniMatchContrastive",
    "unimatch_v2": "semisweep_methods.unimatch_v2:UniMatchV2",
    "rankmatch": "semisweep_methods.rankmatch:RankMatch",
    "css": "semisweep_methods.css:CSS",
    "gps": "semisweep_methods.gps:GPS",
    "stpg": "semisweep_methods.stpg:STPG",
    "segkc": "semisweep_methods.segkc:SegKC",
}

# Names that keys hold of classes that have left the place that their name says: name and new path.
MOVED: dict[str, str] = {}

__all__ = ["METHODS", "MOVED"]
