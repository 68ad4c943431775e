"""A small store of two tables that share a trial."""

from __future__ import annotations

from resolved import cell, table

from semisweep import Store


def two_tables(store: Store) -> Store:
    """Fill a store: the table first has the trials aaaa and bbbb, the table second bbbb alone."""
    for key, score in {"aaaa": 0.5, "bbbb": 0.25}.items():
        store.trial(key).describe({"format": 1, "trial": {"method": "m:M", "seed": 0}})
        store.trial(key).complete({"last.test.miou": score, "seed": 0, "run.seconds": 1.0})
    both = cell({"0/0": "aaaa", "0/1": "bbbb"}, row="a")
    for name, own in {"first": both, "second": cell({"0/0": "bbbb"}, row="a")}.items():
        made = table(own, name=name, scale="mini")
        store.write_study(name, "mini", made)
    return store
