"""A user's method with thresholds, and with settings that change nothing, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    NetworkConfig,
    Progress,
    Update,
    config,
    setting,
)
from semisweep.training.functional import supervised_loss


@config
class Inner:
    """Settings inside of settings."""

    threshold: float = 0.5
    unwired: float = 1.0


@config
class OwnConfig(MethodConfig):
    """Thresholds, and what is never read, read and not used, or read too late to see."""

    network: NetworkConfig = setting(factory=NetworkConfig)
    threshold: float = 0.5
    inner: Inner = setting(factory=Inner)
    by_image: bool = False
    unwired: float = 1.0
    kept: float = 1.0
    times_zero: float = 1.0
    late: float = 1.0


class Own(Method):
    """Pseudo-labels of confident pixels, or of images that are confident on the whole."""

    Config: ClassVar[type[OwnConfig]] = OwnConfig

    def __init__(self, config: OwnConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.network = config.network.build(classes, seed)
        self.remembered = config.kept

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the network."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: labelled images, and confident pseudo-labels."""
        own: OwnConfig = self.config
        loss = supervised_loss("ce", self.network(batch.image).logits, batch.label)
        self.network.eval()
        with torch.no_grad():
            confidence, label = self.network(batch.weak).logits.softmax(1).max(1)
        self.network.train()
        if own.by_image:
            confidence = confidence.mean((1, 2), keepdim=True).expand_as(confidence)
        chosen = (confidence >= own.threshold) & (confidence >= own.inner.threshold)
        logits = self.network(batch.strong[0]).logits
        each = nn.functional.cross_entropy(logits, label, reduction="none")
        loss = loss + (each * chosen).mean() + 0 * own.times_zero
        if progress.step > 10_000:
            loss = own.late * loss
        yield Update("network", loss, {})

    def predict(self, image: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.network(image).logits
        return logits
