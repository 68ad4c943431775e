"""What of a method a finished trial keeps, and loading it again."""

from __future__ import annotations

import pytest
import torch
from method_configs import CONFIGS
from torch import Tensor, nn

from semisweep import Method
from semisweep.core.errors import ConfigError, StoreError
from semisweep.training import kept_state as module
from semisweep.training.kept_state import (
    Keep,
    keep_for,
    kept_state,
    load_kept,
    reported_names,
    state_bytes,
)
from semisweep_methods.mean_teacher import MeanTeacher
from semisweep_methods.u2pl import U2PL


@pytest.fixture
def method() -> Method:
    return MeanTeacher(CONFIGS["mean_teacher"], classes=4)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


class Everything(MeanTeacher):
    """Says nothing of what it reports, as somebody's own method."""

    reported = Method.reported


class Elsewhere(MeanTeacher):
    """Reports a network that is no part of it."""

    def reported(self) -> list[nn.Module]:
        return [nn.Linear(1, 1)]


class Tied(MeanTeacher):
    """Has its teacher under two names."""

    def __init__(self, config: object, classes: int) -> None:
        super().__init__(config, classes)  # type: ignore[arg-type]
        self.again = self.teacher


def test_the_reported_networks_are_kept_and_no_others(method: Method) -> None:
    names = reported_names(method)

    assert names == {name for name in method.state_dict() if name.startswith("teacher.")}
    assert set(kept_state(method)) == names
    assert set(kept_state(method, whole=True)) == set(method.state_dict())
    assert any("running_mean" in name for name in names), "batch statistics too"


def test_a_network_within_a_network_can_be_reported() -> None:
    names = reported_names(U2PL(CONFIGS["u2pl"], classes=4))

    assert names
    assert all(name.startswith("teacher.network.") for name in names)


def test_a_network_under_two_names_is_kept_under_both() -> None:
    starts = {name.partition(".")[0] for name in reported_names(Tied(CONFIGS["mean_teacher"], 4))}

    assert starts == {"teacher", "again"}


def test_a_method_that_says_nothing_keeps_everything() -> None:
    method = Everything(CONFIGS["mean_teacher"], classes=4)

    assert reported_names(method) == set(method.state_dict())


def test_a_network_that_is_no_part_of_its_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="got Linear of method=Elsewhere; make it an attribute"):
        reported_names(Elsewhere(CONFIGS["mean_teacher"], classes=4))


def test_loading_changes_what_is_reported_and_nothing_else(method: Method) -> None:
    other = MeanTeacher(CONFIGS["mean_teacher"], classes=4, seed=1)
    before = copied(other.state_dict())
    load_kept(other, copied(kept_state(method)), "a test")

    for name, value in other.state_dict().items():
        expected = method.state_dict() if name.startswith("teacher.") else before
        assert torch.equal(value, expected[name]), name


def test_the_whole_state_of_earlier_stores_loads(method: Method) -> None:
    other = MeanTeacher(CONFIGS["mean_teacher"], classes=4, seed=1)
    load_kept(other, copied(method.state_dict()), "a test", whole=True)

    assert all(
        torch.equal(value, method.state_dict()[n]) for n, value in other.state_dict().items()
    )


def test_names_that_are_missing_or_strange_are_refused_and_nothing_is_loaded(
    method: Method,
) -> None:
    before = copied(method.state_dict())
    state = {name: value + 1 for name, value in kept_state(method).items()}
    first, *rest = sorted(state)
    lacking = {name: state[name] for name in rest}
    misshapen = state | {first: torch.zeros(1, 2, 3)}

    with pytest.raises(StoreError, match=rf"got a test, .*missing: {first}; use the version"):
        load_kept(method, lacking, "a test")
    with pytest.raises(StoreError, match=r"unexpected: professional\.weight; use the version"):
        load_kept(method, state | {"professional.weight": torch.zeros(1)}, "a test")
    with pytest.raises(StoreError, match=f"size mismatch: {first}"):
        load_kept(method, misshapen, "a test")
    with pytest.raises(StoreError, match=r"missing: student\..* and \d+ more; .*--keep all"):
        load_kept(method, state, "a test", whole=True)
    assert all(torch.equal(value, before[n]) for n, value in method.state_dict().items())


def test_both_weights_are_kept_where_they_are_small(method: Method) -> None:
    assert keep_for(method, "auto", ["best"]) == Keep(("last", "best"))


def test_of_large_weights_those_stay_that_tables_read(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 2 * state_bytes(kept_state(method))
    monkeypatch.setattr(module, "BOTH_BYTES", size - 1)
    found = {names: keep_for(method, "auto", names) for names in (("best",), ("last",), ())}
    both = keep_for(method, "auto", ["last", "best"])

    assert found == {("best",): Keep(("best",)), ("last",): Keep(("last",)), (): Keep(("best",))}
    assert both == Keep(("last", "best"))
    monkeypatch.setattr(module, "BOTH_BYTES", size)
    assert keep_for(method, "auto", ["best"]) == Keep()
    assert keep_for(method, "auto", ["last"], labels=True) == Keep(("last",), whole=True)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("both", Keep()),
        ("best", Keep(("best",))),
        ("last", Keep(("last",))),
        ("all", Keep(whole=True)),
    ],
)
def test_a_choice_holds_whatever_the_size(
    method: Method, monkeypatch: pytest.MonkeyPatch, choice: str, expected: Keep
) -> None:
    monkeypatch.setattr(module, "BOTH_BYTES", 0)

    assert keep_for(method, choice, ["last"]) == expected
