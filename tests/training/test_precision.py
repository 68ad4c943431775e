"""What precisions set: global switches of torch, which can be read without a GPU."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch

from semisweep.training.precision import PRECISIONS, autocast, set_switches, without_autocast
from semisweep.training.process_state import ProcessState
from semisweep.training.trial import TrainingConfig


def switches() -> tuple[bool, str]:
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize(
    ("precision", "convolutions", "products"),
    [
        ("fp32", True, "highest"),
        ("tf32", True, "high"),
        ("bf16", True, "highest"),
        ("fp16", True, "highest"),
    ],
)
def test_a_precision_sets_its_switches_on_a_gpu_whatever_they_were(
    precision: str, convolutions: bool, products: str
) -> None:
    state, before = ProcessState.capture(), switches()
    try:
        for changed in (True, False):
            torch.backends.cudnn.allow_tf32 = changed
            torch.set_float32_matmul_precision("high" if changed else "highest")
            set_switches(precision, "cuda:0")
            assert switches() == (convolutions, products)
    finally:
        state.restore()
    assert switches() == before


def test_nothing_is_set_for_a_cpu() -> None:
    before = switches()
    set_switches("tf32", "cpu")
    assert switches() == before


def test_every_precision_of_a_configuration_is_defined() -> None:
    choices = get_args(get_type_hints(TrainingConfig)["precision"])
    assert set(choices) == set(PRECISIONS)


def test_half_precision_is_of_products_inside_autocast_alone() -> None:
    left, right = torch.ones(2, 2), torch.ones(2, 2)
    with autocast("cpu", "bf16"):
        assert (left @ right).dtype == torch.bfloat16
        with without_autocast(left):
            assert (left @ right).dtype == torch.float32
    for precision in ("fp32", "tf32"):
        with autocast("cpu", precision):
            assert (left @ right).dtype == torch.float32
    with without_autocast(torch.empty(1, device="meta")):
        pass
