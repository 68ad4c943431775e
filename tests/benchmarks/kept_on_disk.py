"""What the finished trials of a table keep on disk at paper scale; trains nothing and needs no GPU.

135 trials, 45 cells of 3 seeds, of each method with its paper's networks, built without memory for
their weights. Before: best and last weights of every network. Target: 35 GiB a table.
"""

from __future__ import annotations

import torch

from semisweep.study.catalogue import find_study
from semisweep.study.declaration import Study
from semisweep.study.resolve import cell_trial
from semisweep.training.kept_state import keep_for, kept_state, state_bytes
from semisweep.training.meta import on_meta

TRIALS = 135
MOST_GIB = 35
TABLES = {"SegKC": "segkc_classic", "STPG": "stpg_classic", "GPS": "gps_cityscapes"}
