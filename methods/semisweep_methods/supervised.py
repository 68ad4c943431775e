"""Supervised: the labelled images alone.

The row called "Sup.-only" or "SupOnly" in the papers' tables: the network of the methods it is
compared with, the same weakly augmented labelled batches, the same number of iterations, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, NetworkConfig, Progress, Update, config, setting
from semisweep.training.functional import supervised_loss


@config
class SupervisedConfig(MethodConfig):
    """Only the network and the supervised loss."""

    network: NetworkConfig = setting(
        factory=NetworkConfig, why="the network of the compared methods"
    )


class Supervised(Method):
    """One network, trained on the labelled images."""

    Config = SupervisedConfig
    name = "semisweep_methods.supervised:Supervised"
    uses_unlabelled = False
    views = 0

    def __init__(self, config: SupervisedConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.network = config.network.build(classes, seed)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: the network."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update, on the labelled images."""
        logits = self.network(batch.image).logits
        loss = supervised_loss(self.config.supervised_loss, logits, batch.label)
        yield Update("network", loss, {"supervised": loss.detach()})

    def predict(self, image: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.network(image).logits
        return logits
