"""Losses, pseudo-labels, CutMix and draws: the small pure functions that methods are made of.

Shapes as in `semisweep.training.method`. Nothing here waits for a device or branches on the data.
Every mean is a local sum over a count that is shared by all workers, so that averaging the workers'
gradients gives the gradient of the mean over the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semisweep.core.errors import ConfigError
from semisweep.core.seeding import Part, derive
from semisweep.training import distributed
from semisweep.training.method import Progress

IGNORE = 255
OHEM_THRESHOLD = 0.7
OHEM_KEPT_PIXELS = {"ohem": 100_000, "ohem_50000": 50_000}


def supervised_loss(kind: str, logits: Tensor, label: Tensor) -> Tensor:
    """Return the loss that `MethodConfig.supervised_loss` names, such as "ce" or "ohem"."""
    if kind == "ce":
        return cross_entropy(logits, label)
    if kind not in OHEM_KEPT_PIXELS:
        kinds = ", ".join(map(repr, ("ce", *OHEM_KEPT_PIXELS)))
        raise ConfigError(f"supervised_loss must be one of {kinds}, got supervised_loss={kind!r}")
    return ohem(logits, label, kept_pixels=OHEM_KEPT_PIXELS[kind])


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels of all workers that are not 255.

    logits [B, C, H, W], label [B, H, W]. Zero, attached to the graph, when every pixel is 255.
    """
    return over_count(_pixel_losses(logits, label).sum(), (label != IGNORE).sum())


def ohem(
    logits: Tensor,
    label: Tensor,
    threshold: float = OHEM_THRESHOLD,
    kept_pixels: int = OHEM_KEPT_PIXELS["ohem"],
) -> Tensor:
    """Return the mean cross-entropy over each image's hard pixels (Shrivastava et al., CVPR 2016).

    A pixel is hard when its true class has at most `threshold` probability; where an image has
    fewer than `kept_pixels` of them, its `kept_pixels` hardest count. The quota is per image, so
    that workers change nothing; released code has it for all images of a device together: 200,000
    of two (UniMatch), 50,000 times their number (CPS, CSS), 100,000 of two (U2PL).
    logits [B, C, H, W], label [B, H, W]. Zero, attached to the graph, when every pixel is 255.
    """
    losses = _pixel_losses(logits, label).flatten(1)  # [B, H W]
    known = (label != IGNORE).flatten(1)
    probability = (-losses.detach()).exp().masked_fill(~known, 2.0)
    quota = min(max(kept_pixels, 1), probability.shape[1])
    limit = probability.kthvalue(quota, dim=1, keepdim=True).values.clamp_min(threshold)
    hard = known & (probability <= limit)
    return over_count(losses.where(hard, 0.0).sum(), hard.sum())


def pseudo_label(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest class [B, H, W] and its probability [B, H, W], both without gradient."""
    confidence, label = full_precision(logits.detach()).softmax(dim=1).max(dim=1)
    return label, confidence


def confident_cross_entropy(
    logits: Tensor, label: Tensor, selected: Tensor, valid: Tensor
) -> Tensor:
    """Return the cross-entropy summed over selected pixels, over the number of valid ones.

    logits [U, C, H, W]; label, selected and valid [U, H, W]. Few confident pixels thus weigh little
    (UniMatch, release). A pixel that is not valid is never selected. Zero, attached to the graph,
    when nothing is selected.
    """
    losses = _pixel_losses(logits, label).where(selected & valid, 0.0)
    return over_count(losses.sum(), valid.sum())


def over_count(total: Tensor, count: Tensor) -> Tensor:
    """Return this worker's share of a mean: its total over the workers' mean count.

    The mean of it over workers is the sum of totals over the sum of counts; zero where that is
    empty.
    """
    _, workers = distributed.world()
    mean = distributed.mean_over_workers(count.to(total.dtype))
    return total / mean.clamp_min(1 / workers)


def _pixel_losses(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(
        full_precision(logits), label.long(), ignore_index=IGNORE, reduction="none"
    )


def full_precision(value: Tensor) -> Tensor:
    """Return half-precision values as float32, others as they are."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def partner(values: Tensor, dim: int = 0) -> Tensor:
    """Return, at each place along `dim`, the values of that image's CutMix donor.

    Images are donors in pairs: 0 and 1, 2 and 3, ...; the last three of an odd number rotate. An
    image is never its own donor. Raises `ConfigError` where there is no other image, or where pairs
    would depend on the number of workers.
    """
    count = values.shape[dim]
    _, workers = distributed.world()
    if count < 2 or (workers > 1 and count % 2):
        raise ConfigError(
            "CutMix needs a donor for every image: at least 2 unlabelled images, and an even "
            f"number on each of several workers, got unlabelled images per worker={count}, "
            f"workers={workers}; change unlabelled_batch or workers"
        )
    paired = count - 3 if count % 2 else count
    donors = torch.arange(paired, device=values.device) ^ 1
    if paired < count:
        donors = torch.cat([donors, torch.arange(paired, count, device=values.device).roll(-1)])
    return values.index_select(dim, donors)


def cutmix(host: Tensor, mask: Tensor) -> Tensor:
    """Return `host` with each image's donor pasted in where `mask` is true.

    host [U, H, W] (labels, confidences, masks) or [U, D, H, W] (images, logits, features), mask
    [U, H, W]; donors as `partner` gives them.
    """
    place = mask.unsqueeze(1) if host.dim() == mask.dim() + 1 else mask
    return torch.where(place, partner(host), host)


def shrink_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Return mask [U, H, W] at a smaller size [U, h, w]: true where most of a cell is true."""
    share = F.adaptive_avg_pool2d(mask.float().unsqueeze(1), (size[0], size[1]))
    return share.squeeze(1) > 0.5


def aligned_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Return mask [U, H, W] at a smaller size [U, h, w]: what is true at a cell's own pixel.

    Corners are aligned: the cells' pixels are evenly spread from the first to the last.
    """
    rows, columns = (
        torch.linspace(0, length - 1, cells, device=mask.device).round().long()
        for length, cells in zip(mask.shape[-2:], size, strict=True)
    )
    return mask[:, rows][:, :, columns]


def generator(progress: Progress, *purpose: Part) -> torch.Generator:
    """Return a CPU generator that depends on seed, step and purpose alone."""
    made = torch.Generator()
    made.manual_seed(derive(progress.seed, progress.step, *purpose))
    return made


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Return values that were made on the CPU on a device, without waiting for its work.

    Copies from pinned memory join what a GPU has yet to do; others wait for all of it.
    """
    if device.type == "cuda" and not values.is_pinned():
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def draw(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    """Return uniform numbers [rows, columns] in [0, 1) for this worker's rows of the whole batch.

    Every worker draws the rows of all workers and takes its own, so that an image meets the same
    numbers however many workers there are.
    """
    _, workers = distributed.world()
    whole = torch.rand(rows * workers, columns, generator=generator, dtype=torch.float64)
    return whole[distributed.own_rows(rows)]


def channel_dropout(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Return values with channels of each image zeroed at `rate` and the others scaled up.

    values [U, D, ...]. The expectation is kept: what remains is divided by 1 - rate, which must be
    positive.
    """
    rows, channels = values.shape[:2]
    kept = draw(generator, rows, channels) >= rate
    factor = moved(kept.to(values.dtype), values.device) / (1 - rate)
    return values * factor.reshape(rows, channels, *[1] * (values.dim() - 2))
