"""Losses of DQN: pure functions of time-indexed tensors, one value per example.

Shapes: B batch, A actions, Z atoms. `discount_t` is 0 where the episode terminated and gamma**m
where m steps were summed into `r_t`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def q_learning_td(
    q_tm1: Tensor,
    a_tm1: Tensor,
    r_t: Tensor,
    discount_t: Tensor,
    q_t_value: Tensor,
    q_t_selector: Tensor,
) -> Tensor:
    """Temporal-difference errors of (double) Q-learning.

    `r_t + discount_t * q_t_value[argmax q_t_selector] - q_tm1[a_tm1]`: equation 2 of Mnih et al.
    2013 where `q_t_selector` is `q_t_value`, double Q-learning (van Hasselt et al. 2016, equation
    4) where the online network selects.

    Args:
        q_tm1: (B, A) float, values of the observations acted on; carries the gradient.
        a_tm1: (B,) int64, actions taken.
        r_t: (B,) float, (n-step) rewards.
        discount_t: (B,) float, discounts of the bootstrap, 0 at a terminal state.
        q_t_value: (B, A) float, values of the observations bootstrapped from.
        q_t_selector: (B, A) float, values that choose the action bootstrapped from.

    Returns:
        (B,) errors, target minus prediction; the target carries no gradient.

    Raises:
        ValueError: for ranks or batch sizes that do not fit.
    """
    for name, tensor, rank in (
        ("q_tm1", q_tm1, 2),
        ("a_tm1", a_tm1, 1),
        ("r_t", r_t, 1),
        ("discount_t", discount_t, 1),
        ("q_t_value", q_t_value, 2),
        ("q_t_selector", q_t_selector, 2),
    ):
        if tensor.dim() != rank or len(tensor) != len(q_tm1):
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}: needs rank {rank} "
                f"and {len(q_tm1)} examples"
            )
    a_t = q_t_selector.argmax(dim=1, keepdim=True)
    target = r_t + discount_t * q_t_value.gather(1, a_t).squeeze(1)
    return target.detach() - q_tm1.gather(1, a_tm1.unsqueeze(1)).squeeze(1)


def categorical_q_learning(
    logits_tm1: Tensor,
    a_tm1: Tensor,
    r_t: Tensor,
    discount_t: Tensor,
    logits_t_value: Tensor,
    q_t_selector: Tensor,
    support: Tensor,
) -> tuple[Tensor, Tensor]:
    """C51's loss, with the action chosen by `q_t_selector` (double selection, as in Rainbow).

    Cross entropy of the prediction against the projected target `r_t + discount_t * support`
    (Bellemare et al. 2017, algorithm 1).

    Args:
        logits_tm1: (B, A, Z) float, of the observations acted on; carries the gradient.
        a_tm1: (B,) int64, actions taken.
        r_t: (B,) float, (n-step) rewards.
        discount_t: (B,) float, discounts of the bootstrap, 0 at a terminal state.
        logits_t_value: (B, A, Z) float, of the observations bootstrapped from.
        q_t_selector: (B, A) float, values that choose the action bootstrapped from.
        support: (Z,) float, the atoms' returns, ascending and equally spaced.

    Returns:
        (B,) cross entropies, and (B,) divergences of the prediction from the target (KL, at least
        0, without gradient): the cross entropy less what no prediction could save, by which Rainbow
        prioritizes.
    """
    rows = torch.arange(len(a_tm1), device=a_tm1.device)
    with torch.no_grad():
        p_t = logits_t_value[rows, q_t_selector.argmax(dim=1)].softmax(dim=1)
        returns = r_t.unsqueeze(1) + discount_t.unsqueeze(1) * support
        target = project(returns, p_t, support)
    log_p = logits_tm1[rows, a_tm1].log_softmax(dim=1)
    cross_entropy = -(target * log_p).sum(dim=1)
    with torch.no_grad():
        entropy = torch.special.entr(target).sum(dim=1)
        divergence = (cross_entropy - entropy).clamp(min=0)
    return cross_entropy, divergence


def project(returns: Tensor, p: Tensor, support: Tensor) -> Tensor:
    """Distributions over any returns as distributions over the atoms of a support.

    Each return's probability goes to its two neighbours among the atoms, the nearer one getting
    more; beyond the ends all of it goes to the end (Bellemare et al. 2017, equation 7).

    Args:
        returns: (B, J) float.
        p: (B, J) float, their probabilities.
        support: (Z,) float, ascending and equally spaced, Z at least 2.

    Returns:
        (B, Z) float, with the mass of `p`.
    """
    spacing = (support[-1] - support[0]) / (len(support) - 1)
    inside = returns.clamp(support[0], support[-1])
    distance = (inside.unsqueeze(1) - support.unsqueeze(1)).abs() / spacing  # (B, Z, J)
    return ((1 - distance).clamp(min=0) * p.unsqueeze(1)).sum(dim=2)


def squared(td_error: Tensor) -> Tensor:
    """`0.5 * td**2` (B,), whose gradient is equation 3 of Mnih et al. 2013."""
    return 0.5 * td_error.square()


def huber(td_error: Tensor) -> Tensor:
    """Huber loss (B,) with its knee at 1: the "clipped error" of Mnih et al. 2015, Methods."""
    return torch.nn.functional.huber_loss(
        td_error, torch.zeros_like(td_error), reduction="none", delta=1.0
    )


LOSSES = {"squared": squared, "huber": huber}
