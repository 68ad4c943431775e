"""What is shown of a method: where values come from, which parts can be off, what was chosen."""

from __future__ import annotations

import pytest

from semisweep.study.named_values import find_method, method_names
from semisweep.tables.method_tables import method_notes, provenance_table, switches_table
from semisweep_methods.gps import GPS
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.supervised import Supervised


def test_the_switches_of_a_method_say_what_they_set_and_need() -> None:
    lines = [
        [own.strip() for own in line.split("|")[1:-1]] for line in switches_table(GPS).splitlines()
    ]

    assert ["feedback", "feedback_weight=0.0", "guide", "on"] in lines
    assert [line[0] for line in lines[2:]] == ["exchange", "cutmix", "guide", "feedback", "ramp"]


def test_a_method_without_switches_says_how_to_declare_one() -> None:
    assert "setting(..., off=...)" in switches_table(Supervised)


def test_every_field_of_a_method_is_listed_with_its_value() -> None:
    lines = [line.split("|") for line in provenance_table(RankMatch).splitlines()]
    used = {line[1].strip(): line[2].strip() for line in lines[2:]}

    assert used["rank_weight"] == "0.1"
    assert used["network.decoder"] == "deeplabv3plus"
    assert len(used) == len(lines) - 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unimatch", ["the CutMix donor is another image of the batch"]),
        ("fixmatch", ["the strong view"]),
        ("rankmatch", ["no pixel is masked", "in full precision", "the CutMix donor is another"]),
        ("gps", ["the teacher's time alone is a share", "padding is not counted"]),
        ("css", ["a class without a prototype is not predicted", "random priorities"]),
        ("u2pl", ["anchors are drawn without replacement", "counted without padding"]),
        ("cutmix_seg", ["the box is the platform's", "the student's noise is the strong view"]),
    ],
)
def test_what_was_chosen_in_a_method_stands_below_its_fields(name: str, said: list[str]) -> None:
    notes = " ".join(method_notes(find_method(name)).split())

    assert [words for words in said if words not in notes] == []


def test_every_method_says_where_it_comes_from() -> None:
    for name in method_names():
        method = find_method(name)
        assert method_notes(method).startswith(f"{method.__module__}: "), name
