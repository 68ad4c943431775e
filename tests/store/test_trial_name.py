"""Names of trials: equal keys on other data, and repetitions, are trials of their own."""

from __future__ import annotations

import pytest

from semisweep.store.trial_name import (
    ASKED,
    DATA_CHANGED,
    TEST_CHANGED,
    TrialName,
    TrialNames,
    reasons,
)

KEY = "f95dd8e9ff6e66ff5102"
ONE, TWO = "-1e265506-bcf0bc6b", "-1e265506-99999999"
OTHER = "-b7587dab-f9a5ea75"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEY, TrialName(KEY)),
        (f"{KEY}-r2", TrialName(KEY, repetition=2)),
        (f"{KEY}-1e265506", TrialName(KEY, "-1e265506")),
        (f"{KEY}{ONE}", TrialName(KEY, ONE)),
        (f"{KEY}{ONE}-r12", TrialName(KEY, ONE, 12)),
        ("some-other-name", TrialName("some-other-name")),
        ("a\nfolder", TrialName("a\nfolder")),
    ],
)
def test_a_name_is_read_as_it_is_written(text: str, expected: TrialName) -> None:
    assert TrialName.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("there", "data", "expected"),
    [
        ([], "", KEY),
        ([], ONE, KEY + ONE),
        ([KEY], ONE, KEY),  # of unknown data, by an earlier version
        ([KEY, KEY + ONE], ONE, KEY + ONE),
        ([KEY + TWO], ONE, KEY + ONE),
        ([KEY + ONE, f"{KEY}{ONE}-r3", f"{KEY}{ONE}-r2"], ONE, f"{KEY}{ONE}-r3"),
        ([KEY, f"{KEY}-r2"], "", f"{KEY}-r2"),
        ([f"{KEY}{OTHER}-r2"], ONE, KEY + ONE),
        (["0" * 20 + ONE], ONE, KEY + ONE),
    ],
)
def test_a_trial_is_that_on_the_data_that_are_there(
    there: list[str], data: str, expected: str
) -> None:
    assert str(TrialNames(there).chosen(KEY, data)) == expected


def test_why_a_trial_is_to_run_again() -> None:
    names = TrialNames([KEY + ONE, "1" * 20 + ONE, "2" * 20])
    wanted = [KEY + TWO, "1" * 20 + OTHER, "3" * 20 + ONE]
    assert reasons(names, wanted) == {TEST_CHANGED: 1, DATA_CHANGED: 1}
    wanted = [f"{KEY}{ONE}-r2", "2" * 20 + ONE]  # trained anew, the second of unknown data
    assert reasons(names, wanted) == {ASKED: 2}


def test_those_that_saw_the_same_come_first() -> None:
    names = TrialNames([KEY, KEY + OTHER, KEY + TWO])
    assert str(names.of_other_data(TrialName(KEY, ONE))[0]) == KEY + TWO
