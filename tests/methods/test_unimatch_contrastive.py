"""U2PL's contrastive loss on UniMatch: RankMatch's Table 4, second row."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS

from semisweep.testing import (
    MethodContract,
    first_update,
    progress_at,
    random_batch,
    tiny_network,
    train_steps,
)
from semisweep.training.functional import cutmix
from semisweep_methods.u2pl_contrast import labelled_cells, unlabelled_cells
from semisweep_methods.u2pl_partition import Partition, partition
from semisweep_methods.unimatch import UniMatch, UniMatchConfig
from semisweep_methods.unimatch_contrastive import UniMatchContrastive

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["unimatch_contrastive"]


class TestUniMatchContrastive(MethodContract):
    method = UniMatchContrastive
    config = CONFIG
    variants = (
        replace(CONFIG, contrast_weight=0.0),
        replace(CONFIG, contrast_weight=0.0, view_weight=0.0, feature_weight=0.0),
        replace(CONFIG, view_weight=0.0, feature_weight=0.0),
        replace(CONFIG, strong_views=1),
    )
    golden = GOLDEN / "trace_unimatch_contrastive.json"


def updated(config=CONFIG, kind=UniMatchContrastive, batch=None):
    return first_update(kind(config, classes=4), batch or random_batch(0), progress_at(0))


def unimatch(config):
    return UniMatchContrastive.same_as(replace(config, contrast_weight=0.0))


def test_without_the_loss_it_is_the_unimatch_trial():
    assert unimatch(CONFIG) == (UniMatch, UniMatchConfig(network=tiny_network(), threshold=0.3))
    assert UniMatchContrastive.same_as(CONFIG) == (UniMatchContrastive, CONFIG)


@pytest.mark.parametrize(
    "changes", [{}, {"strong_views": 1}, {"feature_weight": 0.0}, {"view_weight": 0.5}]
)
def test_the_loss_is_unimatchs_and_half_of_the_weighted_term(changes):
    """All of UniMatch's terms, so the passes and their draws, are UniMatch's own."""
    own = replace(CONFIG, contrast_weight=0.4, **changes)
    kind, plain = unimatch(own)
    update, without = updated(own), updated(plain, kind)

    assert update.terms["contrast"] > 0
    for name, term in without.terms.items():
        assert torch.equal(update.terms[name], term)
    assert torch.allclose(update.loss, without.loss + 0.4 * update.terms["contrast"] / 2)


def test_anchors_are_of_labelled_and_strong_images_and_the_rest_of_weak_ones():
    """The term is the loss of cells put together by hand."""
    batch = random_batch(0)
    term = updated(batch=batch).terms["contrast"]
    method = UniMatchContrastive(CONFIG, classes=4)
    seen = method.outputs(batch, progress_at(0))
    weak = seen.weak.logits.detach()
    parts = partition(weak, batch.valid, CONFIG, progress_at(0))
    label = weak.argmax(1)
    features = method.head(torch.cat([seen.labelled.fused, seen.weak.fused])).detach()
    strong = method.head(method.strong_outputs(batch).fused).unflatten(0, (2, 4))
    truth = labelled_cells(features[:4], seen.labelled.logits, batch.label)
    student = [truth]
    for view in range(2):
        mask = batch.cutmix[view]
        mixed = [cutmix(part, mask) for part in (weak, label)]
        student.append(
            unlabelled_cells(
                strong[view], *mixed, Partition(*(cutmix(part, mask) for part in parts)), CONFIG
            )
        )
    teacher = [truth, unlabelled_cells(features[4:], weak, label, parts, CONFIG)]

    assert torch.allclose(method.contrast(student, teacher, progress_at(0)), term)


def test_the_term_teaches_labelled_and_strong_images_and_no_weak_one():
    method, batch = UniMatchContrastive(CONFIG, classes=4), random_batch(0)
    seen, strong = method.outputs(batch, progress_at(0)), method.strong_outputs(batch)
    term = method.contrastive_term(method.contrast, batch, seen, strong, progress_at(0))
    sources = [seen.labelled.fused, strong.fused, seen.weak.fused, seen.weak.logits]
    gradients = torch.autograd.grad(term, sources, allow_unused=True)

    assert all(gradient.abs().sum() > 0 for gradient in gradients[:2])
    assert gradients[2] is None
    assert gradients[3] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"contrast_weight": 0.5},
        {"unreliable_share": 0.4},
        {"dynamic_partition": False},
        {"anchors": 3},
        {"negatives": 3},
        {"temperature": 0.2},
        {"anchor_probability": 0.3},
        {"anchor_pixels": "surest"},
        {"negative_pixels": "reliable"},
        {"negative_pixels": "all"},
        {"nearest_rank": 1},
        {"farthest_rank": 3},
        {"representation_channels": 4},
        {"memory_size": 5},
        {"keys_per_step": 2},
        {"threshold": 0.35},
        {"strong_views": 1},
    ],
)
def test_every_setting_changes_the_losses(changes):
    expected, found = (
        train_steps(UniMatchContrastive(replace(CONFIG, **own), classes=4), 3, first=50)
        for own in ({}, changes)
    )

    assert [step["network.loss"] for step in found] != [step["network.loss"] for step in expected]


def test_strong_views_are_asked_for_by_the_term_alone():
    own = replace(CONFIG, view_weight=0.0)
    update = updated(own)

    assert UniMatchContrastive(own, classes=4).views == 2
    assert update.terms["contrast"] > 0
    assert "strong" not in update.terms


def test_head_and_memory_are_there_only_where_they_are_used():
    assert UniMatchContrastive(CONFIG, classes=4).contrast.memory.rows.shape == (4, 12, 8)
    off = UniMatchContrastive(replace(CONFIG, contrast_weight=0.0), classes=4)
    assert off.head is off.contrast is None
