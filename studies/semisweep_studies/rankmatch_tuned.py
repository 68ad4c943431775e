"""RankMatch with and without its order of ranks, each at its best: an ablation at mini scale.

The divergence between orders and that between the numbers themselves have gradients of other sizes
(see `RANKMATCH_NOTE` in `presets`), so that one weight need not suit both. Each row gets the same
search over the weight and the learning rate.
"""

from __future__ import annotations

from optuna.distributions import FloatDistribution

from semisweep import Column, Row, Search, Study
from semisweep_methods.rankmatch import RankMatch
from semisweep_studies.presets import SHORT
from semisweep_studies.rankmatch import MINI_AGENTS
from semisweep_studies.tables import MINI_LABEL, MINI_LABELLED

TUNE = Search(
    space={
        "mini": {
            "config.rank_weight": FloatDistribution(0.02, 2.0, log=True),
            "training.optimizer.learning_rate": FloatDistribution(0.004, 0.032, log=True),
        }
    },
    trials=8,
)

tuned = Study(
    name="rankmatch_tuned",
    title="RankMatch with and without ranks, each at its best",
    presets={"mini": SHORT},
    base="ranks",
    rows=[
        Row(name="ranks", method=RankMatch, scaled=MINI_AGENTS, tune=TUNE),
        Row(
            name="no ranks",
            label="without ranks (KL)",
            method=RankMatch,
            set={"config.consistency": "kl"},
            scaled=MINI_AGENTS,
            tune=TUNE,
        ),
    ],
    columns=[Column(name=MINI_LABEL, set={"mini": MINI_LABELLED})],
)
