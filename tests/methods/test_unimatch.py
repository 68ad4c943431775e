"""UniMatch: its loss, its switches and its promises."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS

from semisweep.core.errors import ConfigError
from semisweep.testing import (
    MethodContract,
    first_update,
    progress_at,
    random_batch,
    train_steps,
)
from semisweep_methods.unimatch import UniMatch

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["unimatch"]


class TestUniMatch(MethodContract):
    method = UniMatch
    config = CONFIG
    variants = (
        replace(CONFIG, view_weight=0.0),
        replace(CONFIG, feature_weight=0.0),
        replace(CONFIG, view_weight=0.0, feature_weight=0.0),
        replace(CONFIG, strong_views=1, view_weight=1.0),
    )
    golden = GOLDEN / "trace_unimatch.json"


def test_the_loss_is_half_of_the_weighted_sum_of_its_terms():
    method = UniMatch(CONFIG, classes=4)
    update = first_update(method, random_batch(0), progress_at(0))
    terms = update.terms
    total = terms["supervised"] + 0.25 * 2 * terms["strong"] + 0.5 * terms["perturbed"]

    assert 0 < terms["confident"] < 1
    assert terms["strong"] > 0
    assert terms["perturbed"] > 0
    assert torch.allclose(update.loss, total / 2)


def test_the_terms_equal_a_slow_loop_over_pixels():
    method, batch = UniMatch(CONFIG, classes=4), random_batch(0)
    probability = method.outputs(batch, progress_at(0)).weak.logits.softmax(1)
    strong = method.strong_outputs(batch).logits.unflatten(0, (2, 4)).log_softmax(2)
    donor = {0: 1, 1: 0, 2: 3, 3: 2}
    views = []
    for view in range(2):
        total, valid = 0.0, 0
        for image in range(4):
            for row in range(32):
                for column in range(32):
                    pasted = bool(batch.cutmix[view, image, row, column])
                    source = donor[image] if pasted else image
                    valid += bool(batch.valid[source, row, column])
                    best = probability[source, :, row, column].max(0)
                    if batch.valid[source, row, column] and best.values >= CONFIG.threshold:
                        total -= strong[view, image, best.indices, row, column].item()
        views.append(total / valid)

    terms = first_update(method, batch, progress_at(0)).terms
    assert terms["strong"].item() == pytest.approx(sum(views) / 2, rel=1e-5)


def test_supervision_of_views_does_not_reach_the_teacher():
    """The weak logits get no gradient from the unlabelled terms: pseudo-labels are constants."""
    method, batch = UniMatch(CONFIG, classes=4), random_batch(0)
    seen = method.outputs(batch, progress_at(0))
    opinion, strong = method.opinion(seen), method.strong_outputs(batch)
    seen.weak.logits.retain_grad()
    strong.logits.retain_grad()
    method.clean_loss(batch, seen, opinion)[0].backward()
    method.strong_loss(batch, opinion, strong, progress_at(0))[0].backward()

    assert not any(part.requires_grad for part in opinion)
    assert seen.weak.logits.grad is None
    assert strong.logits.grad.any()


def test_a_threshold_nobody_reaches_leaves_half_the_supervised_loss():
    method = UniMatch(replace(CONFIG, threshold=1.0), classes=4)
    update = first_update(method, random_batch(0), progress_at(0))

    assert update.terms["confident"] == 0
    assert torch.equal(update.loss, update.terms["supervised"] / 2)


def test_switched_off_terms_are_not_computed():
    method = UniMatch(replace(CONFIG, view_weight=0.0, feature_weight=0.0), classes=4)
    seen = method.outputs(random_batch(0), progress_at(0))

    assert method.views == 0
    assert len(seen.perturbed) == 0
    assert len(list(method.step(random_batch(0), progress_at(0)))) == 1


def test_the_perturbed_copy_differs_from_the_weak_one_and_between_steps():
    method, batch = UniMatch(CONFIG, classes=4).eval(), random_batch(0)
    first, second = (method.outputs(batch, progress_at(step)) for step in (0, 1))

    assert not torch.allclose(first.perturbed, first.weak.logits)
    assert not torch.allclose(first.perturbed, second.perturbed)
    assert torch.equal(first.weak.logits, second.weak.logits)


def test_a_batch_of_two_trains():
    method = UniMatch(CONFIG, classes=4)
    update = first_update(method, random_batch(0, labelled=2, unlabelled=2), progress_at(0))

    assert update.loss.isfinite()


def test_one_unlabelled_image_is_refused_with_the_number():
    method = UniMatch(CONFIG, classes=4)
    with pytest.raises(ConfigError, match="unlabelled images per worker=1"):
        first_update(method, random_batch(0, unlabelled=1), progress_at(0))


def test_labels_can_be_learned_from_the_random_batches():
    """The suite's batches carry a signal: the supervised loss falls."""
    method = UniMatch(CONFIG, classes=4)
    losses = train_steps(method, 25)

    assert losses[-1]["network.supervised"] < 0.9 * losses[0]["network.supervised"]
