"""Agents of RankMatch: how they are chosen, and how pixels correlate with them and rank them.

H. Mai, R. Sun, T. Zhang, F. Wu, "RankMatch: Exploring the Better Consistency Regularization for
Semi-supervised Semantic Segmentation", CVPR 2024, Secs. 3.2 and 3.3. B images, P = h w pixels of a
feature map, N agents, of which a pixel ranks the K nearest in one of K! orders.

Where paper and release are silent or we depart from them:
1. divergences are computed in logarithms, in full precision; the release adds 1e-10 to
   probabilities, which cuts off the gradient of a very wrong student;
2. "top_n" sums the self-correlation before the softmax of Eq. 4 (the paper does not say), which
   needs no matrix of all pixels by all pixels.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional

from semisweep.training.functional import full_precision


def pixels(feature: Tensor) -> Tensor:
    """Return a feature map [B, D, h, w] as rows [B, h w, D], in full precision."""
    return full_precision(feature).flatten(2).transpose(1, 2)


@torch.no_grad()
def orthogonal_agents(feature: Tensor, agents: int, first: Tensor, absolute: bool) -> Tensor:
    """Return positions [B, N], each the least similar to those before it (Sec. 3.2).

    feature [B, P, D], first [B] the positions to start from. A pixel's similarity to a set is the
    greatest cosine with any member, or the greatest absolute cosine.
    """
    unit = functional.normalize(feature, dim=2).transpose(1, 2)  # [B, D, P]
    chosen = [first.unsqueeze(1)]
    nearest = unit.new_full((len(unit), unit.shape[2]), -torch.inf)
    for _ in range(agents - 1):
        latest = unit.gather(2, chosen[-1].unsqueeze(1).expand(-1, unit.shape[1], 1))
        cosine = torch.bmm(latest.transpose(1, 2), unit).squeeze(1)
        nearest = torch.maximum(nearest, cosine.abs() if absolute else cosine)
        nearest.scatter_(1, chosen[-1], torch.inf)
        chosen.append(nearest.argmin(dim=1, keepdim=True))
    return torch.cat(chosen, dim=1)


def top_agents(feature: Tensor, agents: int) -> Tensor:
    """Return the positions [B, N] of the pixels most correlated with all pixels (Table 5, "Top-N").

    feature [B, P, D]; the row sums of the self-correlation F F^T, without forming it.
    """
    total = torch.bmm(feature.sum(dim=1, keepdim=True), feature.transpose(1, 2)).squeeze(1)
    return total.topk(agents, dim=1).indices


def agent_scores(feature: Tensor, positions: Tensor | None) -> Tensor:
    """Return f A^T of Eq. 4, before its softmax: [B, P, N] for pixels [B, P, D].

    positions [B, N] say which pixels are the agents; None makes all of them agents. Gradients flow
    through both the pixel and the agent.
    """
    agents = feature
    if positions is not None:
        agents = feature.gather(1, positions.unsqueeze(2).expand(-1, -1, feature.shape[2]))
    return torch.bmm(feature, agents.transpose(1, 2))


def correlation_loss(
    kind: str, teacher: Tensor, student: Tensor, reduction: str = "sum_over_agents"
) -> Tensor:
    """Return the mean over pixels of how the distributions over agents differ (Eq. 5, Table 6).

    teacher and student [B, P, N] are scores before the softmax; "l2" is the squared distance.
    "mean_all" also divides by N.
    """
    expected, log_student = teacher.softmax(dim=2), student.log_softmax(dim=2)
    if kind == "l2":
        differing = (expected - log_student.exp()).square()
    else:
        differing = expected * (teacher.log_softmax(dim=2) - log_student)
    if kind == "ce":
        differing = differing - (expected * teacher.log_softmax(dim=2)).detach()
    return differing.mean() if reduction == "mean_all" else differing.sum(dim=2).mean()


def rank_loss(teacher: Tensor, student: Tensor, orders: Tensor, reduction: str) -> Tensor:
    """Return the mean over pixels of KL(teacher || student) over the orders of top agents (Eq. 8).

    teacher and student [B, P, N] are scores before the softmax, orders [K!, K]. The K agents are
    the teacher's best of each pixel. "mean_all" also divides by K!.
    """
    best = teacher.topk(orders.shape[1], dim=2).indices
    log_teacher = order_log_probabilities(teacher.gather(2, best), orders)
    log_student = order_log_probabilities(student.gather(2, best), orders)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(dim=2).mean()
    return divergence / len(orders) if reduction == "mean_all" else divergence


def order_log_probabilities(scores: Tensor, orders: Tensor) -> Tensor:
    """Return the log-probability of each order under Plackett and Luce (Eq. 6).

    scores [..., K] are logarithms of the correlation up to a constant, which cancels; orders [K!,
    K] hold, best first, which agent comes at which rank. Returns [..., K!].
    """
    ordered = scores[..., orders]  # [..., K!, K]
    rest = ordered[..., -1]
    result = torch.zeros_like(rest)
    for rank in reversed(range(orders.shape[1] - 1)):
        rest = torch.logaddexp(ordered[..., rank], rest)
        result = result + ordered[..., rank] - rest
    return result


def all_orders(ranked: int) -> Tensor:
    """Return all orders of `ranked` agents as indices [ranked!, ranked]."""
    return torch.tensor(list(permutations(range(ranked))))
