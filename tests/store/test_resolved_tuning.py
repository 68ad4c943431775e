"""What a store keeps of a cell's search, and of a wrong file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from resolved import cell, search, table, through_json

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store.json_fields import Fields
from semisweep.store.removal import plan_removal, remove
from semisweep.store.resolved_tuning import Tuning, decode_tuning

CHOSEN = Tuning(
    search="t~a~one",
    trials=3,
    metric="last.val.miou",
    ended=3,
    failed=1,
    seconds=12.5,
    number=0,
    params={"rate": 0.1, "kind": None, "flag": True, "size": "S", "count": 3},
    score=0.5,
)
WAITS = Tuning(search="t~a~one", trials=3, metric="last.val.miou")


@pytest.mark.parametrize("own", [CHOSEN, WAITS, None])
def test_a_cell_is_read_as_it_was_written(own: Tuning | None) -> None:
    study = table(cell(["k"], tuning=own))

    assert through_json(study) == study
    assert ("tuning" in json.dumps(study.encoded())) == (own is not None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("search", 3),
        ("trials", "three"),
        ("seconds", "long"),
        ("params", {"rate": [0.1]}),
        ("params", "best"),
        ("number", None),
        ("score", "high"),
    ],
)
def test_another_shape_is_refused_with_its_file(field: str, value: Any) -> None:
    found = json.loads(json.dumps(CHOSEN.encoded())) | {field: value}
    with pytest.raises(StoreError, match=rf"must have {field}.*path=here"):
        decode_tuning(Fields(found, "the search of a tuned cell", "here"))


def test_a_table_that_is_removed_names_the_searches_that_stay(any_place: str) -> None:
    store = Store.open(any_place, create=True)
    for key in ("aaaa", "cccc"):
        store.trial(key).complete({"last.test.miou": 0.4, "seed": 0})
    store.write_study("t", "mini", table(cell(["aaaa"], tuning=CHOSEN), name="t"))
    store.write_study("t~a~one", "mini", search(["cccc"], name="t~a~one"))

    found = plan_removal(store, ["t"])
    assert str(found) == (
        "1 tables and 1 trials with all that is kept of them; the searches of its tuned rows stay, "
        "unless named too: 't~a~one'"
    )
    both = plan_removal(store, ["t", "t~a~one"])
    assert str(both) == "1 tables, 1 searches and 2 trials with all that is kept of them"
    assert remove(store, found) == []
    assert store.studies() == [("t~a~one", "mini")]
    assert store.finished() == {"cccc"}
