"""Losses of DQN: pure functions of time-indexed tensors, one value per example.

Shapes: B batch, A actions. `discount_t` is 0 where the episode terminated and gamma**m where m
steps were summed into `r_t`.
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


def squared(td_error: Tensor) -> Tensor:
    """`0.5 * td**2` (B,), whose gradient is equation 3 of Mnih et al. 2013."""
    return 0.5 * td_error.square()


def huber(td_error: Tensor) -> Tensor:
    """Huber loss (B,) with its knee at 1: the "clipped error" of Mnih et al. 2015, Methods."""
    return torch.nn.functional.huber_loss(
        td_error, torch.zeros_like(td_error), reduction="none", delta=1.0
    )


LOSSES = {"squared": squared, "huber": huber}
