"""Our networks beside the released ones: numbers of parameters, and what they make of an image.

On 27 November 2026 the released modules were built beside ours and given ours' weights, as
`weighted` draws them: outputs were equal to single precision (4e-7 of their largest value) for
every case below. What is recorded are the means and deviations of ours. Modules: UniMatch 0324f3d,
model/semseg/deeplabv3plus.py and model/backbone/resnet.py; CSS 8aec4a8, generalframeworks/networks/
deeplabv3 with torchvision's ResNet or its own resnet.py ("stem"); U2PL ab3d2be, u2pl/models; CPS
5e0c29c, exp.voc/voc8.res50v3+.CPS+CutMix/network.py and furnace/base_model/resnet.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from semisweep import NetworkConfig
from semisweep.core.errors import ConfigError
from semisweep_methods.spaces import RepresentationHead, TwoSpaces
from semisweep_methods.u2pl import Represented

CLASSES = 21
WIDTH = 256
RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
CPS: dict[str, Any] = {"head": "leaky", "dilation": "multi_grid"}
STEM: dict[str, Any] = {"dilation": "even", "ceil_pooling": True}
U2PL: dict[str, Any] = {"head": "wide", "dilation": "multi_grid", "ceil_pooling": True}


class Released(NamedTuple):
    """A released network, and what ours gave for `image` when it was equal."""

    backbone: str
    output_stride: int
    fields: dict[str, Any]
    parameters: int  # of the released modules
    logits: tuple[float, float]  # mean and deviation
    representation: tuple[float, float] | None = None


CASES = {
    "unimatch 50 16": Released("resnet50s", 16, {}, 40475957, (0.111123, 0.227681)),
    "unimatch 50 8": Released("resnet50s", 8, {}, 40475957, (0.110952, 0.227471)),
    "unimatch 101 16": Released("resnet101s", 16, {}, 59468085, (-0.0277571, 0.175344)),
    "unimatch 101 8": Released("resnet101s", 8, {}, 59468085, (-0.0275988, 0.175067)),
    "cps 50 16": Released("resnet50s", 16, CPS, 40_475_957, (0.111533, 0.227411)),
    "cps 101 16": Released("resnet101s", 16, CPS, 59_468_085, (-0.0280915, 0.175601)),
    "css 50 16": Released(
        "resnet50", 16, {"head": "plain"}, 40528565, (0.00547701, 0.153401), (0.0064095, 0.205177)
    ),
    "css 101 8": Released(
        "resnet101", 8, {"head": "plain"}, 59520693, (0.00714006, 0.253734), (-0.0211187, 0.258276)
    ),
    "css stem 50 8": Released(
        "resnet50s",
        8,
        {"head": "plain", **STEM},
        40652341,
        (0.0558242, 0.204006),
        (-0.00809162, 0.193127),
    ),
    "css stem 101 8": Released(
        "resnet101s",
        8,
        {"head": "plain", **STEM},
        59644469,
        (-0.0322548, 0.189916),
        (-0.0032338, 0.203973),
    ),
    "u2pl 50 8": Released(
        "resnet50s", 8, U2PL, 45467861, (-0.0272695, 0.125035), (0.00361706, 0.191278)
    ),
    "u2pl 101 8": Released(
        "resnet101s", 8, U2PL, 64459989, (-0.000274987, 0.215283), (-0.0198401, 0.239297)
    ),
}


def built(case: Released) -> nn.Module:
    """Return our network for a released one, with its representation head where it has one."""
    fields = {"rates": RATES[case.output_stride], **case.fields}
    config = NetworkConfig(
        backbone=case.backbone, output_stride=case.output_stride, pretrained=False, **fields
    )
    network = config.build(CLASSES)
    if config.head == "plain":
        return TwoSpaces(network, RepresentationHead(network, WIDTH))
    return Represented(network, WIDTH, 0) if config.head == "wide" else network


@torch.no_grad()
def weighted(network: nn.Module) -> nn.Module:
    """Return a network in evaluation mode whose weights depend on nobody's initialisation."""
    made = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.normal_(0.0, (2 / fan) ** 0.5, generator=made)
            if module.bias is not None:
                module.bias.normal_(0.0, 0.1, generator=made)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.weight.uniform_(0.3, 0.8, generator=made)
            module.bias.normal_(0.0, 0.1, generator=made)
            module.running_mean.normal_(0.0, 0.1, generator=made)
            module.running_var.uniform_(0.5, 1.5, generator=made)
    return network.eval()


def image() -> Tensor:
    return torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(5))


def moments(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_network_is_the_released_one(case: Released) -> None:
    network = weighted(built(case))
    with torch.no_grad():
        output = network(image())
    found = [moments(output[0])] + ([moments(output[1])] if case.representation else [])
    wanted = [case.logits] + ([case.representation] if case.representation else [])

    assert sum(value.numel() for value in network.parameters()) == case.parameters
    for own, recorded in zip(found, wanted, strict=True):
        assert own == pytest.approx(recorded, rel=1e-3)


def dilations(**fields: Any) -> dict[str, list[int]]:
    """Return the dilations of the 3x3 convolutions of the last two stages of ResNet-50."""
    with torch.device("meta"):
        network = NetworkConfig(
            backbone="resnet50s", pretrained=False, **{"output_stride": 8, **fields}
        ).build(2)
    model: Any = network.encoder.get_submodule("model")
    return {
        stage: [block.conv2.dilation[0] for block in getattr(model, stage)]
        for stage in ("layer3", "layer4")
    }


def test_the_stages_dilate_as_released_ones() -> None:
    plain = {"layer3": [1, 2, 2, 2, 2, 2], "layer4": [2, 4, 4]}

    assert dilations() == plain
    assert dilations(dilation="even") == {"layer3": [2] * 6, "layer4": [4] * 3}
    assert dilations(dilation="multi_grid") == {**plain, "layer4": [4, 8, 16]}
    assert dilations(dilation="multi_grid", output_stride=16)["layer4"] == [2, 4, 8]  # CPS


def test_a_pooling_that_rounds_up_makes_maps_of_crops_of_even_sides_larger() -> None:
    """CSS's 512 x 512 gives 129 x 129 cells with its deep stem; 64 x 80 gives 17 x 21."""
    small = {"backbone": "test_resnet", "channels": 8, "rates": (1,), "pretrained": False}
    taps = [
        NetworkConfig(ceil_pooling=up, **small).build(2).encode(image())[0]  # type: ignore[arg-type]
        for up in (False, True)
    ]

    assert [tuple(tap.shape[-2:]) for tap in taps] == [(16, 20), (17, 21)]


@pytest.mark.parametrize("fields", [{"dilation": "even"}, {"ceil_pooling": True}])
def test_what_only_a_resnet_has_is_refused_elsewhere(fields: dict[str, Any]) -> None:
    own = NetworkConfig(backbone="test_convnext", channels=8, pretrained=False, **fields)
    with pytest.raises(ConfigError, match=r"of a ResNet, got backbone='test_convnext'"):
        own.build(2)


def test_a_wide_head_drops_channels_in_training_and_none_in_evaluation() -> None:
    own = NetworkConfig(backbone="test_resnet", channels=16, pretrained=False, head="wide")
    network = own.build(2).train()
    torch.manual_seed(0)
    first, second = (network(image()).logits for _ in range(2))
    network.eval()

    assert not torch.equal(first, second)
    assert torch.equal(network(image()).logits, network(image()).logits)
