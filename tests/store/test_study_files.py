"""Studies in a store: nothing that was ever wanted is lost, and old stores are read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from resolved import cell, search, table

from semisweep import Store, load
from semisweep.core.errors import ConfigError, StoreError
from semisweep.store import files
from semisweep.store.garbage_collection import examine
from semisweep.store.study_choice import choose
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.store.suggestion_log import append, begin, completed, read
from semisweep.tables.status import status_lines

Call = Callable[..., Any]
STEPS = {"training.steps": 2}
PLAIN = table(cell(["p0", "p1"]), name="mine")
CHANGED = table(cell(["c0"]), name="mine", changes=STEPS)
FIRST = search(["s0", "s1"], space={}, template="one", identity="1" * 20)
SECOND = search(["s2"], space={}, template="two", identity="2" * 20)


@pytest.fixture
def store(any_place: str) -> Store:
    return Store.open(any_place, create=True)


def wanted(store: Store) -> set[str]:
    return {key for _, key in store.study_files.recorded_keys()}


def test_a_run_with_changes_leaves_the_study_without_them(store: Store) -> None:
    path = store.write_study("mine", "mini", PLAIN)
    other = store.write_study("mine", "mini", CHANGED)

    assert path == store.root / "studies" / "mine@mini.json"
    assert other == store.root / "studies" / f"mine@mini@{variant_of(STEPS)}.json"
    assert store.read_study("mine", "mini") == PLAIN
    assert store.read_study("mine", "mini", STEPS) == CHANGED
    assert store.read_study("mine", "mini", {"training.steps": 3}) is None
    assert store.studies() == [("mine", "mini")]
    assert [own.study for own in store.study_files.all()] == [PLAIN, CHANGED]


def test_every_form_of_a_table_is_kept_and_wanted_for_good(store: Store) -> None:
    """Fewer seeds, more, and a kill between: as `run --seeds 1` after five."""
    forms = [table(cell([f"k{n}" for n in range(count)]), name="mine") for count in (5, 1, 3)]
    for form in (*forms, forms[1], forms[1]):
        store.write_study("mine", "mini", form)

    assert store.read_study("mine", "mini") == forms[1]
    assert wanted(store) == {f"k{n}" for n in range(5)}
    assert len(files.scan(store.root / "recorded")) == 3


def test_weights_of_the_real_study_are_not_freed_for_a_changed_one(store: Store) -> None:
    for key in ("p0", "c0", "lone"):
        folder = store.trial(key)
        with folder.lock():
            folder.start_attempt()
        folder.write_weights("last", 5, b"last")
        folder.complete({"seed": 1})
    for form in (PLAIN, CHANGED, table(cell(["p1"]), name="mine")):
        store.write_study("mine", "mini", form)
    items = {item.key: (item.kept, item.why) for item in examine(store)}

    assert items["p0"] == (True, "further evaluations may read them: study mine@mini")
    assert items["c0"][0]
    assert items["lone"] == (False, "of finished trials that no study wants")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 2}, {"a": 2.0}, True),
        ({"a": (1, 2), "b": None}, {"b": None, "a": [1, 2]}, True),
        ({"a": 0.5}, {"a": 0.25}, False),
        ({"a": "2"}, {"a": 2}, False),
        ({"a": True}, {"a": 1}, False),
    ],
)
def test_changes_are_the_same_where_their_values_are(
    one: dict[str, object], other: dict[str, object], same: bool
) -> None:
    assert (variant_of(one) == variant_of(other)) == same
    assert variant_of({}) == ""


def test_a_store_of_an_earlier_version_is_read_and_loses_nothing(store: Store) -> None:
    """Its one file a name had whatever changes the study was run with last."""
    files.write_json(store.root / "studies" / "mine@mini.json", CHANGED.encoded())

    assert store.read_study("mine", "mini") is None
    assert store.read_study("mine", "mini", STEPS) == CHANGED
    assert choose(store, "mine", "mini").study == CHANGED
    assert [str(own.place) for own in store.study_files.all()] == [f"mine@mini@{variant_of(STEPS)}"]

    store.write_study("mine", "mini", PLAIN)
    assert store.read_study("mine", "mini") == PLAIN
    assert store.read_study("mine", "mini", STEPS) == CHANGED
    assert wanted(store) == {"p0", "p1", "c0"}


def test_an_old_study_with_changes_may_be_run_with_them_again(store: Store) -> None:
    files.write_json(store.root / "studies" / "mine@mini.json", CHANGED.encoded())
    more = table(cell(["c0", "c1"]), name="mine", changes=STEPS)
    store.write_study("mine", "mini", more)

    assert [own.study for own in store.study_files.all()] == [more]
    assert wanted(store) == {"c0", "c1"}


def test_a_name_means_the_study_without_changes_and_a_line_tells_of_the_others(
    store: Store,
) -> None:
    store.write_study("mine", "mini", CHANGED)
    alone = choose(store, "mine", "mini")
    assert alone.study == CHANGED
    assert alone.note == (
        "mine (mini scale) is shown as run with --set training.steps=2, never without"
    )

    store.write_study("mine", "mini", PLAIN)
    both = choose(store, "mine", "mini")
    assert both.study == PLAIN
    assert both.note == (
        "mine (mini scale) is shown as run without --set; ask for others by --set training.steps=2"
    )
    assert choose(store, "mine", "mini", STEPS) == (CHANGED, "")
    assert choose(store, f"mine@{variant_of(STEPS)[:5]}", "mini") == (CHANGED, "")
    assert choose(store, "other@11", "mini").study is None
    with pytest.raises(ConfigError, match="unknown stored variant of mine 'zz'"):
        choose(store, "mine@zz", "mini")


def test_another_search_of_the_name_leaves_the_earlier_one(store: Store) -> None:
    store.write_study("searched", "mini", FIRST)
    store.write_study("searched", "mini", SECOND)
    store.write_study("searched", "mini", dataclasses.replace(SECOND, trials=FIRST.trials))
    assert [own.place for own in store.study_files.all()] == [
        StudyPlace("searched", "mini"),
        StudyPlace("searched", "mini", "111111111111"),
    ]
    assert store.read_study("searched", "mini", {}) != FIRST
    assert choose(store, "searched@1111", "mini").study == FIRST
    assert choose(store, "searched", "mini").note == (
        "searched (mini scale) is shown as run last; ask for others by searched@111111111111 "
        "(in an earlier space)"
    )

    longer = dataclasses.replace(FIRST, trials=(*FIRST.trials, *SECOND.trials))
    store.write_study("searched", "mini", longer)
    found = {str(own.place): len(own.study.keys) for own in store.study_files.all()}
    assert found == {"searched@mini": 3, "searched@mini@222222222222": 2}


def test_what_a_search_suggested_is_read_whatever_became_of_its_file(store: Store) -> None:
    begun = dataclasses.replace(FIRST, trials=())
    begin(store.root, begun)
    for entry in FIRST.trials:
        append(store.root, begun, entry)
        append(store.root, begun, entry)  # a request whose answer was lost
    store.write_study("searched", "mini", begun)  # by a process that was late

    assert store.read_study("searched", "mini") == FIRST
    assert read(store.root, FIRST.identity) == FIRST
    assert completed(store.root, FIRST) == FIRST
    assert wanted(store) == {"s0", "s1"}


def test_of_two_suggestions_of_a_number_one_is_refused(store: Store) -> None:
    begin(store.root, FIRST)
    append(store.root, FIRST, dataclasses.replace(FIRST.trials[0], number=2, key="a"))

    with pytest.raises(StoreError, match="by one process at a time, got another suggestion"):
        append(store.root, FIRST, dataclasses.replace(FIRST.trials[0], number=2, key="b"))


def test_a_search_of_an_earlier_version_has_its_suggestions_in_the_log_from_then_on(
    store: Store,
) -> None:
    old = dataclasses.replace(FIRST, identity="")
    files.write_json(store.root / "studies" / "searched@mini.json", old.encoded())
    assert store.read_study("searched", "mini") == old

    begin(store.root, old)
    store.write_study("searched", "mini", dataclasses.replace(old, trials=()))
    found = store.read_study("searched", "mini")
    assert found is not None
    assert found.keys == ["s0", "s1"]


def test_commands_show_what_is_asked_for_and_list_the_rest(call: Call, store: Store) -> None:
    for key in ("p0", "p1", "c0"):
        store.trial(key).complete({"last.test.miou": 0.5, "seed": 0})
    store.write_study("mine", "mini", PLAIN)
    store.write_study("mine", "mini", CHANGED)
    place = ("--store", store.root)
    plain, changed = (call("table", "mine", *more, *place, "--format", "csv")
                      for more in ((), ("--set", "training.steps=2.0")))  # fmt: skip

    assert "p0" in plain.out
    assert "note: mine (mini scale) is shown as run without --set; ask" in plain.error
    assert "c0" in changed.out
    assert changed.error == ""
    studies = [line.split()[:4] for line in list(status_lines(store))[1:]]
    assert studies == [["mine", "mini", "2", "0"], ["mine", "mini", "--set", "training.steps=2"]]
    assert list(load(store, study="mine")["key"]) == ["p0", "p1"]
    assert list(load(store, study=f"mine@mini@{variant_of(STEPS)}")["key"]) == ["c0"]


def test_a_report_of_all_has_each_with_a_place_of_its_own(
    call: Call, store: Store, tmp_path: Any
) -> None:
    store.write_study("mine", "mini", PLAIN)
    store.write_study("mine", "mini", CHANGED)
    page = tmp_path / "report.html"

    assert call("report", "--store", store.root, "--output", page).code == 0
    text = page.read_text()
    assert text.count('<section id="mine-mini') == 2
    assert "--set training.steps=2" in text


def test_recorded_forms_are_whole(store: Store) -> None:
    store.write_study("mine", "mini", PLAIN)
    (entry,) = files.scan(store.root / "recorded")

    kept = json.loads((store.root / "recorded" / entry.name).read_bytes())
    assert kept == files.plain(PLAIN.encoded())
