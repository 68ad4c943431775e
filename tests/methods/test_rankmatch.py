"""RankMatch: agents, correlation, ranks, its switches and its promises."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS
from torch import nn

from semisweep import NetworkConfig
from semisweep.core import config as configuration
from semisweep.core.errors import ConfigError
from semisweep.testing import MethodContract, first_update, progress_at, random_batch, tiny_network
from semisweep.training.functional import cutmix, shrink_mask
from semisweep.training.trial import method_path
from semisweep_methods.agents import (
    agent_scores,
    all_orders,
    correlation_loss,
    order_log_probabilities,
    orthogonal_agents,
    pixels,
    rank_loss,
    top_agents,
)
from semisweep_methods.rankmatch import RankMatch, RankMatchConfig
from semisweep_methods.unimatch import UniMatch, UniMatchConfig

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["rankmatch"]
SUMMED = "sum_over_agents"


class TestRankMatch(MethodContract):
    method = RankMatch
    config = CONFIG
    variants = (
        replace(CONFIG, rank_weight=0.0),
        replace(CONFIG, consistency="none", selection="random"),
        replace(CONFIG, consistency="ce"),
        replace(CONFIG, consistency="kl", selection="random"),
        replace(CONFIG, consistency="l2", selection="all"),
        replace(CONFIG, selection="top_n", view_weight=0.0, feature_weight=0.0),
    )
    golden = GOLDEN / "trace_rankmatch.json"


class TestRankMatchOfThePaperToTheLetter(MethodContract):
    method = RankMatch
    config = replace(
        CONFIG,
        shared_positions=False,
        orthogonality="cosine",
        kl_reduction="sum_over_permutations",
        selection="orthogonal",
    )
    golden = GOLDEN / "trace_rankmatch_paper.json"


class TestRankMatchOnATransformer(MethodContract):
    method = RankMatch
    config = replace(
        CONFIG,
        network=NetworkConfig(backbone="test_vit", decoder="dpt", channels=8, pretrained=False),
        threshold=0.25,
        strong_views=1,
    )


def scores(seed, *shape, scale=3.0):
    made = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=made, dtype=torch.float64)


# Ranks


@pytest.mark.parametrize("ranked", [2, 3, 4, 5])
def test_the_probabilities_of_all_orders_sum_to_one(ranked):
    probability = order_log_probabilities(scores(0, 7, ranked), all_orders(ranked)).exp()

    assert probability.shape == (7, math.factorial(ranked))
    assert torch.allclose(probability.sum(1), torch.ones(7, dtype=torch.float64))


def test_the_example_of_equation_7():
    a, b, c = 0.5, 0.3, 0.2
    found = order_log_probabilities(torch.tensor([a, b, c]).log(), torch.tensor([[0, 1, 2]])).exp()

    assert found.item() == pytest.approx(a / (a + b + c) * b / (b + c))


def test_equal_agents_make_all_orders_equally_likely():
    found = order_log_probabilities(torch.zeros(1, 4), all_orders(4)).exp()

    assert torch.allclose(found, torch.full((1, 24), 1 / 24))


def slow_rank_loss(teacher, student, ranked, reduction):
    """Loop over images, pixels and permutations, on softmax probabilities as in the paper."""
    total, count = 0.0, 0
    for expected, found in zip(teacher.flatten(0, 1), student.flatten(0, 1), strict=True):
        expected, found = expected.softmax(0).tolist(), found.softmax(0).tolist()
        best = sorted(range(len(expected)), key=lambda n: -expected[n])[:ranked]
        count += 1
        for order in itertools.permutations(best):
            p = math.prod(
                expected[order[n]] / sum(expected[i] for i in order[n:]) for n in range(ranked)
            )
            q = math.prod(found[order[n]] / sum(found[i] for i in order[n:]) for n in range(ranked))
            total += p * math.log(p / q)
    return total / count / (math.factorial(ranked) if reduction == "mean_all" else 1)


@pytest.mark.parametrize("reduction", ["mean_all", "sum_over_permutations"])
@pytest.mark.parametrize("ranked", [2, 4])
def test_the_rank_loss_equals_a_loop_over_pixels_and_permutations(ranked, reduction):
    teacher, student = scores(1, 2, 5, 6), scores(2, 2, 5, 6)
    expected = slow_rank_loss(teacher, student, ranked, reduction)
    found = rank_loss(teacher.float(), student.float(), all_orders(ranked), reduction)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_the_rank_loss_is_zero_only_where_the_ranks_agree():
    teacher, student = scores(1, 1, 5, 6), scores(2, 1, 5, 6)
    same = rank_loss(teacher, teacher + 7.0, all_orders(4), "mean_all")  # a constant cancels
    other = rank_loss(teacher, student, all_orders(4), "mean_all")

    assert same.item() == pytest.approx(0, abs=1e-12)
    assert other.item() > 1e-3


def test_the_rank_loss_has_the_gradient_of_its_formula():
    teacher, student = scores(1, 2, 3, 6), scores(2, 2, 3, 6).requires_grad_()

    assert torch.autograd.gradcheck(
        lambda own: rank_loss(teacher, own, all_orders(4), "sum_over_permutations"), student
    )


def test_the_rank_loss_is_finite_with_a_gradient_where_probabilities_underflow():
    teacher = torch.tensor([[[500.0, 0.0, -500.0, -900.0, -1000.0]]])
    student = (-teacher).requires_grad_()
    loss = rank_loss(teacher, student, all_orders(4), "mean_all")
    loss.backward()

    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert student.grad.abs().sum() > 0


# Correlation


@pytest.mark.parametrize("kind", ["l2", "ce", "kl"])
def test_the_correlation_losses_equal_loops(kind):
    teacher, student = scores(3, 2, 4, 5), scores(4, 2, 4, 5)
    total = 0.0
    for expected, found in zip(teacher.flatten(0, 1), student.flatten(0, 1), strict=True):
        for p, q in zip(expected.softmax(0).tolist(), found.softmax(0).tolist(), strict=True):
            total += {"l2": (p - q) ** 2, "ce": -p * math.log(q), "kl": p * math.log(p / q)}[kind]

    assert correlation_loss(kind, teacher, student).item() == pytest.approx(total / 8)
    averaged = correlation_loss(kind, teacher, student, "mean_all").item()
    assert averaged == pytest.approx(total / (8 * 5))


@pytest.mark.parametrize("kind", ["l2", "ce", "kl"])
def test_the_correlation_losses_have_the_gradient_of_their_formula(kind):
    teacher, student = scores(3, 1, 4, 5, scale=1.0), scores(4, 1, 4, 5, scale=1.0).requires_grad_()

    assert torch.autograd.gradcheck(lambda own: correlation_loss(kind, teacher, own), student)


def test_cross_entropy_has_the_gradient_of_the_divergence():
    teacher, student = scores(3, 1, 4, 5), scores(4, 1, 4, 5).requires_grad_()
    gradients = [
        torch.autograd.grad(correlation_loss(kind, teacher, student), student)[0]
        for kind in ("ce", "kl")
    ]

    assert torch.equal(*gradients)


def test_scores_are_dot_products_with_the_agents_and_teach_both():
    feature = scores(5, 2, 6, 3).requires_grad_()
    positions = torch.tensor([[4, 0], [1, 5]])
    found = agent_scores(feature, positions)
    gradient = torch.autograd.grad(found[0, 2, 0], feature)[0]

    assert found.shape == (2, 6, 2)
    assert found[1, 3, 1].item() == pytest.approx(float((feature[1, 3] @ feature[1, 5]).detach()))
    assert torch.equal(gradient[0, 4], feature[0, 2])
    assert torch.equal(gradient[0, 2], feature[0, 4])


# Agents


def slow_orthogonal_agents(feature, agents, first, absolute):
    chosen = [first]
    while len(chosen) < agents:
        worst = {}
        for pixel in range(len(feature)):
            if pixel not in chosen:
                cosines = [
                    float(nn.functional.cosine_similarity(feature[pixel], feature[other], dim=0))
                    for other in chosen
                ]
                worst[pixel] = max(abs(c) if absolute else c for c in cosines)
        chosen.append(min(worst, key=worst.__getitem__))
    return chosen


@pytest.mark.parametrize("absolute", [True, False])
def test_orthogonal_selection_equals_an_obvious_loop(absolute):
    feature, first = scores(6, 3, 12, 4), torch.tensor([0, 5, 11])
    found = orthogonal_agents(feature, 6, first, absolute)
    expected = [
        slow_orthogonal_agents(one, 6, int(start), absolute)
        for one, start in zip(feature, first, strict=True)
    ]

    assert found.tolist() == expected


def test_of_two_orthogonal_and_many_parallel_pixels_the_orthogonal_two_are_agents():
    feature = torch.tensor([[[1.0, 0.0], [2.0, 0.1], [3.0, 0.2], [0.0, 5.0], [4.0, -0.3]]])

    assert orthogonal_agents(feature, 2, torch.tensor([0]), absolute=True).tolist() == [[0, 3]]


def test_an_opposite_pixel_is_minimal_in_cosine_and_not_orthogonal():
    feature = torch.tensor([[[1.0, 0.0], [-1.0, 0.1], [0.1, 1.0]]])

    assert orthogonal_agents(feature, 2, torch.tensor([0]), absolute=True).tolist() == [[0, 2]]
    assert orthogonal_agents(feature, 2, torch.tensor([0]), absolute=False).tolist() == [[0, 1]]


def test_as_many_agents_as_pixels_are_all_pixels_once():
    feature = scores(7, 2, 9, 4).abs()
    found = orthogonal_agents(feature, 9, torch.tensor([3, 8]), absolute=True)

    assert [sorted(row) for row in found.tolist()] == [list(range(9))] * 2


def test_top_agents_have_the_largest_sums_of_the_self_correlation_matrix():
    feature = scores(8, 2, 10, 3)
    total = (feature @ feature.transpose(1, 2)).sum(2)

    assert top_agents(feature, 4).tolist() == [
        sorted(range(10), key=lambda n: -row[n])[:4] for row in total.tolist()
    ]


def selected(step=0, role="teacher", **changes):
    method = RankMatch(replace(CONFIG, **changes), classes=4)
    return method.select(scores(9, 8, 16, 5).float(), progress_at(step), role)


def test_random_agents_are_distinct_and_depend_on_step_view_and_role_only():
    found = selected(selection="random")

    assert found.shape == (8, 8)
    assert all(len(set(row)) == 8 for row in found.tolist())
    assert torch.equal(found, selected(selection="random"))
    assert not torch.equal(found, selected(selection="random", step=1))
    assert not torch.equal(found, selected(selection="random", role="student"))
    assert not torch.equal(found[:4], found[4:])


def test_orthogonal_agents_start_from_another_pixel_in_another_step():
    assert not torch.equal(selected()[:, 0], selected(step=1)[:, 0])


# The whole method


def agent_term(batch=None, **changes):
    """Return a method, its batch, its weak and strong features, and the agents' term of them."""
    method = RankMatch(replace(CONFIG, **changes), classes=4)
    batch = batch or random_batch(0)
    seen, strong = method.outputs(batch, progress_at(0)), method.strong_outputs(batch).fused
    weak = method.opinion(seen).fused
    term = method.agent_consistency(batch, weak, strong, progress_at(0))
    return method, batch, seen.weak.fused, strong, term


def test_the_term_equals_a_slow_loop_on_the_mixed_features():
    method, batch, weak, strong, found = agent_term(kl_reduction="sum_over_permutations")
    student = pixels(strong)
    size = weak.shape[-2:]
    teacher = pixels(torch.cat([cutmix(weak, shrink_mask(mask, size)) for mask in batch.cutmix]))
    chosen = method.select(teacher, progress_at(0), "teacher")
    expected = [
        (f @ f[index].T).double().unsqueeze(0) for f, index in zip(teacher, chosen, strict=True)
    ]
    scored = [
        (f @ f[index].T).double().unsqueeze(0) for f, index in zip(student, chosen, strict=True)
    ]
    total = slow_rank_loss(torch.cat(expected), torch.cat(scored), 4, "sum_over_permutations")

    assert size == (4, 4)
    assert found.item() == pytest.approx(total, abs=1e-5, rel=1e-5)


def test_the_loss_is_unimatchs_and_the_weighted_term():
    plain = UniMatch(UniMatchConfig(network=tiny_network(), threshold=0.3), classes=4)
    update = first_update(RankMatch(CONFIG, classes=4), random_batch(0), progress_at(0))
    without = first_update(plain, random_batch(0), progress_at(0))

    assert update.terms["rank"] > 0
    assert torch.allclose(update.loss, without.loss + 0.1 * update.terms["rank"])


def test_the_term_teaches_the_student_and_not_the_teacher():
    *_, weak, strong, term = agent_term()
    gradients = torch.autograd.grad(term, [weak, strong], allow_unused=True)

    assert gradients[0] is None
    assert gradients[1].abs().sum() > 0


@pytest.mark.parametrize("consistency", ["l2", "ce", "kl", "rank"])
@pytest.mark.parametrize("selection", ["orthogonal", "random", "top_n", "all"])
def test_every_combination_gives_a_positive_finite_term(consistency, selection):
    *_, term = agent_term(consistency=consistency, selection=selection)

    assert term.isfinite()
    assert term > 0


def test_separate_positions_give_another_term():
    assert agent_term(shared_positions=False)[-1] != agent_term()[-1]


def test_agents_may_be_every_pixel_and_not_more():
    everywhere = agent_term(agents=16, selection="random")[-1]

    assert torch.allclose(everywhere, agent_term(selection="all")[-1], rtol=1e-4)
    with pytest.raises(ConfigError, match="got agents=17, pixels=16"):
        agent_term(agents=17)


def test_a_batch_of_two_has_a_term():
    assert agent_term(random_batch(0, labelled=2, unlabelled=2))[-1] > 0


def test_fewer_agents_than_ranks_are_refused_unless_nothing_is_ranked():
    with pytest.raises(ConfigError, match="ranked=4, agents=3"):
        configuration.replace(CONFIG, {"agents": 3})
    assert configuration.replace(CONFIG, {"consistency": "kl", "agents": 3}).agents == 3


@pytest.mark.parametrize("changes", [{"rank_weight": 0.0}, {"consistency": "none"}])
def test_without_a_term_it_is_the_unimatch_trial(changes):
    method, own = RankMatch.same_as(replace(CONFIG, **changes))

    assert (method, own) == (UniMatch, UniMatchConfig(network=tiny_network(), threshold=0.3))
    assert method_path(method) == "semisweep_methods.unimatch:UniMatch"


def test_the_defaults_are_the_papers_numbers():
    own = RankMatchConfig()

    assert (own.agents, own.rank_weight, own.ranked, own.threshold) == (128, 0.1, 4, 0.95)
    assert (own.selection, own.consistency, own.strong_views) == ("orthogonal", "rank", 2)


def test_fields_that_cannot_matter_are_not_in_the_identity():
    kept = configuration.identity(replace(CONFIG, selection="all", consistency="kl"))

    assert not {"agents", "orthogonality", "shared_positions", "ranked", "kl_reduction"} & set(kept)
    assert {"rank_weight", "consistency", "selection", "threshold"} <= set(kept)


def test_how_a_divergence_is_averaged_is_in_the_identity_where_it_is_not_summed_over_agents():
    name = "correlation_reduction"
    averaged = replace(CONFIG, consistency="kl", correlation_reduction="mean_all")

    assert configuration.identity(averaged)[name] == "mean_all"
    assert name not in configuration.identity(replace(averaged, correlation_reduction=SUMMED))
    assert name not in configuration.identity(replace(averaged, consistency="rank"))


@pytest.mark.parametrize("consistency", ["l2", "kl"])
def test_an_averaged_divergence_is_the_summed_one_over_the_agents(consistency):
    summed, averaged = (
        agent_term(consistency=consistency, correlation_reduction=reduction)[-1]
        for reduction in (SUMMED, "mean_all")
    )

    assert torch.allclose(averaged * CONFIG.agents, summed, rtol=1e-5)


def test_cells_that_are_mixed_by_their_own_pixels_give_another_term():
    assert agent_term(mixed_cells="aligned")[-1] != agent_term()[-1]
    assert "mixed_cells" not in configuration.identity(CONFIG)


def test_the_two_readings_of_orthogonality_are_one_trial_only_after_a_rectifier():
    kept = configuration.identity(CONFIG)
    other = configuration.identity(replace(CONFIG, network=NetworkConfig(decoder="dpt")))

    assert "orthogonality" not in kept
    assert "orthogonality" in other
