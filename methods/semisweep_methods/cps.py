"""CPS and n-CPS: networks that differ in their initial weights alone teach each other.

X. Chen, Y. Yuan, G. Zeng, J. Wang, "Semi-Supervised Semantic Segmentation with Cross Pseudo
Supervision", CVPR 2021; D. Filipiak, P. Tempczyk, M. Cygan, "n-CPS: Generalising Cross Pseudo
Supervision to n Networks for Semi-Supervised Semantic Segmentation", arXiv 2112.07528. What is new:
one-hot labels of each network supervise the others on images without labels; there is no threshold,
no average and no view but CutMix.

As in the paper or its release:
1. labelled, plain and mixed images go through a network in training mode in a pass each;
2. with CutMix the labels are those of the plain images, pasted together like the images, and only
   the mixed images are learned from; without it one pass gives both labels and predictions;
3. the first network is the one evaluated; n-CPS's voting is not part of the training.

Chosen by us:
4. padding is not counted; the release learns it;
5. the sum over the n (n - 1) ordered pairs is divided by n - 1, so that the weight of a network's
   unlabelled loss against its supervised one is the same for any n, and CPS is n = 2;
6. a term of weight zero is not computed at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from semisweep import (
    Batch,
    Method,
    MethodConfig,
    NetworkConfig,
    Progress,
    PseudoLabel,
    Update,
    config,
    setting,
)
from semisweep.core.config import NonNegative
from semisweep.core.seeding import derive
from semisweep.networks.network import Network
from semisweep.training.functional import (
    IGNORE,
    confident_cross_entropy,
    cutmix,
    pseudo_label,
    supervised_loss,
)
from semisweep_methods.supervised import Supervised, SupervisedConfig


@config
class CPSConfig(MethodConfig):
    """The settings of CPS; the defaults are those for Pascal VOC."""

    network: NetworkConfig = setting(factory=NetworkConfig, paper="DeepLabV3+, ResNet-50 or 101")
    networks: Annotated[int, Field(ge=2)] = setting(
        2, symbol="n", paper="2; n-CPS 3", code="2", why="3 makes it 3-CPS"
    )
    exchange_weight: NonNegative | None = setting(
        None,
        off=0.0,
        switch="exchange",
        symbol="lambda",
        paper="1.5 on Pascal, 6 on Cityscapes",
        code="cps_weight: with CutMix 1 on Pascal, 5 on Cityscapes; without it 1.5 and 6",
        why="none is the code's for Pascal: 1 with CutMix, 1.5 without; zero is Supervised",
    )
    cutmix: bool = setting(
        True,
        off=False,
        needs=("exchange",),
        paper="tables with and without it",
        code="an experiment of its own",
        why="the later papers' tables quote the results with it",
        matters=lambda own: own.uses_unlabelled,
    )
    labelled_too: bool = setting(
        False,
        paper="labelled images without their labels as well (L_cps^l + L_cps^u)",
        code="as well without CutMix, in one mean with the unlabelled ones; not with CutMix",
        why="the code's for its default, CutMix",
        matters=lambda own: own.uses_unlabelled,
    )

    @property
    def uses_unlabelled(self) -> bool:
        """Whether any loss looks at images without labels."""
        return self.weight > 0

    @property
    def weight(self) -> float:
        """The weight of the exchange: as given, or the release's for Pascal VOC."""
        if self.exchange_weight is not None:
            return self.exchange_weight
        return 1.0 if self.cutmix else 1.5


class Images(NamedTuple):
    """Images whose labels are not used: M of them, the first of them mixed where there is CutMix.

    Without CutMix `mask` is empty and the mixed images are the plain ones.
    """

    plain: Tensor  # [M, 3, H, W]
    mixed: Tensor  # [M, 3, H, W]
    valid: Tensor  # [M, H, W]  of the mixed ones
    mask: Tensor  # [U, H, W]   or [0, H, W]


class CPS(Method):
    """Equal networks side by side, trained together."""

    Config: ClassVar[type[CPSConfig]] = CPSConfig
    name = "semisweep_methods.cps:CPS"

    def __init__(self, config: CPSConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.views = 1 if config.cutmix and config.uses_unlabelled else 0  # for its CutMix masks
        self.network = config.network.build(classes, seed)
        self.others = nn.ModuleList(
            config.network.build(classes, derive(seed, "network", index))
            for index in range(1, config.networks)
        )

    @classmethod
    def same_as(cls, config: CPSConfig) -> tuple[type[Method], MethodConfig]:
        """Return Supervised where nothing is exchanged, and the weight that is used."""
        if config.weight > 0:
            return cls, dataclasses.replace(config, exchange_weight=config.weight)
        return Supervised, SupervisedConfig(
            network=config.network, supervised_loss=config.supervised_loss
        )

    @property
    def peers(self) -> list[Network]:
        """The networks that teach each other."""
        return [self.network, *self.others]

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: all networks."""
        return {"networks": self.peers}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update: L = L_s + lambda L_cps."""
        own: CPSConfig = self.config
        supervised = self.supervised(self.peers, batch)
        loss, terms = supervised, {"supervised": supervised.detach()}
        if own.weight > 0:
            images = self.images(batch)
            logits = logits_of(self.peers, images)
            labels = [mixed_label(one, images) for one in ask(self.peers, images, logits)]
            exchange = exchange_loss(logits, labels, images.valid)
            loss = loss + own.weight * exchange
            terms["exchange"] = exchange.detach()
        yield Update("networks", loss, terms)

    def supervised(self, networks: Sequence[Network], batch: Batch) -> Tensor:
        """Return the sum over networks of the mean loss on the labelled images (L_s)."""
        kind = self.config.supervised_loss
        losses = [
            supervised_loss(kind, network(batch.image).logits, batch.label) for network in networks
        ]
        return torch.stack(losses).sum()

    def images(self, batch: Batch) -> Images:
        """Return the images that are learned without labels; mixed ones come first."""
        plain, valid = batch.weak, batch.valid
        if self.config.labelled_too:
            plain = torch.cat([plain, batch.image])
            valid = torch.cat([valid, batch.label != IGNORE])  # padding and void look the same
        mask = batch.cutmix[0] if self.views else batch.valid[:0]
        return Images(plain, mix(plain, mask), mix(valid, mask), mask)

    def reported(self) -> Sequence[nn.Module]:
        """Return the first network."""
        return [self.network]

    def predict(self, image: Tensor) -> Tensor:
        """Return the first network's logits."""
        logits: Tensor = self.network(image).logits
        return logits

    def pseudo_labels(self, image: Tensor) -> Mapping[str, PseudoLabel]:
        """Return the first network's labels; every pixel is used."""
        return {"exchange": everywhere(pseudo_label(self.predict(image))[0])}


def everywhere(label: Tensor) -> PseudoLabel:
    """Return pseudo-labels that are used at every pixel."""
    return PseudoLabel(label, torch.ones_like(label, dtype=torch.bool))


def mix(values: Tensor, mask: Tensor) -> Tensor:
    """Return values [M, ...] with donors pasted into the first U of them where mask [U, H, W]."""
    count = len(mask)
    return torch.cat([cutmix(values[:count], mask), values[count:]]) if count else values


def logits_of(networks: Sequence[Network], images: Images) -> list[Tensor]:
    """Return each network's logits [M, C, H, W] on the mixed images."""
    return [network(images.mixed).logits for network in networks]


def ask(networks: Sequence[Network], images: Images, logits: Sequence[Tensor] = ()) -> list[Tensor]:
    """Return each network's logits [M, C, H, W] on the plain images, without gradient.

    `logits`: the networks' own on the mixed images, which are these where nothing is mixed.
    """
    if logits and not len(images.mask):
        return [one.detach() for one in logits]
    with torch.no_grad():
        return [network(images.plain).logits for network in networks]


def mixed_label(logits: Tensor, images: Images) -> Tensor:
    """Return the one-hot labels of the plain images as class indices, mixed like the images."""
    return mix(pseudo_label(logits)[0], images.mask)


def exchange_loss(logits: Sequence[Tensor], labels: Sequence[Tensor], valid: Tensor) -> Tensor:
    """Return the mean over valid pixels of each network's cross-entropy with each other's label.

    logits n times [M, C, H, W], labels n times [M, H, W], valid [M, H, W]. Summed over ordered
    pairs of networks, over n - 1 (Eq. 3 of CPS; Eq. 6 of GPS).
    """
    losses = [
        confident_cross_entropy(own, label, valid, valid)
        for index, own in enumerate(logits)
        for other, label in enumerate(labels)
        if other != index
    ]
    return torch.stack(losses).sum() / (len(logits) - 1)
