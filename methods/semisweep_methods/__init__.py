"""Semi-supervised segmentation methods on semisweep: one paper, one file."""

METHODS = {
    "supervised": "semisweep_methods.supervised:Supervised",
    "unimatch": "semisweep_methods.unimatch:UniMatch",
    "rankmatch": "semisweep_methods.rankmatch:RankMatch",
}

__all__ = ["METHODS"]
