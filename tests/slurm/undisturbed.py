"""Makes a small data set, and trains the trials of the slow study in this process.

python undisturbed.py DATA STORE
"""

from __future__ import annotations

import sys
from pathlib import Path

from slow_study import slow

from semisweep import Store
from semisweep.cluster.job import Job
from semisweep.cluster.trial_execution import execute
from semisweep.data.shapes import make
from semisweep.running.job_sources import job_for
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve

data, place = Path(sys.argv[1]), sys.argv[2]
make(data / "shapes", train=24, val=4, test=4, size=32)
splits = Splits(Roots(data))
request = Request(roots=splits.roots, store=place)
store = Store.open(place, create=True)
resolved = resolve(slow, "mini", splits)
store.write_study("slow", "mini", resolved.table)
for key, trial in resolved.trials.items():
    job: Job = job_for(key, trial, store, splits, request)
    assert execute(job, lambda said: None).status == "finished"
