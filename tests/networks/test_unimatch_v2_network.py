"""DINOv2 with DPT: the logits of UniMatch V2's released network with the same weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from semisweep.networks.encoder import positions_on
from semisweep_methods.unimatch_v2 import dinov2

# Of classes 0, 7 and 14 at (H // 3, W // 4) and at (H - 1, 0), from model/semseg/dpt.py of commit
# f6afb4d, which was given the weights below. Anti-aliased positions move them by up to 0.004.
RELEASED = {
    ("small", 378, 504): (0.078287, -0.087548, 0.064956, 0.083283, -0.083044, 0.055613),
    ("small", 518, 518): (0.083243, -0.091074, 0.045131, 0.064749, -0.086707, 0.054045),
    ("small", 798, 798): (0.064481, -0.081969, 0.043483, 0.078126, -0.081767, 0.056015),
    ("base", 378, 504): (-0.027187, -0.082769, -0.002851, -0.035001, -0.054692, -0.018268),
    ("base", 518, 518): (-0.03395, -0.07508, -0.007008, -0.031649, -0.05527, -0.02347),
    ("base", 798, 798): (-0.043224, -0.084199, -0.007074, -0.033426, -0.053755, -0.023603),
}


@torch.no_grad()
def logits(size: str, height: int, width: int, positions: str = "dinov2") -> torch.Tensor:
    """Return logits [6] of fixed weights whose blocks and positions count."""
    config = dataclasses.replace(dinov2(size), pretrained=False, position_embeddings=positions)
    network = config.build(21, 0).eval()
    for name, values in network.named_parameters():
        if name.endswith(".gamma"):
            values.fill_(0.5)
        elif name.endswith("pos_embed"):
            values.mul_(50)
    generator = torch.Generator().manual_seed(1)
    found = network(torch.randn(1, 3, height, width, generator=generator)).logits[0, ::7]
    return torch.cat([found[:, height // 3, width // 4], found[:, height - 1, 0]])


@pytest.mark.parametrize(("size", "height", "width"), RELEASED)
def test_logits_are_those_of_the_released_network(size: str, height: int, width: int) -> None:
    expected = torch.tensor(RELEASED[size, height, width])

    assert torch.allclose(logits(size, height, width), expected, atol=1e-5, rtol=0)


def test_the_positions_of_timm_are_others_away_from_the_grid_of_the_weights() -> None:
    expected = torch.tensor(RELEASED["small", 378, 504])
    same = torch.tensor(RELEASED["small", 518, 518])

    assert (logits("small", 378, 504, "timm") - expected).abs().max() > 1e-3
    assert torch.allclose(logits("small", 518, 518, "timm"), same, atol=1e-5, rtol=0)


def test_positions_keep_the_class_token_and_a_grid_of_the_same_sides() -> None:
    own = torch.randn(1, 10, 4, generator=torch.Generator().manual_seed(0))
    moved = positions_on(own, (2, 5))

    assert positions_on(own, (3, 3)) is own
    assert moved.shape == (1, 11, 4)
    assert torch.equal(moved[:, 0], own[:, 0])
