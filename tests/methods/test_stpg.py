"""STPG: selection, anchors, memory, the crosswise teachers, its switches and its promises."""

import itertools
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from method_configs import CONFIGS, CONTRAST_OF_STPG
from torch.utils._python_dispatch import TorchDispatchMode

from semisweep import NetworkConfig
from semisweep.core import config as configuration
from semisweep.core.errors import ConfigError
from semisweep.testing import (
    MethodContract,
    check_finite,
    progress_at,
    random_batch,
    tiny_network,
    train_steps,
)
from semisweep.training.functional import IGNORE, cutmix
from semisweep.training.method_fixtures import awkward_batches
from semisweep_methods.anchors import (
    Anchors,
    anchor_losses,
    at_cells,
    mean_over,
    similarity_losses,
    uniform_anchors,
)
from semisweep_methods.stpg import (
    STPG,
    STPGConfig,
    Target,
    confusion,
    mismatch_scores,
    select_pixels,
    weighted_cross_entropy,
)
from semisweep_methods.stpg_contrast import ContrastConfig, DualContrast
from semisweep_methods.supervised import Supervised, SupervisedConfig

GOLDEN = Path(__file__).parent.parent / "golden"
CONTRAST = CONTRAST_OF_STPG
CONFIG = CONFIGS["stpg"]


def changed(**changes):
    """Return the test's settings with dotted fields changed; two underscores are a dot."""
    return configuration.replace(
        CONFIG, {name.replace("__", "."): value for name, value in changes.items()}
    )


class TestSTPG(MethodContract):
    method = STPG
    config = CONFIG
    variants = (
        changed(unlabelled_weight=0.0, contrast__memory_size=0),
        changed(unlabelled_weight=0.0),
        changed(teachers="single"),
        changed(contrast__anchor=False, contrast__similarity=False),
        changed(contrast__similarity=False, contrast__matching_epochs=0.0),
    )
    golden = GOLDEN / "trace_stpg.json"


def noise(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


def classes_of(seed, *shape, classes=4, ignored=0.2):
    made = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, shape, generator=made)
    return label.where(torch.rand(shape, generator=made) >= ignored, IGNORE)


def close(found, expected):
    return float(torch.as_tensor(found).detach()) == pytest.approx(expected, abs=1e-5, rel=1e-5)


# Selection


def slow_scores(matrix):
    """Loop over Equation 5; a fraction of nothing is zero."""
    classes, scores = len(matrix), []
    for q in range(classes):
        row = sum(matrix[q][k] for k in range(classes))
        column = sum(matrix[k][q] for k in range(classes))
        agreed = matrix[q][q]
        scores.append(sum((part - agreed) / part if part else 0.0 for part in (row, column)))
    return scores


@pytest.mark.parametrize("absent", [None, 2])
def test_the_confusion_matrix_and_its_scores_equal_loops(absent):
    student, teacher = (classes_of(seed, 2, 7, 5, ignored=0) for seed in (0, 1))
    if absent is not None:
        student, teacher = (part.where(part != absent, 0) for part in (student, teacher))
    counted = noise(2, 2, 7, 5) > -0.5
    expected = [[0] * 4 for _ in range(4)]
    for place in itertools.product(range(2), range(7), range(5)):
        if counted[place]:
            expected[student[place]][teacher[place]] += 1
    found = confusion(student, teacher, counted, 4)

    assert found.tolist() == expected
    assert torch.allclose(mismatch_scores(found), torch.tensor(slow_scores(expected)))


def test_a_class_nobody_predicts_has_score_zero_and_one_only_the_teacher_predicts_has_one():
    scores = mismatch_scores(torch.tensor([[5, 0, 3], [0, 0, 0], [0, 0, 0]]))

    assert scores.tolist() == [3 / 8, 0.0, 1.0]


@pytest.mark.parametrize("subset", list(itertools.product([False, True], repeat=3)))
def test_the_selected_pixels_equal_a_loop(subset):
    """Figure 4 and Equation 6, on every subset of Table 5's three kinds."""
    own = changed(
        select_consistent=subset[0],
        select_low_mismatched=subset[1],
        select_highly_mismatched=subset[2],
    )
    student, teacher = (classes_of(seed, 2, 6, 6, ignored=0) for seed in (3, 4))
    score = torch.tensor([0.1, 0.7, 0.4, 0.4])
    found = select_pixels(own, student, teacher, score)
    for place in itertools.product(range(2), range(6), range(6)):
        p, q = student[place], teacher[place]
        kind = 0 if p == q else 2 if score[p] < score[q] else 1
        assert bool(found[place]) == subset[kind]


def target_of(seed, shape=(2, 5, 5), classes=4):
    made = torch.Generator().manual_seed(seed)
    valid = torch.rand(shape, generator=made) > 0.2
    return Target(
        torch.randint(classes, shape, generator=made),
        torch.rand(shape, generator=made, dtype=torch.float64),
        (torch.rand(shape, generator=made) > 0.4) & valid,
        valid,
    )


@pytest.mark.parametrize("kind", ["valid", "weight"])
def test_the_weighted_cross_entropy_equals_a_loop(kind):
    """Equations 7 and 11, over both readings of what is divided by."""
    logits, target = noise(5, 2, 4, 5, 5), target_of(6)
    total = weights = valid = 0.0
    for image, row, column in itertools.product(range(2), range(5), range(5)):
        valid += bool(target.valid[image, row, column])
        if target.selected[image, row, column]:
            weight = target.confidence[image, row, column].item()
            p = logits[image, :, row, column].softmax(0)[target.label[image, row, column]].item()
            weights += weight
            total -= weight * math.log(p)

    assert close(
        weighted_cross_entropy(logits, target, kind),
        total / (valid if kind == "valid" else weights),
    )


@pytest.mark.parametrize("kind", ["valid", "weight"])
def test_the_weighted_cross_entropy_has_the_gradient_of_its_formula(kind):
    logits, target = noise(7, 1, 3, 3, 3).requires_grad_(), target_of(8, (1, 3, 3), 3)

    assert torch.autograd.gradcheck(
        lambda own: weighted_cross_entropy(own, target, kind), (logits,)
    )


@pytest.mark.parametrize("kind", ["valid", "weight"])
def test_where_nothing_is_selected_the_loss_is_zero_and_on_the_graph(kind):
    nothing = torch.zeros(2, 5, 5, dtype=torch.bool)
    logits = noise(5, 2, 4, 5, 5).requires_grad_()
    loss = weighted_cross_entropy(
        logits, target_of(6)._replace(selected=nothing, valid=nothing), kind
    )
    loss.backward()

    assert loss == 0
    assert not logits.grad.any()


# Anchors


def slow_anchor_loss(points, temperature):
    """Equation 12."""
    total = 0.0
    for v in points.tolist():
        others = [sum(a * b for a, b in zip(v, w, strict=True)) for w in points.tolist()]
        total += math.log(sum(math.exp(dot / temperature) for dot in others))
    return total / len(points)


@pytest.mark.parametrize(("classes", "width"), [(2, 8), (4, 3), (4, 8), (19, 256)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_anchors_are_a_regular_simplex(classes, width, temperature):
    points = uniform_anchors(classes, width, temperature, 0)
    cosines = points @ points.T
    expected = torch.full_like(cosines, -1 / (classes - 1)).fill_diagonal_(1)

    assert torch.allclose(cosines, expected, atol=1e-6)


def test_anchors_in_too_few_dimensions_minimise_equation_12_locally():
    points = uniform_anchors(7, 3, 0.5, 0)
    least = slow_anchor_loss(points, 0.5)

    assert torch.allclose(points.norm(dim=1), torch.ones(7, dtype=torch.float64))
    assert least < slow_anchor_loss(F.normalize(noise(0, 7, 3), dim=1), 0.5)
    for seed in range(20):
        moved = F.normalize(points + 0.1 * noise(seed, 7, 3), dim=1)
        assert slow_anchor_loss(moved, 0.5) > least


def test_anchors_come_from_the_seed_and_one_class_has_one():
    first = uniform_anchors(4, 8, 0.5, 0)

    assert torch.equal(first, uniform_anchors(4, 8, 0.5, 0))
    assert not torch.allclose(first, uniform_anchors(4, 8, 0.5, 1), atol=0.1)
    assert uniform_anchors(1, 8, 0.5, 0).norm() == pytest.approx(1)


def test_prototypes_move_as_in_equation_13_and_absent_classes_stay():
    anchors, expected = Anchors(4, 8, 0.5, 0).double(), {}
    for step in range(4):
        feature, label = noise(step, 30, 8), classes_of(step, 30, classes=3)
        if step == 2:
            label = label.where(label != 1, IGNORE)
        anchors.observe(feature, label, 0.9)
        for c in range(3):
            members = [row for row, own in zip(feature, label.tolist(), strict=True) if own == c]
            if members:
                mean = sum(members) / len(members)
                expected[c] = 0.9 * expected[c] + 0.1 * mean if c in expected else mean

    assert anchors.met.tolist() == [True, True, True, False]
    for c in range(3):
        assert torch.allclose(anchors.prototypes[c], expected[c])
    assert not anchors.prototypes[3].any()


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_is_the_best_of_all_permutations(seed):
    """Equation 14, by trying everything."""
    anchors = Anchors(5, 8, 0.5, 0).double()
    anchors.prototypes.copy_(noise(seed, 5, 8))
    anchors.match()

    def cost(order):
        pairs = zip(order, anchors.prototypes, strict=True)
        return sum(float((anchors.points[chosen] - own).norm()) for chosen, own in pairs)

    best = min(itertools.permutations(range(5)), key=cost)
    assert anchors.assigned.tolist() == list(best)
    assert torch.equal(anchors.of_classes(), anchors.points[list(best)])


def test_where_no_class_was_met_each_has_the_anchor_of_its_number():
    anchors = Anchors(5, 8, 0.5, 0)
    anchors.match()

    assert anchors.assigned.tolist() == [0, 1, 2, 3, 4]


# Losses


@pytest.mark.parametrize("absent", [None, 3])
def test_the_anchor_contrast_equals_a_loop(absent):
    """Equation 15; c' runs over the other classes, the own one stands before."""
    feature, anchors = F.normalize(noise(0, 25, 6), dim=1), uniform_anchors(4, 6, 0.5, 0)
    label = classes_of(1, 25)
    label = label if absent is None else label.where(label != absent, IGNORE)
    found = anchor_losses(feature, label, anchors, 0.5)
    for f, c, loss in zip(feature, label.tolist(), found, strict=True):
        own = math.exp(float(f @ anchors[c]) / 0.5) if c != IGNORE else 1.0
        others = sum(math.exp(float(f @ anchors[k]) / 0.5) for k in range(4) if k != c)
        assert close(loss, -math.log(own / (own + others)) if c != IGNORE else 0.0)


def test_the_similarity_equals_a_loop_over_pixels_and_memory():
    """Equation 16; class 2 has an empty memory, class 1 a full one."""
    feature, rows = F.normalize(noise(2, 25, 6), dim=1), noise(3, 4, 5, 6)
    label, held = classes_of(4, 25), [1, 5, 0, 3]
    filled = torch.arange(5) < torch.tensor(held).unsqueeze(1)
    found, counted = similarity_losses(feature, label, rows, filled)
    for index, c in enumerate(label.tolist()):
        assert bool(counted[index]) == (c not in (IGNORE, 2))
        if counted[index]:
            memory = rows[c, : held[c]]
            parts = [1 - float(feature[index] @ i / i.norm()) for i in memory]
            assert close(found[index], sum(parts) / held[c])


@pytest.mark.parametrize("kind", ["classes", "pixels"])
@pytest.mark.parametrize("counts", ["some", "one class", "none"])
def test_the_means_equal_loops(kind, counts):
    losses, label = noise(5, 40).abs().requires_grad_(), classes_of(6, 40)
    counted = (label != IGNORE) & (noise(7, 40) > 0)
    counted = {"some": counted, "one class": counted & (label == 1), "none": label < 0}[counts]
    groups = {}
    for loss, c, counts_in in zip(losses.tolist(), label.tolist(), counted, strict=True):
        if counts_in:
            groups.setdefault(c if kind == "classes" else 0, []).append(loss)
    expected = sum(sum(own) / len(own) for own in groups.values()) / max(1, len(groups))
    found = mean_over(kind, losses, label, counted, 4)
    found.backward()

    assert close(found, expected)
    assert losses.grad.isfinite().all()


def test_both_losses_have_the_gradient_of_their_formulas():
    label = torch.tensor([0, 1, 2, IGNORE, 1])
    anchors, rows, filled = uniform_anchors(3, 4, 0.5, 0), noise(8, 3, 2, 4), torch.ones(3, 2) > 0

    def both(raw):
        feature = F.normalize(raw, dim=1)
        pull = anchor_losses(feature, label, anchors, 0.5)
        like, counted = similarity_losses(feature, label, rows, filled)
        first = mean_over("classes", pull, label, label != IGNORE, 3)
        return first + mean_over("pixels", like, label, counted, 3)

    assert torch.autograd.gradcheck(both, noise(9, 5, 4).requires_grad_())


class Largest(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that was made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return made


def test_the_similarity_holds_nothing_of_pixels_times_memory():
    feature = noise(0, 3000, 16).requires_grad_()
    label, rows = classes_of(1, 3000), noise(2, 4, 200, 16)
    with Largest() as seen:
        losses, counted = similarity_losses(feature, label, rows, torch.ones(4, 200) > 0)
        mean_over("classes", losses, label, counted, 4).backward()

    assert seen.elements <= feature.numel()


def test_cells_are_where_the_upsampled_logits_are_those_of_the_cells():
    small = noise(0, 2, 4, 5, 9)
    large = F.interpolate(small, (33, 65), mode="bilinear", align_corners=True)

    assert torch.allclose(at_cells(large, (5, 9)), small)
    assert at_cells(torch.arange(16).view(1, 4, 4), (2, 2)).tolist() == [[[0, 3], [12, 15]]]


# Memory and time


def trained(own=CONFIG, steps=5):
    """Return a method after a few steps: the memory holds features of every class."""
    method = STPG(own, classes=4).train()
    train_steps(method, steps)
    return method


def test_the_memory_takes_the_confident_features_nearest_to_their_anchor():
    """Proximity-guided sampling, by sorting all labelled cells of each class."""
    method, batch = trained(steps=2), random_batch(7)
    with torch.no_grad():
        seen = method.teacher.eval()(batch.image)
    feature = method.contrast.teacher_head(seen.fused)
    label = at_cells(batch.label, seen.fused.shape[-2:]).flatten()
    logits = at_cells(seen.logits, seen.fused.shape[-2:])
    probability = logits.softmax(1).permute(0, 2, 3, 1).flatten(0, 2)
    phi = float(probability.gather(1, label.where(label != IGNORE, 0)[:, None]).median())
    contrast = DualContrast(
        replace(CONTRAST, confidence=phi), method.network.decoder.classifier.in_channels, 4, 0, 1
    )
    contrast.load_state_dict(method.contrast.state_dict(), strict=False)
    contrast.remember(seen, batch.label, progress_at(2))
    sizes = []
    for c in range(4):
        sure = [m for m in range(len(label)) if label[m] == c and probability[m, c] >= phi]
        anchor = contrast.anchors.of_classes()[c]
        best = sorted(sure, key=lambda m: -float(feature[m] @ anchor))[:4]
        sizes.append(len(best))
        assert int(contrast.memory.pushed[c]) == len(best)
        assert torch.allclose(contrast.memory.rows[c, : len(best)], feature[best], atol=1e-6)

    assert any(sizes)
    assert sum(probability[m, label[m]] < phi for m in range(len(label)) if label[m] != IGNORE) > 0


def test_before_the_matching_prototypes_are_made_and_nothing_is_contrasted():
    method = STPG(CONFIG, classes=4).train()
    early = train_steps(method, 2)
    pushed, prototypes = method.contrast.memory.pushed.clone(), method.contrast.anchors.prototypes
    before = prototypes.clone()
    late = train_steps(method, 2, first=2)

    assert all("students.anchor" not in losses for losses in early)
    assert not pushed.any()
    assert before.any()
    assert all(losses["students.anchor"] > 0 for losses in late)
    assert late[1]["students.similarity"] > 0
    assert torch.equal(before, prototypes), "matched once, prototypes have done their duty"


@pytest.mark.parametrize(("matching", "moved"), [("once", False), ("every_epoch", True)])
def test_classes_are_matched_again_an_epoch_later_if_so_wanted(matching, moved):
    own = changed(contrast__matching=matching)
    method = trained(own, 3)
    # Whatever the anchors are, reversed prototypes want others.
    for step, expected in ((11, False), (12, moved), (13, False)):
        anchors = method.contrast.anchors
        anchors.prototypes.copy_(anchors.of_classes().flip(0))
        before = anchors.assigned.clone()
        next(method.step(random_batch(0), progress_at(step)))
        assert (not torch.equal(before, anchors.assigned)) == expected, f"step {step}"


@pytest.mark.parametrize(("epochs", "step"), [(0.0, 0), (0.2, 2), (1.0, 10), (2.0, 20)])
def test_the_matching_comes_after_its_share_of_all_steps(epochs, step):
    contrast = STPG(changed(contrast__matching_epochs=epochs), classes=4).contrast

    assert contrast.first_step(progress_at(0)) == step


def test_a_state_is_the_whole_memory_across_the_matching():
    straight = trained(steps=2)
    resumed = STPG(CONFIG, classes=4).train()
    resumed.load_state_dict(straight.state_dict())

    assert train_steps(straight, 3, first=2) == train_steps(resumed, 3, first=2)


# The whole method


def update_of(method, step=6, batch=None):
    return next(method.step(batch or random_batch(step), progress_at(step)))


def test_the_loss_is_the_weighted_sum_of_its_terms():
    """Equation 17."""
    terms = (update := update_of(trained(changed(unlabelled_weight=0.7)))).terms
    unlabelled = terms["general"] + terms["professional"]
    contrast = terms["anchor"] + terms["similarity"]

    assert all(terms[name] > 0 for name in ("general", "professional", "anchor", "similarity"))
    assert 0 < terms["selected"] < 1
    assert torch.allclose(update.loss, terms["supervised"] + 0.7 * unlabelled + 0.1 * contrast)


def test_each_teacher_teaches_the_other_student_with_pasted_labels():
    method, batch = trained(), random_batch(6)
    with torch.no_grad():
        method.teacher.decoder.classifier.bias[2] += 1000.0
        method.professional_teacher.decoder.classifier.bias[1] += 1000.0
    _, strong = method.outputs(batch)
    general, professional = method.teach(batch, strong)

    assert (general.label == 1).all()
    assert (professional.label == 2).all()
    assert torch.equal(general.valid, cutmix(batch.valid, batch.cutmix[0]))
    assert torch.equal(general.selected, general.valid)


def test_targets_are_confidences_of_the_weak_view_pasted_like_the_images():
    method, batch = trained(), random_batch(6)
    general, _ = method.teach(batch, method.outputs(batch)[1])
    with torch.no_grad():
        expected = method.professional_teacher.eval()(batch.weak).logits.softmax(1).max(1)

    assert torch.allclose(general.confidence, cutmix(expected.values, batch.cutmix[0]))
    assert torch.equal(general.label, cutmix(expected.indices, batch.cutmix[0]))


def test_the_professional_learns_only_from_selected_pixels():
    method, batch = trained(), random_batch(6)
    _, strong = method.outputs(batch)
    _, target = method.teach(batch, strong)
    logits = strong[1].logits.detach().requires_grad_()
    weighted_cross_entropy(logits, target, "valid").backward()
    believed = strong[1].logits.argmax(1)
    score = mismatch_scores(confusion(believed, target.label, target.valid, 4))
    low = (believed != target.label) & (score[believed] >= score[target.label])

    assert (low & target.valid).any()
    assert torch.equal(logits.grad.abs().sum(1) > 0, target.valid & ~low)


def test_teachers_follow_their_namesakes_with_a_warm_start():
    method = trained(steps=1)  # the momentum at step 0 is zero
    pairs = (
        (method.teacher, method.network),
        (method.professional_teacher, method.professional),
        (method.contrast.teacher_head, method.contrast.heads[0]),
    )
    for average, source in pairs:
        for own, other in zip(average.parameters(), source.parameters(), strict=True):
            assert torch.equal(own, other)
    before = method.teacher.decoder.classifier.weight.clone()
    train_steps(method, 1, first=1)  # and a half at step 1
    expected = (before + method.network.decoder.classifier.weight) / 2

    assert torch.allclose(method.teacher.decoder.classifier.weight, expected)


def test_the_students_start_differently_and_the_general_one_as_in_every_method():
    method = STPG(CONFIG, classes=4)
    plain = Supervised(SupervisedConfig(network=tiny_network()), classes=4)
    pairs = zip(method.network.parameters(), plain.network.parameters(), strict=True)

    assert all(torch.equal(own, other) for own, other in pairs)
    first, second = (own.decoder.classifier.weight for own in method.students)
    assert not torch.equal(first, second)


def test_the_general_student_is_reported():
    method, image = trained().eval(), random_batch(0).weak

    assert torch.equal(method.predict(image), method.network(image).logits)


@pytest.mark.parametrize("kind", [*awkward_batches(random_batch(0))])
def test_with_a_filled_memory_losses_are_finite_whatever_the_data(kind):
    method = trained(changed(contrast__matching_epochs=0.0))

    assert method.contrast.memory.filled().any(1).all()
    check_finite(kind, method, awkward_batches(random_batch(0))[kind])


def test_networks_that_know_nothing_have_finite_losses_and_gradients():
    method = trained(changed(contrast__matching_epochs=0.0))
    for parameter in method.parameters():
        torch.nn.init.zeros_(parameter)

    check_finite("all weights are zero", method, random_batch(0))


def test_with_a_filled_memory_low_precision_is_finite_and_near():
    exact, coarse = (
        train_steps(trained(), 1, first=6, precision=kind)[0] for kind in ("fp32", "bf16")
    )

    assert coarse.keys() == exact.keys()
    assert all(value == pytest.approx(exact[name], rel=0.1) for name, value in coarse.items())


def test_it_runs_on_a_transformer():
    network = NetworkConfig(backbone="test_vit", decoder="dpt", channels=8, pretrained=False)
    losses = train_steps(STPG(replace(CONFIG, network=network), classes=4).train(), 4)

    assert losses[-1]["students.similarity"] > 0


@lru_cache
def opinionated():
    """Return a state late in training: memory filled, networks sure of all classes somewhere."""
    method, batch = trained(), random_batch(13)
    networks = (*method.students, method.teacher, method.professional_teacher)
    with torch.no_grad():
        for network in networks:
            classifier = network.decoder.classifier
            logits = network.eval()(batch.weak).logits
            scale = 2 / (logits - logits.mean(dim=(0, 2, 3), keepdim=True)).std()
            classifier.weight *= scale
            classifier.bias.copy_(scale * (classifier.bias - logits.mean(dim=(0, 2, 3))))
    return method.state_dict()


def probe(own):
    """Return the loss, and the state after it, of the opinionated networks under settings."""
    method, state = STPG(own, classes=4).train(), opinionated()
    method.load_state_dict({name: state[name] for name in method.state_dict()})
    updates = method.step(random_batch(13), progress_at(13))
    loss = next(updates).loss.detach()
    next(updates, None)
    return loss, method.state_dict()


def test_the_probe_has_every_kind_of_pixel_and_a_filled_memory():
    method, batch = STPG(CONFIG, classes=4).train(), random_batch(13)
    method.load_state_dict(opinionated())
    _, strong = method.outputs(batch)
    general, professional = method.teach(batch, strong)
    believed, label = strong[1].logits.argmax(1), professional.label
    score = mismatch_scores(confusion(believed, label, professional.valid, 4))
    kinds = (believed == label, score[believed] < score[label], score[believed] > score[label])

    assert all((kind & professional.valid).sum() > 10 for kind in kinds)
    assert method.contrast.memory.filled().all()
    assert all(len(own.label.unique()) == 4 for own in (general, professional))
    assert general.confidence.max() > 0.8 > 0.5 > general.confidence.min()


@pytest.mark.parametrize(
    "changes",
    [
        {"teachers": "single"},
        {"contrast__weight": 0.0},
        {"contrast__weight": 0.2},
        {"contrast__anchor": False},
        {"contrast__similarity": False},
        {"contrast__mean": "pixels"},
        {"contrast__dropout": 0.5},
        {"contrast__temperature": 0.1},
        {"contrast__confidence": 0.7},
        {"contrast__matching_epochs": 2.0},
        {"contrasted_students": "general"},
        {"contrasted_images": "labelled"},
        {"select_consistent": False},
        {"select_low_mismatched": True},
        {"select_highly_mismatched": False},
        {"unlabelled_weight": 0.0},
        {"unlabelled_weight": 0.5},
        {"unlabelled_weight": 1.5},
        {"unlabelled_mean": "weight"},
    ],
    ids=str,
)
def test_a_switch_changes_the_loss_of_the_very_same_networks(changes):
    first, second = probe(CONFIG)[0], probe(changed(**changes))[0]

    assert abs(first - second) > 1e-6


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"teacher_momentum": 0.5}, "teacher.decoder.classifier.weight"),
        ({"contrast__nearest": 2}, "contrast.memory.pushed"),
        ({"contrast__confidence": 0.7}, "contrast.memory.pushed"),
    ],
    ids=str,
)
def test_a_switch_changes_what_is_remembered(changes, name):
    first, second = probe(CONFIG)[1], probe(changed(**changes))[1]

    assert not torch.equal(first[name], second[name])


def test_the_size_of_the_memory_matters_once_the_smaller_one_is_full():
    small, large = (
        train_steps(STPG(changed(contrast__memory_size=size), classes=4).train(), 7)
        for size in (4, 12)
    )

    assert small[:4] == large[:4]
    assert small[5] != large[5]


def test_the_momentum_of_prototypes_and_the_dimension_matter():
    for changes in ({"contrast__prototype_momentum": 0.9}, {"contrast__width": 6}):
        first, second = (
            trained(own, 2).contrast.anchors.prototypes for own in (CONFIG, changed(**changes))
        )
        assert first.shape != second.shape or not torch.equal(first, second)


# Rows of tables


def key(own):
    method, resolved = STPG.same_as(own)
    return method, configuration.identity(resolved)


def test_no_memory_and_no_loss_are_the_row_without_contrast():
    """Figure 8 (a) at N = 0 is Table 4 without DCL."""
    without = key(changed(contrast__weight=0.0))

    assert without[1]["contrast"] == {"weight": 0.0}
    assert key(changed(contrast__memory_size=0)) == without
    assert key(changed(contrast__anchor=False, contrast__similarity=False)) == without
    assert key(CONFIG) != without


def test_with_the_supervised_loss_alone_it_is_the_supervised_trial():
    own = changed(unlabelled_weight=0.0, contrast__weight=0.0)

    assert STPG.same_as(own) == (Supervised, SupervisedConfig(network=tiny_network()))


def test_without_unlabelled_images_only_the_general_student_exists():
    """Figure 8 (b) at lambda_u = 0."""
    method = STPG(changed(unlabelled_weight=0.0), classes=4).train()
    losses = train_steps(method, 5)

    assert method.views == 0
    assert method.students == [method.network]
    assert losses[-1]["students.similarity"] > 0
    assert "students.general" not in losses[-1]


def test_the_rows_of_table_4_are_six_trials():
    rows = [
        changed(unlabelled_weight=0.0, contrast__weight=0.0),
        changed(teachers="single", contrast__weight=0.0),
        changed(select_low_mismatched=True, contrast__weight=0.0),
        changed(contrast__weight=0.0),
        changed(select_low_mismatched=True),
        CONFIG,
    ]
    keys = [key(own) for own in rows]

    assert all(first != second for first, second in itertools.combinations(keys, 2))


def test_fields_that_cannot_matter_are_not_in_the_identity():
    single = configuration.identity(changed(teachers="single"))
    off = configuration.identity(changed(unlabelled_weight=0.0))

    assert not {"select_consistent", "contrasted_students"} & set(single)
    assert not {"teachers", "unlabelled_mean", "contrasted_images"} & set(off)
    assert {"teacher_momentum", "contrast"} <= set(off)


def test_the_defaults_are_the_papers_numbers():
    own = STPGConfig()
    contrast = own.contrast

    assert (own.unlabelled_weight, contrast.weight, contrast.temperature) == (1.0, 0.1, 0.5)
    assert (contrast.confidence, contrast.memory_size, contrast.width) == (0.95, 256, 256)
    assert contrast.prototype_momentum == 0.99


def test_more_new_features_than_the_memory_holds_are_refused():
    with pytest.raises(ConfigError, match="nearest=16, memory_size=8"):
        changed(contrast__memory_size=8, contrast__nearest=16)
    assert ContrastConfig(memory_size=8, similarity=False).memory_size == 8


def test_a_batch_of_two_trains():
    batch = random_batch(6, labelled=2, unlabelled=2)

    assert update_of(trained(), batch=batch).loss.isfinite()
