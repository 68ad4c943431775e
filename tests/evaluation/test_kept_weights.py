"""Kept weights see what they saw in training, though the files that it started from are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from semisweep import DataConfig, NetworkConfig, TrainingConfig, Trial
from semisweep.evaluation.kept_weights import rebuilt
from semisweep.training.kept_state import kept_state
from semisweep.training.trainer import to_bytes
from semisweep_methods.segkc import SegKC, SegKCConfig
from semisweep_methods.supervised import Supervised, SupervisedConfig

BACKBONE = "tf_efficientnet_lite0"  # whose weights know other numbers than ImageNet's


@pytest.mark.parametrize("where", ["file", "folder"])
@pytest.mark.parametrize("method", [Supervised, SegKC])
def test_images_are_normalised_as_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, method: Any
) -> None:
    torch.manual_seed(3)
    file = tmp_path / f"{BACKBONE}.safetensors"
    save_file(timm.create_model(BACKBONE).state_dict(), file)
    fields: dict[str, Any] = {"backbone": BACKBONE, "channels": 8, "rates": (1,)}
    fields |= {"weights": str(file)} if where == "file" else {"pretrained": True}
    monkeypatch.setenv("SEMISWEEP_WEIGHTS", str(tmp_path))
    network = NetworkConfig(**fields)
    config = (
        SupervisedConfig(network=network)
        if method is Supervised
        else SegKCConfig(senior=network, junior=network)
    )
    trial = Trial(
        method=f"{method.__module__}:{method.__name__}",
        config=config,
        data=DataConfig(name="shapes", labelled=8),
        training=TrainingConfig(steps=1),
        seed=0,
    )
    trained = method(config, 5, 0).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = trained.predict(image)
    file.unlink()

    found = rebuilt(trial, 5, to_bytes(kept_state(trained)), "source=test", "cpu")

    with torch.no_grad():
        assert torch.allclose(found.predict(image), expected, rtol=1e-4, atol=1e-5)
