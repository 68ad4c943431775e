"""FixMatch: its loss, and that it is UniMatch's trial with one strong view."""

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
    tiny_network,
    train_steps,
)
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.unimatch import UniMatch, UniMatchConfig

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["fixmatch"]


class TestFixMatch(MethodContract):
    method = FixMatch
    config = CONFIG
    variants = (
        replace(CONFIG, consistency_weight=0.0),
        replace(CONFIG, consistency_weight=0.5, threshold=0.28),
        replace(CONFIG, supervised_loss="ohem"),
    )
    golden = GOLDEN / "trace_fixmatch.json"


def updated(batch=None, **changes):
    method = FixMatch(replace(CONFIG, **changes), classes=4)
    return method, first_update(method, batch or random_batch(0), progress_at(0))


def test_it_is_the_unimatch_trial_with_one_strong_view_and_no_perturbed_features():
    assert FixMatch.same_as(CONFIG) == (
        UniMatch,
        UniMatchConfig(
            network=tiny_network(),
            threshold=0.3,
            strong_views=1,
            view_weight=1.0,
            feature_weight=0.0,
        ),
    )


def test_its_losses_are_those_of_that_trial_bit_for_bit():
    kind, config = FixMatch.same_as(CONFIG)

    assert train_steps(FixMatch(CONFIG, 4), 3) == train_steps(kind(config, 4), 3)


def test_the_loss_is_half_of_the_sum():
    _, update = updated(consistency_weight=0.75)
    terms = update.terms

    assert terms["strong"] > 0
    assert torch.allclose(update.loss, (terms["supervised"] + 0.75 * terms["strong"]) / 2)


def test_the_unlabelled_term_equals_a_slow_loop_over_pixels():
    """Eq. 4, with the masks of CutMix and padding."""
    batch = random_batch(0)
    _, update = updated(batch)
    method = FixMatch(CONFIG, classes=4)
    donors = [1, 0, 3, 2]
    mixed = batch.strong[0].clone()
    for image, donor in enumerate(donors):
        here = batch.cutmix[0, image]
        mixed[image][:, here] = batch.strong[0, donor][:, here]
    with torch.no_grad():
        weak = method.network(torch.cat([batch.image, batch.weak])).logits[4:].softmax(1)
        strong = method.network(mixed).logits.log_softmax(1)
    total, count, confident = 0.0, 0, 0
    for image, donor in enumerate(donors):
        for row in range(32):
            for column in range(32):
                source = donor if batch.cutmix[0, image, row, column] else image
                if not batch.valid[source, row, column]:
                    continue
                count += 1
                best = weak[source, :, row, column].max(0)
                if best.values >= 0.3:
                    confident += 1
                    total -= float(strong[image, int(best.indices), row, column])

    assert 0 < confident < count
    assert update.terms["strong"].item() == pytest.approx(total / count, abs=1e-5)


def test_labels_of_the_weak_view_are_constants():
    method, batch = FixMatch(CONFIG, classes=4), random_batch(0)
    ignored = batch._replace(label=torch.full_like(batch.label, 255))
    weak = batch.weak.clone().requires_grad_()
    update = first_update(method, ignored._replace(weak=weak), progress_at(0))
    gradient = torch.autograd.grad(update.loss, weak, allow_unused=True)[0]

    assert gradient is None or not gradient.any()


@pytest.mark.parametrize("changes", [{"threshold": 0.4}, {"consistency_weight": 0.5}])
def test_every_setting_changes_the_loss(changes):
    assert updated(**changes)[1].loss != updated()[1].loss


def test_nobody_confident_leaves_half_the_supervised_loss():
    _, update = updated(threshold=1.0)

    assert torch.equal(update.loss, update.terms["supervised"] / 2)


def test_one_unlabelled_image_is_refused():
    with pytest.raises(ConfigError, match="unlabelled images per worker=1"):
        updated(random_batch(0, unlabelled=1))
