"""Semi-supervised segmentation methods on semisweep: one paper, one file."""

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

__all__ = ["METHODS"]
