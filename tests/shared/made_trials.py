"""Trials that are trained without a network, one step after another, as a worker keeps them."""

from __future__ import annotations

import numpy as np

from semisweep import Store

TOTAL = 6


def train(store: Store, key: str, until: int = TOTAL, score: float = 0.5) -> int:
    """Train a trial from its checkpoint on to a step, and return how many steps that took.

    Each step is evaluated; at steps 1, 3 and 5 the best weights are written.
    """
    folder = store.trial(key)
    with folder.try_lock() as held:
        assert held
        if folder.finished:
            return 0
        attempt = folder.start_attempt()
        folder.describe({"format": 1, "key": key, "trial": {"method": "m:M", "seed": 0}})
        found = folder.read_checkpoint()
        start = int(found[1]) if found else 0
        if start:  # what a resume reads
            assert found is not None
            assert found[0] == start
            assert folder.read_weights("best", best(start)) == b"best %d" % best(start)
        folder.rewind(start)
        for step in range(start + 1, until + 1):
            if step == best(step):
                folder.write_weights("best", step, b"best %d" % step)
            folder.append_history([{"step": step, "val.miou": step / 10}])
            folder.write_checkpoint(step, b"%d" % step)
        assert [row.step for row in folder.evaluations()] == list(range(1, until + 1))
        (folder.path / f"log-{attempt:04d}.txt").write_bytes(b"attempt %d\n" % attempt)
        if until == TOTAL:
            folder.write_weights("last", TOTAL, b"last")
            folder.write_confusion("last-test", np.eye(3, dtype=np.int64))
            folder.complete({"last.test.miou": score, "seed": 0, "run.attempts": attempt})
        return until - start


def best(step: int) -> int:
    """Return the step of the weights that are the best at a step."""
    return step - 1 + step % 2


def told(store: Store) -> dict[str, object]:
    """Return all that a store says of its trials, but for which file it says it in."""
    found: dict[str, object] = {}
    keys = store.keys()
    for key in keys:
        folder = store.trial(key)
        result, description = folder.result(), folder.find_description()
        found[key] = (
            dict(result) if result else None,
            [row.values for row in folder.evaluations()],
            dict(description.trial) if description else None,
            folder.read_checkpoint(),
            folder.failure(),
        )
    return found
