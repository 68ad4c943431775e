"""U2PL: the partition, Eq. 7, the contrastive loss and its memory, the switches."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from method_configs import CONFIGS
from torch import nn
from torch.nn import functional

from semisweep.core import config as configuration
from semisweep.core.errors import ConfigError
from semisweep.testing import (
    MethodContract,
    progress_at,
    random_batch,
    tiny_network,
    train_steps,
)
from semisweep.training.functional import draw, generator
from semisweep_methods.u2pl import U2PL, U2PLConfig, reliable_cross_entropy
from semisweep_methods.u2pl_contrast import (
    Cells,
    Contrast,
    ContrastConfig,
    anchor_candidates,
    labelled_cells,
    negative_candidates,
    unlabelled_cells,
)
from semisweep_methods.u2pl_partition import Partition, partition, percentiles, pixel_entropy

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["u2pl"]


class TestU2PL(MethodContract):
    method = U2PL
    config = CONFIG
    variants = (
        replace(CONFIG, contrast_weight=0.0),
        replace(CONFIG, contrast_weight=0.0, unlabelled_weight=0.0),
    )
    golden = GOLDEN / "trace_u2pl.json"


class TestU2PLWithEverySwitchTurned(MethodContract):
    method = U2PL
    config = replace(
        CONFIG,
        cutmix=False,
        dynamic_partition=False,
        anchor_pixels="surest",
        unreliable_share=0.4,
        negative_pixels="all",
        unlabelled_weight=0.0,
    )


def random(seed, *shape, scale=1.0):
    made = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=made, dtype=torch.float64)


# The partition


@pytest.mark.parametrize("counted", [0.0, 0.3, 1.0])
def test_percentiles_are_numpys(counted):
    values = random(0, 3, 7, 5)
    mask = random(1, 3, 7, 5) > (10 if counted == 0 else -10 if counted == 1 else 0.3)
    shares = (0.0, 0.2, 0.5, 0.8137, 1.0)
    found = percentiles(values, mask, shares)
    if counted == 0:
        assert (found == torch.finfo(torch.float64).max).all()
        return

    assert found.tolist() == pytest.approx(
        [np.percentile(values[mask].numpy(), 100 * share) for share in shares], abs=1e-12
    )


def test_the_entropy_equals_a_loop():
    """Eq. 5, also where a class has no probability at all."""
    logits = random(0, 1, 3, 2, 2, scale=4.0)
    logits[0, :, 0, 0] = torch.tensor([0.0, -2000.0, -2000.0])
    for y in range(2):
        for x in range(2):
            p = [value for value in logits[0, :, y, x].softmax(0).tolist() if value > 0]
            expected = -sum(value * math.log(value) for value in p)
            assert pixel_entropy(logits)[0, y, x].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("step", "share"), [(0, 0.2), (50, 0.1), (99, 0.002)])
def test_the_unreliable_share_shrinks_linearly(step, share):
    """Eqs. 6 and 8."""
    logits, valid = random(0, 4, 5, 20, 25), torch.ones(4, 20, 25, dtype=torch.bool)
    parts = partition(logits, valid, CONFIG, progress_at(step))
    entropy = pixel_entropy(logits)
    ordered = sorted(entropy.flatten().tolist())

    assert 1 - parts.reliable.double().mean().item() == pytest.approx(share, abs=1e-3)
    assert parts.surest.double().mean().item() == pytest.approx(share, abs=1e-3)
    assert entropy[parts.reliable].max() < ordered[round((1 - share) * 2000)]
    assert entropy[parts.surest].max() <= entropy[~parts.surest].min()


def test_a_fixed_partition_keeps_its_share():
    logits, valid = random(0, 4, 5, 20, 25), torch.ones(4, 20, 25, dtype=torch.bool)
    own = replace(CONFIG, dynamic_partition=False)
    first, last = (partition(logits, valid, own, progress_at(step)) for step in (0, 99))

    assert torch.equal(first.reliable, last.reliable)
    assert first.reliable.double().mean().item() == pytest.approx(0.8)


def test_padding_is_of_no_kind_and_moves_no_percentile():
    logits, valid = random(0, 2, 5, 10, 10), torch.ones(2, 10, 10, dtype=torch.bool)
    valid[0] = False
    parts = partition(logits, valid, CONFIG, progress_at(0))
    alone = partition(logits[1:], valid[1:], CONFIG, progress_at(0))

    assert not any(part[0].any() for part in parts)
    assert torch.equal(parts.reliable[1:], alone.reliable)


# Equation 7


def slow_reliable(logits, label, reliable, valid):
    total, kept = 0.0, 0
    for i, y, x in np.ndindex(*label.shape):
        if reliable[i, y, x]:
            kept += 1
            total -= math.log(logits[i, :, y, x].softmax(0)[label[i, y, x]].item())
    return (total / kept) * (int(valid.sum()) / kept) if kept else 0.0


@pytest.mark.parametrize("kept", ["some", "all", "one", "none"])
def test_the_unlabelled_term_equals_a_loop(kept):
    logits, label = random(0, 2, 4, 3, 5), torch.randint(4, (2, 3, 5))
    valid = random(1, 2, 3, 5) > -1
    reliable = (
        valid
        & {
            "some": random(2, 2, 3, 5) > 0,
            "all": valid,
            "one": torch.arange(30).view(2, 3, 5) == int(valid.flatten().nonzero()[3]),
            "none": torch.zeros_like(valid),
        }[kept]
    )
    expected = slow_reliable(logits, label, reliable, valid)
    given = logits.float().requires_grad_()
    found = reliable_cross_entropy(given, label, reliable, valid)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)
    assert found.requires_grad
    double = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda own: reliable_cross_entropy(own, label, reliable, valid), double
    )


# Candidates


def made_cells(seed, classes=4, images=2, size=3, width=5, labelled=False, **changes):
    """Return random cells; a tenth of labelled ones has no label."""
    label = torch.randint(classes, (images, size, size), generator=torch.manual_seed(seed))
    if labelled:
        label[random(seed + 1, images, size, size) > 1.3] = 255
        changes |= {"anchor": label != 255, "negative": label != 255}
    values = {
        "feature": random(seed + 2, images, width, size, size),
        "logits": random(seed + 3, images, classes, size, size, scale=2.0),
        "label": label,
        "anchor": random(seed + 4, images, size, size) > -0.5,
        "negative": random(seed + 4, images, size, size) <= -0.5,
        "labelled": labelled,
    }
    return Cells(**(values | changes))


def slow_candidates(cells, own):
    """Loop over images, cells and classes; return places (image, y, x) of each class."""
    images, classes, height, width = cells.logits.shape
    low, high = min(own.nearest_rank, classes - 1), min(own.farthest_rank, classes)
    anchors, negatives = ([[] for _ in range(classes)] for _ in range(2))
    for place in np.ndindex(images, height, width):
        i, y, x = place
        p = cells.logits[i, :, y, x].softmax(0).tolist()
        order = sorted(range(classes), key=lambda c, p=p: -p[c])
        label = int(cells.label[place])
        for c in range(classes):
            if cells.anchor[place] and label == c and p[c] > own.anchor_probability:
                anchors[c].append(place)
            rank = order.index(c)
            if cells.labelled:
                wrong = label not in (c, 255) and 0 <= rank < low
            else:
                wrong = low <= rank < high
            if cells.negative[place] and wrong:
                negatives[c].append(place)
    return anchors, negatives


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("classes", [2, 3, 4, 21])
def test_candidates_equal_loops(classes, labelled):
    """Eqs. 9, 10, 13 to 15; few classes clip the window of ranks."""
    own = ContrastConfig(anchor_probability=0.2)
    cells = made_cells(7, classes=classes, size=5, labelled=labelled)
    shape = cells.label.shape
    expected = slow_candidates(cells, own)
    for candidates, places in zip((anchor_candidates, negative_candidates), expected, strict=True):
        found = candidates(cells, own)
        assert found.shape == (classes, math.prod(shape))
        for c in range(classes):
            chosen = [np.unravel_index(k, shape) for k in found[c].nonzero().flatten().tolist()]
            assert chosen == places[c]

    assert any(expected[0])
    assert any(expected[1])


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_with_few_classes_a_cell_is_a_negative_of_its_least_likely_class_alone(classes):
    cells = made_cells(0, classes=classes, negative=torch.ones(2, 3, 3, dtype=torch.bool))
    found = negative_candidates(cells, ContrastConfig())
    least = cells.logits.argmin(1).flatten()

    assert torch.equal(found.T, functional.one_hot(least, classes).bool())


def test_of_21_classes_neither_the_likeliest_three_nor_the_last_are_negatives():
    cells = made_cells(0, classes=21, negative=torch.ones(2, 3, 3, dtype=torch.bool))

    assert (negative_candidates(cells, ContrastConfig()).sum(0) == 17).all()


def test_images_become_cells_by_their_nearest_pixels():
    feature = random(0, 2, 5, 3, 3)
    logits, label = random(1, 2, 4, 6, 6), torch.randint(4, (2, 6, 6))
    label[0, 2, 2] = 255
    valid = random(2, 2, 6, 6) > -1
    parts = Partition(valid, valid & (random(3, 2, 6, 6) > 0), valid & (random(4, 2, 6, 6) > 1))
    truth = labelled_cells(feature, logits, label)
    pseudo = unlabelled_cells(feature, logits, label, parts, CONFIG)
    sparse = (slice(None), slice(None, None, 2), slice(None, None, 2))

    for found in (truth, pseudo):
        assert torch.equal(found.label, label[sparse])
        assert torch.equal(found.logits, logits[:, :, ::2, ::2])
    assert torch.equal(truth.anchor, label[sparse] != 255)
    assert torch.equal(truth.negative, label[sparse] != 255)
    assert torch.equal(pseudo.anchor, parts.reliable[sparse])
    assert torch.equal(pseudo.negative, (valid & ~parts.reliable)[sparse])
    other = replace(CONFIG, anchor_pixels="surest", negative_pixels="all")
    pseudo = unlabelled_cells(feature, logits, label, parts, other)
    assert torch.equal(pseudo.anchor, parts.surest[sparse])
    assert torch.equal(pseudo.negative, valid[sparse])


# The contrastive loss


class SlowContrast:
    """U2PL's loss as loops over classes, anchors and negatives; queues are lists of places."""

    def __init__(self, own, classes):
        self.own, self.classes = own, classes
        self.queues = [[None] * own.memory_size for _ in range(classes)]
        self.pushed = [0] * classes

    def pooled(self, blocks, which, progress):
        """Return each class's feature vectors in their random order."""
        purpose = ("anchors", "keys")[which]
        found = [[] for _ in range(self.classes)]
        for place, block in enumerate(blocks):
            images, height, width = block.label.shape
            numbers = draw(generator(progress, purpose, place), images, height * width)
            numbers = numbers.view(images, height, width)
            for c, places in enumerate(slow_candidates(block, self.own)[which]):
                for i, y, x in places:
                    found[c].append((-numbers[i, y, x].item(), block.feature[i, :, y, x]))
        return [[vector for _, vector in sorted(one, key=lambda p: p[0])] for one in found]

    def __call__(self, student, teacher, progress):
        own = self.own
        for c, keys in enumerate(self.pooled(teacher, 1, progress)):
            for key in keys[: own.keys_per_step]:
                self.queues[c][self.pushed[c] % own.memory_size] = key
                self.pushed[c] += 1
        members = self.pooled(teacher, 0, progress)
        shape = (self.classes, own.anchors, own.negatives)
        numbers = torch.rand(shape, generator=generator(progress, "negatives"))
        means = []
        for c, anchors in enumerate(self.pooled(student, 0, progress)):
            filled = min(self.pushed[c], own.memory_size)
            if not (anchors and members[c] and filled):
                continue
            centre = torch.stack(members[c]).mean(0)
            losses = []
            for m, anchor in enumerate(anchors[: own.anchors]):
                positive = math.exp(cosine(anchor, centre) / own.temperature)
                rest = sum(
                    math.exp(
                        cosine(anchor, self.queues[c][int(numbers[c, m, n] * filled)])
                        / own.temperature
                    )
                    for n in range(own.negatives)
                )
                losses.append(-math.log(positive / (positive + rest)))
            means.append(sum(losses) / len(losses))
        return sum(means) / len(means) if means else 0.0


def cosine(first, second):
    return functional.cosine_similarity(first, second, dim=0).item()


def as_single(blocks):
    return [
        block._replace(feature=block.feature.float(), logits=block.logits.float())
        for block in blocks
    ]


OWN = ContrastConfig(
    anchors=4,
    negatives=6,
    anchor_probability=0.2,
    nearest_rank=2,
    representation_channels=5,
    memory_size=7,
    keys_per_step=5,
)


def both_views(seed, **changes):
    """Return the student's and the teacher's cells: labelled and unlabelled of each."""
    views = []
    for other in (0, 50):
        truth = made_cells(seed, labelled=True)
        pseudo = made_cells(seed + 10, **changes)
        views.append(
            [
                one._replace(feature=random(seed + other + place, *one.feature.shape))
                for place, one in enumerate((truth, pseudo))
            ]
        )
    return views


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"anchors": 1, "negatives": 1},
        {"anchors": 18},  # as many as the cells of a view
        {"anchors": 100, "keys_per_step": 7},  # more than there are cells
        {"temperature": 0.1},
        {"memory_size": 200, "keys_per_step": 100},
    ],
)
def test_the_loss_equals_loops_over_classes_anchors_and_negatives(changes):
    """Eqs. 4 and 12, over iterations, so that the memory fills and turns over."""
    own = replace(OWN, **changes)
    slow, fast = SlowContrast(own, 4), Contrast(own, 4)
    for step in range(4):
        student, teacher = both_views(100 * step)
        expected = slow(student, teacher, progress_at(step))
        found = fast(as_single(student), as_single(teacher), progress_at(step))

        assert expected > 0.1
        assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)
        assert fast.memory.pushed.tolist() == slow.pushed


def only(label):
    return torch.full((2, 3, 3), label)


NOWHERE = torch.zeros(2, 3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("truth", "pseudo"),
    [
        ({"label": only(0)}, {"label": only(0)}),  # three classes are absent
        ({"label": only(1)}, {"anchor": NOWHERE}),
        ({}, {"anchor": NOWHERE, "negative": NOWHERE}),  # nothing is sure or unsure
        ({"label": only(255), "anchor": NOWHERE, "negative": NOWHERE}, {}),
        ({"label": only(255), "anchor": NOWHERE, "negative": NOWHERE}, {"anchor": NOWHERE}),
        ({"negative": NOWHERE}, {"negative": NOWHERE}),  # the memory is empty
    ],
)
def test_the_loss_equals_the_loops_on_edge_cases(truth, pseudo):
    slow, fast = SlowContrast(OWN, 4), Contrast(OWN, 4)
    views = [
        [first._replace(**truth), second._replace(**pseudo)] for first, second in both_views(3)
    ]
    views = [as_single(view) for view in views]
    given = views[0][0].feature.requires_grad_()
    expected = slow(
        *[[c._replace(feature=c.feature.detach()) for c in v] for v in views], progress_at(0)
    )
    found = fast(*views, progress_at(0))
    gradient = torch.autograd.grad(found, given)[0]

    assert found.item() == pytest.approx(expected, abs=1e-5)
    assert gradient.isfinite().all()


def test_a_batch_of_one_image_has_a_loss():
    student, teacher = ([made_cells(seed, images=1, size=6)] for seed in (0, 1))
    expected = SlowContrast(OWN, 4)(student, teacher, progress_at(0))

    assert Contrast(OWN, 4)(as_single(student), as_single(teacher), progress_at(0)).item() == (
        pytest.approx(expected, abs=1e-5)
    )


def test_the_loss_has_the_gradient_of_its_formula_and_teaches_the_student_alone():
    contrast = Contrast(OWN, 4).double()
    contrast.memory.rows.copy_(functional.normalize(random(9, 4, 7, 5), dim=2))
    contrast.memory.pushed.fill_(7)
    nothing = {"negative": NOWHERE}
    student, teacher = ([made_cells(seed, **nothing)] for seed in (0, 1))
    kept = teacher[0].feature.requires_grad_()

    def loss(feature):
        return contrast([student[0]._replace(feature=feature)], teacher, progress_at(0))

    given = student[0].feature.clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, given)
    assert torch.autograd.grad(loss(given), kept, allow_unused=True)[0] is None
    assert torch.autograd.grad(loss(given), given)[0].abs().sum() > 0


def test_anchors_and_negatives_are_drawn_anew_every_step():
    student, teacher = (as_single(view) for view in both_views(0))
    contrast = Contrast(OWN, 4)
    contrast(student, teacher, progress_at(0))
    state = {name: value.clone() for name, value in contrast.state_dict().items()}
    losses = []
    for step in (1, 1, 2):
        contrast.load_state_dict(state)
        losses.append(contrast(student, teacher, progress_at(step)).item())

    assert losses[0] == losses[1] != losses[2]


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="keys_per_step=20, memory_size=10"):
        configuration.replace(OWN, {"keys_per_step": 20, "memory_size": 10})
    with pytest.raises(ConfigError, match="nearest_rank=5, farthest_rank=5"):
        configuration.replace(OWN, {"nearest_rank": 5, "farthest_rank": 5})


# The method


def weights(steps=3, first=50, **changes):
    method = U2PL(replace(CONFIG, **changes), classes=4)
    losses = train_steps(method, steps, first=first)
    return method, losses


@pytest.mark.parametrize(
    "changes",
    [
        {"contrast_weight": 0.5},
        {"contrast_weight": 0.0},
        {"unlabelled_weight": 0.5},
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
        {"momentum": 0.5},
        {"cutmix": False},
        {"supervised_epochs": 6},
        {"network": replace(tiny_network(), head="wide")},
    ],
)
def test_every_setting_changes_the_losses(changes):
    _, expected = weights()
    _, found = weights(**changes)

    assert [step["student.loss"] for step in found] != [step["student.loss"] for step in expected]


def test_the_loss_is_the_weighted_sum():
    """Eq. 1."""
    own = replace(CONFIG, contrast_weight=0.3, unlabelled_weight=0.7)
    update = next(U2PL(own, classes=4).step(random_batch(0), progress_at(0)))
    terms = update.terms
    total = terms["supervised"] + 0.7 * terms["unlabelled"] + 0.3 * terms["contrast"]

    assert terms["unlabelled"] > 0
    assert terms["contrast"] > 0
    assert terms["reliable"].item() == pytest.approx(0.8, abs=2e-3)
    assert torch.allclose(update.loss, total)


def test_both_networks_see_the_same_mixed_images_with_the_labels_of_whole_ones():
    method, batch = U2PL(CONFIG, classes=4), random_batch(0)
    mixed = method.mix(batch)
    whole = method.eval().teacher(batch.weak)[0].argmax(1)
    for host, donor in enumerate([1, 0, 3, 2]):
        here = batch.cutmix[0, host]
        for found, source in zip(mixed, (batch.weak, whole, batch.valid), strict=True):
            assert torch.equal(found[host][..., here], source[donor][..., here])
            assert torch.equal(found[host][..., ~here], source[host][..., ~here])


def test_without_cutmix_the_images_are_whole():
    method, batch = U2PL(replace(CONFIG, cutmix=False), classes=4), random_batch(0)

    assert method.views == 0
    assert torch.equal(method.mix(batch).image, batch.weak)


def test_the_teacher_is_the_student_while_training_is_supervised():
    method, losses = weights(first=0, steps=2, supervised_epochs=1)

    assert set(losses[0]) == {"student.supervised", "student.loss"}
    for name, value in method.teacher.state_dict().items():
        assert torch.equal(value, method.student.state_dict()[name])
    assert "student.contrast" in train_steps(method, 1, first=10)[0]


def test_a_training_of_one_epoch_is_not_all_supervised():
    progress = progress_at(0)._replace(total_epochs=1)
    update = next(U2PL(replace(CONFIG, supervised_epochs=1), 4).step(random_batch(0), progress))

    assert "contrast" in update.terms


def test_the_teachers_batch_statistics_are_its_own():
    method = U2PL(CONFIG, classes=4)
    train_steps(method, 3, first=50)
    student, teacher = method.student.state_dict(), method.teacher.state_dict()
    counter = next(name for name in student if name.endswith("num_batches_tracked"))

    assert int(student[counter]) == int(teacher[counter]) == 3
    assert any(
        "running_mean" in name and not torch.allclose(student[name], teacher[name])
        for name in student
    )


def test_without_unlabelled_terms_the_teacher_is_an_average_of_a_supervised_student():
    method, losses = weights(contrast_weight=0.0, unlabelled_weight=0.0)
    student, teacher = method.student.state_dict(), method.teacher.state_dict()

    assert set(losses[0]) == {"student.supervised", "student.loss"}
    assert method.views == 0
    assert any(not torch.equal(student[name], teacher[name]) for name in student)


def test_it_predicts_with_the_teacher():
    method, _ = weights()
    method.eval()
    image = random_batch(1).weak
    with torch.no_grad():
        assert torch.equal(method.predict(image), method.teacher(image)[0])
        assert not torch.allclose(method.predict(image), method.student(image)[0])


def test_the_head_does_not_change_the_networks_initial_weights():
    with_head, without = (U2PL(replace(CONFIG, contrast_weight=w), classes=4) for w in (1.0, 0.0))
    expected = without.student.state_dict()

    assert all(
        torch.equal(with_head.student.state_dict()[name], expected[name]) for name in expected
    )


def test_beside_a_wide_head_the_representation_reads_the_pyramid_and_the_low_tap_at_stride_4():
    """As in the release: two 3x3 convolutions with dropout and a 1x1."""
    method = U2PL(replace(CONFIG, network=replace(tiny_network(), head="wide")), classes=4)
    head = method.student.head
    _, feature = method.student.eval()(torch.randn(1, 3, 32, 32))
    convolutions = [own for own in head.modules() if isinstance(own, nn.Conv2d)]

    assert feature.shape == (1, 8, 8, 8)
    assert [own.in_channels for own in convolutions] == [32, 16, 16]
    assert [own.kernel_size[0] for own in convolutions] == [3, 3, 1]
    assert [own.p for own in head.modules() if isinstance(own, nn.Dropout2d)] == [0.1, 0.1]


def test_the_defaults_are_the_papers_numbers():
    own = U2PLConfig()

    assert (own.anchors, own.negatives, own.temperature) == (50, 256, 0.5)
    assert (own.unreliable_share, own.anchor_probability) == (0.2, 0.3)
    assert (own.nearest_rank, own.farthest_rank, own.momentum) == (3, 20, 0.99)


def test_fields_that_cannot_matter_are_not_in_the_identity():
    kept = set(configuration.identity(replace(CONFIG, contrast_weight=0.0)))

    assert {"unreliable_share", "dynamic_partition", "cutmix", "momentum"} <= kept
    assert not {"anchors", "temperature", "memory_size", "nearest_rank", "anchor_pixels"} & kept
