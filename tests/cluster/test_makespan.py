"""The simulation of large sweeps: all trials run once, and no slot waits while there is one."""

import sys
from pathlib import Path

from semisweep import Store

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from makespan import RECORDED, SLOTS, START_SECONDS, simulate

TRIALS = 300


def test_no_slot_waits_while_there_is_a_trial_to_run(tmp_path):
    """Graham's bound: only while the last trial ends may slots be idle."""
    store = Store.open(tmp_path / "store", create=True)
    outcome = simulate(store, TRIALS, RECORDED)
    rounds = -(-TRIALS // SLOTS)

    assert len(store.finished()) == TRIALS
    assert outcome.makespan >= outcome.ideal
    assert outcome.makespan <= outcome.ideal + max(RECORDED) + 2 * rounds * START_SECONDS
