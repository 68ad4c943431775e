"""The one interface between a method and everything that runs it.

Shapes throughout semisweep: B labelled images, U unlabelled images, V strong views, C classes,
D channels, H W image size, h w feature size.

A method is a module whose `step` yields updates: "minimise this loss over that group, now". Code
after a `yield` sees the new weights, so two optimizer steps an iteration, EMA updates and queue
pushes are simply the lines that follow. Never yield inside `torch.no_grad()`: the mode would leak
to the trainer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from semisweep.core.config import config, setting
from semisweep.training.switches import Switch


class Batch(NamedTuple):
    """One worker's share of an iteration's images."""

    image: Tensor  # [B, 3, H, W]      labelled, weakly augmented
    label: Tensor  # [B, H, W]         class index, 255 = ignore
    weak: Tensor  # [U, 3, H, W]       unlabelled, weakly augmented
    strong: Tensor  # [V, U, 3, H, W]  strongly augmented views of the same crops
    cutmix: Tensor  # [V, U, H, W]     True where the partner image is to be pasted in
    valid: Tensor  # [U, H, W]         False on padding


class Progress(NamedTuple):
    """Where training stands in its schedule; the same on every worker.

    A training that is stopped early has the schedule of a whole one.
    """

    step: int
    total_steps: int
    epoch: int
    total_epochs: int
    seed: int
    labelled_epoch: int = 0  # passes over the labelled images; `epoch` is of unlabelled ones


class Rate(NamedTuple):
    """A learning rate: `scale` times what the trial's kind of schedule gives at this step."""

    step: int
    total_steps: int
    scale: float = 1.0


class Update(NamedTuple):
    """Minimise `loss` over the parameters of `group`, now; `terms`, its parts, are for history.

    `rate`: where in a schedule of its own a phase of the method stands; None for the trial's.
    `complete`: False where the next yield adds to this update: gradients add up, what the graph of
    this part held is free before the next is computed, and weights change after the last part.
    """

    group: str
    loss: Tensor
    terms: Mapping[str, Tensor]
    rate: Rate | None = None
    complete: bool = True


class PseudoLabel(NamedTuple):
    """What a method would teach itself about images."""

    label: Tensor  # [B, H, W]     class index
    selected: Tensor  # [B, H, W]  whether a loss would use the pixel


@config
class MethodConfig:
    """What every method's configuration has.

    `switches`: parts of the method that can be off and are more than one field; those of one field
    are said by its `setting`.
    """

    switches: ClassVar[tuple[Switch, ...]] = ()

    supervised_loss: Literal["ce", "ohem", "ohem_50000"] = setting(
        "ce",
        code="on Cityscapes OHEM, which keeps at least 100,000 pixels an image in UniMatch (ohem), "
        "50,000 in CPS, CSS and U2PL (ohem_50000)",
        why="cross-entropy",
    )


class Method(nn.Module, ABC):
    """A training algorithm. Everything it remembers is a parameter or a buffer.

    `Config`: its configuration class. `name`: what keys of trials hold, "package.module:Class" of
    this very class unless it says otherwise; a class that moves or is renamed keeps its old one, so
    that finished trials stay its own. `version`: raise it whenever equal configurations would no
    longer give equal weights. `uses_unlabelled`: whether it looks at unlabelled images at all.
    `views`: how many strongly augmented views of them it asks for.
    """

    Config: ClassVar[type[MethodConfig]]
    name: ClassVar[str]
    version: ClassVar[int] = 1
    uses_unlabelled: ClassVar[bool] = True
    views: int = 1

    def __init_subclass__(cls, **options: object) -> None:
        """Give a class that states no name its own path: a parent's would mix up their trials."""
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def __init__(self, config: Any, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        self.seed = seed

    @classmethod
    def same_as(cls, config: Any) -> tuple[type[Method], MethodConfig]:
        """Return the method and configuration whose training this one is, switches off included.

        The trial gets that one's key and runs once for both. The contract suite proves every claim.
        """
        return cls, config

    @abstractmethod
    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return what each optimizer trains, by the name that updates use."""

    @abstractmethod
    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield the updates of one iteration, in order; which ones never depends on the data."""

    @abstractmethod
    def predict(self, image: Tensor) -> Tensor:
        """Return logits [B, C, H, W] for images [B, 3, H, W], of the network the paper reports."""

    def reported(self) -> Sequence[nn.Module]:
        """Return the modules that `predict` reads: all that a finished trial keeps by default.

        They are the method itself or parts of it. Everything here, which is never wrong.
        """
        return [self]

    def project(self, fused: Tensor) -> Tensor | None:
        """Return features [B, D, h, w] in a space of the method's own, for figures of features.

        `fused`: what the reported network's decoder makes of images, [B, C, h, w]. Networks beyond
        the reported ones may be read. None: the method has no such space.
        """
        return None

    def pseudo_labels(self, image: Tensor) -> Mapping[str, PseudoLabel]:
        """Return the pseudo-labels for weak images [B, 3, H, W], by the name of their source.

        For measuring their quality where masks are known, in evaluation mode and without gradient.
        Nothing here: a method that wants to be measured says what it has.
        """
        return {}

    def label_confidence(self, image: Tensor) -> Mapping[str, Tensor]:
        """Return the probability [B, H, W] of the labels of `pseudo_labels`, by the same names.

        For figures. A source whose labels have no probability is left out; nothing here.
        """
        return {}
