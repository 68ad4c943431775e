"""What networks the papers' studies train: their weights by name, and their sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch

from semisweep import NetworkConfig, Study, Trial
from semisweep.core.config import settings
from semisweep.networks.pretrained import hub_files
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.resolve import cell_trial
from semisweep_methods.css import CSS
from semisweep_methods.css import CSSConfig as Config

CLASSES = {"voc": 21, "cityscapes": 19}

# Parameters by backbone, head and number of classes. SegKC, Tables 1 and 2, and training logs of
# UniMatch's release state 59.5 M for ResNet-101 with a refined head, the tables 24.8 M for the
# small DINOv2 with DPT, 0.07 M of which are of a unit of the decoder that is never used. CPS's,
# CSS's and U2PL's are those of their released modules without the second head (see
# tests/networks/test_released_networks.py). Nobody states the others.
SIZES = {
    ("resnet50s.gluon_in1k", "refined", 21): 40_475_957,
    ("resnet50s.gluon_in1k", "refined", 19): 40_475_443,
    ("resnet50s.gluon_in1k", "leaky", 21): 40_475_957,
    ("resnet50s.gluon_in1k", "leaky", 19): 40_475_443,
    ("resnet101s.gluon_in1k", "leaky", 21): 59_468_085,
    ("resnet101s.gluon_in1k", "leaky", 19): 59_467_571,
    ("resnet101s.gluon_in1k", "refined", 21): 59_468_085,
    ("resnet101s.gluon_in1k", "refined", 19): 59_467_571,
    ("resnet101.tv_in1k", "plain", 21): 58_753_973,
    ("resnet101s.gluon_in1k", "plain", 21): 58_877_749,
    ("resnet101s.gluon_in1k", "plain", 19): 58_877_235,
    ("resnet101s.gluon_in1k", "wide", 21): 62_623_189,
    ("resnet101s.gluon_in1k", "wide", 19): 62_622_675,
    ("vit_small_patch14_dinov2.lvd142m", "refined", 21): 24_721_397,
    ("vit_small_patch14_dinov2.lvd142m", "refined", 19): 24_721_267,
    ("vit_base_patch14_dinov2.lvd142m", "refined", 21): 97_232_853,
    ("vit_base_patch14_dinov2.lvd142m", "refined", 19): 97_232_595,
    ("vit_large_patch14_dinov2.lvd142m", "refined", 21): 334_397_973,
}


def trained() -> Iterator[tuple[str, Trial]]:
    """Yield every trained cell at paper scale, with its study's name."""
    for name in study_names():
        study = find_study(name)
        if isinstance(study, Study) and "paper" in study.presets:
            for row in study.rows:
                for column in study.columns:
                    if row.method and column.exists("paper") and not column.unit:
                        yield name, cell_trial(study, "paper", row, column, {})


@cache
def networks() -> dict[tuple[NetworkConfig, int | None], str]:
    """Return each network of a paper's study, with its number of classes, and one study's name."""
    return {
        (value, CLASSES.get(trial.data.name)): name
        for name, trial in trained()
        for _, value, _ in settings(trial.config)
        if isinstance(value, NetworkConfig)
    }


def parameters(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_every_backbone_of_a_paper_says_which_weights_it_starts_from() -> None:
    backbones = {network.backbone for network, _ in networks()}

    assert all("." in name for name in backbones), backbones
    assert all(hub_files(name).repository == f"timm/{name}" for name in backbones)


def test_css_starts_from_the_file_of_its_release() -> None:
    """Its README.md: resnet101-63fe2227.pth, torchvision's first weights."""
    import timm

    described = timm.get_pretrained_cfg("resnet101.tv_in1k")

    assert described.url.endswith("/resnet101-63fe2227.pth")
    for name in ("css_classic", "css_sources", "css_indicators", "css_components", "css_labels"):
        own = {trial.config.network.backbone for study, trial in trained() if study == name}
        assert own == {"resnet101.tv_in1k"}, name


@pytest.mark.parametrize("place", SIZES, ids=str)
def test_a_network_of_the_papers_has_the_parameters_of_the_released_one(
    place: tuple[str, str, int],
) -> None:
    found = set()
    for network, classes in networks():
        if (network.backbone, network.head, classes) == place:
            with torch.device("meta"):
                found.add(parameters(replace(network, pretrained=False).build(place[2])))

    assert found == {SIZES[place]}


def test_every_network_of_the_papers_has_a_size_above() -> None:
    found = {(own.backbone, own.head, classes) for own, classes in networks() if classes}

    assert found == set(SIZES)


def test_css_has_the_parameters_that_its_release_has() -> None:
    trial = next(
        trial for name, trial in trained() if name == "css_components" and trial.method == CSS.name
    )
    assert isinstance(trial.config, Config)
    network = replace(trial.config.network, pretrained=False)
    with torch.device("meta"):
        method = CSS(replace(trial.config, network=network), 21)

    assert parameters(method.student) == 59_520_693
    assert parameters(method.student.network) == 58_753_973
