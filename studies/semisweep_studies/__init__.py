"""The studies that come along: one paper, one module; a study's name leads to it."""

STUDIES = {
    "quickstart": "semisweep_studies.quickstart:quickstart",
    "rankmatch_components": "semisweep_studies.rankmatch:components",
    "rankmatch_agents": "semisweep_studies.rankmatch:agents",
    "rankmatch_weight": "semisweep_studies.rankmatch:weight",
    "rankmatch_search": "semisweep_studies.rankmatch:search",
    "mini_learning_rate": "semisweep_studies.tuning:learning_rate",
}

__all__ = ["STUDIES"]
