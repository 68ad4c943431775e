"""Losses, pseudo-labels, CutMix and draws."""

import math

import pytest
import torch
import torch.nn.functional as F

from semisweep import Progress
from semisweep.core.errors import ConfigError
from semisweep.training.functional import (
    IGNORE,
    aligned_mask,
    channel_dropout,
    confident_cross_entropy,
    cross_entropy,
    cutmix,
    draw,
    generator,
    ohem,
    partner,
    pseudo_label,
    shrink_mask,
    supervised_loss,
)


def noise(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


def labels(seed, *shape, classes=3):
    made = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, shape, generator=made)
    label[torch.rand(shape, generator=made) < 0.3] = IGNORE
    return label


def pixel_losses(logits, label):
    """Return -log p of the true class of each known pixel, by image."""
    rows = []
    for scores, classes in zip(logits.flatten(2).transpose(1, 2), label.flatten(1), strict=True):
        known = [(s, int(c)) for s, c in zip(scores, classes, strict=True) if c != IGNORE]
        rows.append([-math.log(s.softmax(0)[c].item()) for s, c in known])
    return rows


def at(step, seed=0):
    return Progress(step, 100, 0, 10, seed)


def test_cross_entropy_is_the_mean_over_known_pixels_of_the_batch():
    logits, label = noise(0, 2, 3, 4, 5), labels(1, 2, 4, 5)
    losses = [loss for row in pixel_losses(logits, label) for loss in row]

    assert cross_entropy(logits, label).item() == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize("loss", [cross_entropy, ohem])
def test_no_known_pixel_gives_zero_on_the_graph(loss):
    logits = noise(0, 2, 3, 4, 5).requires_grad_()
    found = loss(logits, torch.full((2, 4, 5), IGNORE))
    found.backward()

    assert found.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("kept_pixels", [1, 6, 1000])
def test_ohem_keeps_the_hard_pixels_and_at_least_a_quota_of_each_image(kept_pixels):
    logits, label = 3 * noise(0, 3, 3, 4, 5), labels(1, 3, 4, 5)
    kept = []
    for row in pixel_losses(logits, label):
        hardest = sorted(row, reverse=True)
        hard = [loss for loss in hardest if math.exp(-loss) <= 0.7]
        kept += hard if len(hard) >= kept_pixels else hardest[:kept_pixels]

    found = ohem(logits, label, threshold=0.7, kept_pixels=kept_pixels)
    assert found.item() == pytest.approx(sum(kept) / len(kept))


def test_ohem_with_a_large_quota_is_cross_entropy():
    logits, label = 3 * noise(0, 2, 3, 4, 5), labels(1, 2, 4, 5)

    assert torch.allclose(supervised_loss("ohem", logits, label), cross_entropy(logits, label))
    assert not torch.allclose(ohem(logits, label, kept_pixels=1), cross_entropy(logits, label))


def test_the_two_quotas_of_released_code():
    """On 768 x 768 with 47,400 hard pixels: at least 50,000 (CSS, CPS), or 100,000 (UniMatch)."""
    size, hard = 768, 47_400
    margin = torch.full((size * size,), 4.0).double()  # easy: 0.96 of two classes
    margin[:hard] = -3.0
    margin[hard:60_000] = 2.0  # the hardest of the easy ones
    logits = torch.stack([margin, torch.zeros_like(margin)]).view(1, 2, size, size)
    label = torch.zeros(1, size, size, dtype=torch.long)
    losses = F.softplus(-margin).sort(descending=True).values
    found = [supervised_loss(kind, logits, label).item() for kind in ("ohem_50000", "ohem")]

    # All pixels as hard as the last that the quota takes count, so that ties are kept.
    assert found[0] == pytest.approx(losses[:60_000].mean().item())
    assert found[1] == pytest.approx(losses.mean().item())


def test_a_quota_counts_pixels_of_each_image():
    logits, label = 3 * noise(0, 2, 3, 300, 300), labels(1, 2, 300, 300)
    kept = []
    for row in pixel_losses(logits, label):
        hardest = sorted(row, reverse=True)
        hard = [loss for loss in hardest if math.exp(-loss) <= 0.7]
        kept += hard if len(hard) >= 50_000 else hardest[:50_000]

    assert supervised_loss("ohem_50000", logits, label).item() == pytest.approx(
        sum(kept) / len(kept)
    )


def test_an_unknown_supervised_loss_is_refused():
    with pytest.raises(ConfigError, match="supervised_loss='dice'"):
        supervised_loss("dice", noise(0, 2, 3, 4, 5), labels(1, 2, 4, 5))


def test_a_pseudo_label_is_the_likeliest_class_without_gradient():
    logits = noise(0, 2, 3, 4, 5).requires_grad_()
    label, confidence = pseudo_label(logits)

    assert torch.equal(label, logits.argmax(1))
    assert torch.allclose(confidence, logits.softmax(1).amax(1))
    assert not confidence.requires_grad


def test_confident_cross_entropy_is_a_sum_over_selected_over_the_number_of_valid():
    logits, label = noise(0, 2, 3, 4, 5), labels(1, 2, 4, 5).clamp_max(2)
    selected, valid = noise(2, 2, 4, 5) > 0, noise(3, 2, 4, 5) > -0.5
    unlabelled = torch.where(selected & valid, label, IGNORE)
    total = sum(loss for row in pixel_losses(logits, unlabelled) for loss in row)
    found = confident_cross_entropy(logits, label, selected, valid)

    assert found.item() == pytest.approx(total / int(valid.sum()))


def test_no_selected_and_no_valid_pixel_gives_zero_on_the_graph():
    logits = noise(0, 2, 3, 4, 5).requires_grad_()
    nothing = torch.zeros(2, 4, 5, dtype=torch.bool)
    found = confident_cross_entropy(logits, labels(1, 2, 4, 5).clamp_max(2), ~nothing, nothing)
    found.backward()

    assert found.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("count", range(2, 10))
def test_every_image_is_a_donor_once_and_never_its_own(count):
    donors = partner(torch.arange(count)).tolist()

    assert sorted(donors) == list(range(count))
    assert all(donor != host for host, donor in enumerate(donors))


def test_donors_are_neighbours_in_pairs_and_the_last_three_rotate():
    assert partner(torch.arange(6)).tolist() == [1, 0, 3, 2, 5, 4]
    assert partner(torch.arange(7)).tolist() == [1, 0, 3, 2, 5, 6, 4]
    assert partner(torch.arange(8).reshape(2, 4), dim=1).tolist() == [[1, 0, 3, 2], [5, 4, 7, 6]]


def test_one_image_has_no_donor():
    with pytest.raises(ConfigError, match="unlabelled images per worker=1"):
        partner(torch.zeros(1))


def test_cutmix_pastes_the_same_place_of_the_donor_into_images_and_labels():
    image, label = noise(0, 2, 3, 4, 5), labels(1, 2, 4, 5)
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[0, 1:3, 2:] = True
    mixed, mixed_label = cutmix(image, mask), cutmix(label, mask)

    assert torch.equal(mixed[0, :, 1:3, 2:], image[1, :, 1:3, 2:])
    assert torch.equal(mixed[0, :, 3], image[0, :, 3])
    assert torch.equal(mixed[1], image[1])
    assert torch.equal(mixed_label[0, 1:3, 2:], label[1, 1:3, 2:])
    assert torch.equal(mixed_label[1], label[1])


def test_a_mask_shrinks_to_where_most_of_a_cell_is_true():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :3, :2] = True  # all of one cell, half of the one below

    assert shrink_mask(mask, (2, 2)).tolist() == [[[True, False], [False, False]]]


def test_channel_dropout_drops_whole_channels_of_each_image_and_keeps_the_mean():
    values = torch.ones(50, 200, 2, 3)
    dropped = channel_dropout(values, 0.25, generator(at(0), "test"))
    flat = dropped.flatten(2)

    assert torch.equal(flat.amin(2), flat.amax(2))
    assert flat.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(dropped[0], dropped[1])


def test_draws_depend_on_seed_step_and_purpose_and_on_nothing_else():
    first = draw(generator(at(3), "agents", 0), 4, 5)
    torch.manual_seed(1)
    torch.rand(7)

    assert torch.equal(first, draw(generator(at(3), "agents", 0), 4, 5))
    for other in (generator(at(4), "agents", 0), generator(at(3, seed=1), "agents", 0)):
        assert not torch.equal(first, draw(other, 4, 5))
    assert not torch.equal(first, draw(generator(at(3), "agents", 1), 4, 5))


@pytest.mark.parametrize(("pixels", "cells"), [(321, 21), (513, 33), (801, 51)])
def test_mixing_aligned_cells_is_mixing_at_the_size_of_the_image(pixels: int, cells: int) -> None:
    """RankMatch's release goes up and down again, both with aligned corners."""
    made = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 3, cells, cells, generator=made)
    mask = torch.zeros(2, pixels, pixels, dtype=torch.bool)
    mask[0, 40:171, 33:210] = mask[1, :95, 16:] = True

    def resized(values: torch.Tensor, side: int) -> torch.Tensor:
        size = (side, side)
        return torch.nn.functional.interpolate(values, size, mode="bilinear", align_corners=True)

    expected = resized(cutmix(resized(feature, pixels), mask), cells)
    found = cutmix(feature, aligned_mask(mask, (cells, cells)))

    assert torch.allclose(found, expected, atol=1e-3)
    assert not torch.allclose(
        cutmix(feature, shrink_mask(mask, (cells, cells))), expected, atol=0.1
    )
