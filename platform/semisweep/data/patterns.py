"""Pictures of random patterns, and the encoder trained to tell them apart.

Networks of the papers start from weights trained on another, large data set. So do those of mini
scale: from telling apart 24 patterns and 8 outlines that have nothing to do with the classes of
`shapes`; no picture or label of `shapes` is used. A pattern is a sum of waves at fixed angles and
ratios of length; its place, direction, scale, colours and contrast are random.

    python -m semisweep.data.patterns encoder.safetensors

makes the file that the presets of mini scale name.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from semisweep.core.seeding import derive
from semisweep.data.augmentation import normalise

PATTERNS = 24
OUTLINES = 8  # four stretches of an ellipse, four of a shape with three lobes
WAVES = 4
SIZE = 64

BACKBONE = "test_resnet"
STEPS = 5000
BATCH = 32
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05
OUTLINE_WEIGHT = 0.5

NOISE_AMPLITUDES = {2: 0.22, 4: 0.16, 8: 0.10, 16: 0.06, 32: 0.04}  # by cells across the picture
PERIOD_PIXELS = (4.5, 9.0)
CONTRAST = (0.4, 0.9)
TONE_DIFFERENCE = 0.18
RADIUS_PIXELS = (10.0, 22.0)


class Patterns(NamedTuple):
    """What makes the waves of each pattern."""

    angle: Tensor  # [PATTERNS, WAVES]  radians
    rate: Tensor  # [PATTERNS, WAVES]   in waves of the first one
    height: Tensor  # [PATTERNS, WAVES] zero where a pattern has fewer waves
    bias: Tensor  # [PATTERNS]          of bright against dark


class Painter:
    """Paints pictures; equal seeds give equal pictures."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(derive(seed, "pictures of patterns"))
        self.patterns = make_patterns()
        axis = torch.arange(SIZE) + 0.5
        self.rows, self.columns = torch.meshgrid(axis, axis, indexing="ij")

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures [N, 3, 64, 64] in [0, 1], their patterns [N] and their outlines [N].

        What is asked for stands in the middle, before a smaller distraction.
        """
        pattern, outline = self.choose(PATTERNS, count), self.choose(OUTLINES, count)
        picture = self.background(count)
        distraction = self.choose(PATTERNS, count), self.choose(OUTLINES, count)
        picture = self.paint(picture, *distraction, size=0.5, margin=8)
        picture = self.paint(picture, pattern, outline, size=1.0, margin=22)
        gain, offset = self.draw((count,), (0.8, 1.05)), self.draw((count,), (-0.06, 0.06))
        picture = 0.5 + (picture - 0.5) * wide(gain) + wide(offset)
        noise = torch.randn(picture.shape, generator=self.generator)
        return (picture + 0.02 * noise).clamp(0, 1), pattern, outline

    def background(self, count: int) -> Tensor:
        """Return smooth coloured noise [N, 3, 64, 64]."""
        picture = wide(self.draw((count, 3), (0.2, 0.8)))
        for cells, amplitude in NOISE_AMPLITUDES.items():
            knots = self.draw((count, 3, cells + 1, cells + 1), (-1, 1))
            raised = nn.functional.interpolate(
                knots, size=(SIZE, SIZE), mode="bicubic", align_corners=False
            )
            picture = picture + amplitude * raised
        return picture

    def paint(
        self, picture: Tensor, pattern: Tensor, outline: Tensor, size: float, margin: float
    ) -> Tensor:
        """Return the pictures with an object on each, `margin` pixels or more from their rim."""
        count = len(picture)
        down, right = (
            axis - wide(self.draw((count,), (margin, SIZE - margin)))[:, 0]
            for axis in (self.rows, self.columns)
        )
        radius = size * self.draw((count,), RADIUS_PIXELS)
        turn = self.angles(count)
        stretch = (1 + 0.6 * (outline % 4)).sqrt()
        along = (right * near(turn.cos()) + down * near(turn.sin())) / near(stretch)
        across = (down * near(turn.cos()) - right * near(turn.sin())) * near(stretch)
        lobed = near((outline >= OUTLINES // 2).float())
        rim = near(radius) * (1 + 0.3 * lobed * torch.cos(3 * torch.atan2(across, along)))
        cover = (0.5 + rim - torch.hypot(along, across)).clamp(0, 1).unsqueeze(1)
        return picture + cover * (self.colours(pattern) - picture)

    def colours(self, pattern: Tensor) -> Tensor:
        """Return the patterns in two random tones, all over a picture [N, 3, 64, 64]."""
        count, own = len(pattern), self.patterns
        direction = self.angles(count).unsqueeze(1) + own.angle[pattern]
        period = self.draw((count,), PERIOD_PIXELS).unsqueeze(1)
        rate = 2 * math.pi / period * own.rate[pattern]
        phase = self.draw((count, WAVES), (0, 2 * math.pi))
        place = wide(direction.cos()) * self.columns + wide(direction.sin()) * self.rows
        waves = wide(own.height[pattern]) * torch.cos(wide(rate) * place + wide(phase))
        tone = (0.5 + 1.2 * (waves.sum(1) + near(own.bias[pattern]))).clamp(0, 1).unsqueeze(1)
        contrast = self.draw((count, 1), CONTRAST)
        room = contrast / 2
        middle = room + self.draw((count, 3), (0, 1)) * (1 - 2 * room)
        sign = 1 - 2 * self.choose(2, count).unsqueeze(1)
        difference = contrast * sign + self.draw((count, 3), (-TONE_DIFFERENCE, TONE_DIFFERENCE))
        return wide(middle) + wide(difference) * (tone - 0.5)

    def draw(self, shape: tuple[int, ...], limits: tuple[float, float]) -> Tensor:
        """Return uniform numbers between the limits."""
        low, high = limits
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def angles(self, count: int) -> Tensor:
        """Return directions [N] in radians."""
        return self.draw((count,), (0, 2 * math.pi))

    def choose(self, number: int, count: int) -> Tensor:
        """Return integers [N] below `number`."""
        return torch.randint(number, (count,), generator=self.generator)


def make_patterns() -> Patterns:
    """Return the patterns, always the same."""
    made = torch.Generator().manual_seed(derive("patterns"))
    shape = (PATTERNS, WAVES)
    height = torch.rand(shape, generator=made) * (torch.rand(shape, generator=made) < 0.5)
    height[:, 0] = 1
    return Patterns(
        angle=math.pi * torch.rand(shape, generator=made),
        rate=1 + 0.8 * torch.rand(shape, generator=made),
        height=height,
        bias=1.6 * torch.rand(PATTERNS, generator=made) - 0.8,
    )


def near(values: Tensor) -> Tensor:
    """Return one value a picture [N], ready to meet maps [N, 64, 64]."""
    return values[:, None, None]


def wide(values: Tensor) -> Tensor:
    """Return values [N] or [N, K], ready to meet maps [N, K, 64, 64]."""
    return values.reshape(len(values), -1, 1, 1)


def train(steps: int = STEPS, seed: int = 0, progress: bool = False) -> nn.Module:
    """Return timm's network after `steps` batches of telling patterns and outlines apart."""
    import timm

    painter = Painter(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(BACKBONE, num_classes=PATTERNS + OUTLINES)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    right = 0.0
    for step in range(1, steps + 1):
        picture, pattern, outline = painter.batch(BATCH)
        planes = normalise((255 * picture.permute(0, 2, 3, 1)).round().byte().numpy())
        answer = model(torch.from_numpy(planes))
        loss = nn.functional.cross_entropy(answer[:, :PATTERNS], pattern)
        loss = loss + OUTLINE_WEIGHT * nn.functional.cross_entropy(answer[:, PATTERNS:], outline)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        right += (answer[:, :PATTERNS].argmax(1) == pattern).float().mean().item()
        if progress and step % 100 == 0:
            print(f"step {step}/{steps}: {right:.0f} % of the patterns right", flush=True)
            right = 0.0
    return model


def save(model: nn.Module, path: Path) -> None:
    """Write the network's weights, classifier left out, in half precision."""
    from safetensors.torch import save_file

    kept = {name: value for name, value in model.state_dict().items() if "fc." not in name}
    halves = {
        name: value.half() if value.is_floating_point() else value for name, value in kept.items()
    }
    save_file(halves, str(path))


if __name__ == "__main__":
    torch.set_num_threads(1)
    save(train(progress=True), Path(sys.argv[1]))
