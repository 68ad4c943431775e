"""Frozen encoders: no method moves them, all methods train what is left."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from semisweep import NetworkConfig
from semisweep.checks.miniature_training import tiny
from semisweep.core.config import identity
from semisweep.networks.network import Network
from semisweep.study.named_values import find_method, method_names
from semisweep.training.method_fixtures import tiny_network, train_steps


def frozen(config: Any) -> Any:
    """Return a method's configuration with tiny networks, their encoders frozen."""
    (small,) = tiny(config)
    networks = {
        field.name: dataclasses.replace(getattr(small, field.name), frozen=True)
        for field in dataclasses.fields(small)
        if isinstance(getattr(small, field.name), NetworkConfig)
    }
    assert networks
    return dataclasses.replace(small, **networks)


@pytest.mark.parametrize("name", method_names())
def test_no_method_moves_a_frozen_encoder_and_all_move_the_decoder(name: str) -> None:
    kind = find_method(name)
    few = {"agents": 8} if name == "rankmatch" else {}  # 16 pixels are all there are
    method = kind(frozen(kind.Config(**few)), 4, 0)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    train_steps(method, 2)
    moved = {
        key for key, value in method.state_dict().items() if not torch.equal(value, before[key])
    }

    assert not {key for key in moved if "encoder" in key.split(".")}
    assert {key for key in moved if "decoder" in key.split(".")}


def test_a_frozen_encoder_stays_in_evaluation_mode_and_the_decoder_does_not() -> None:
    network = dataclasses.replace(tiny_network(), frozen=True).build(3)
    for mode in (True, False, True):
        network.train(mode)
        assert not any(module.training for module in network.encoder.modules())
        assert all(module.training == mode for module in network.decoder.modules())
    assert isinstance(network, Network)
    assert network.training


def test_only_a_frozen_encoder_is_in_the_key() -> None:
    plain = tiny_network()

    assert "frozen" not in identity(plain)
    assert identity(dataclasses.replace(plain, frozen=True)) == {**identity(plain), "frozen": True}
