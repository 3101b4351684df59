"""One step in time of an LSTM and of a GRU, with any activation functions, as pure functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def lstm_step(
    projected: Tensor,
    state: tuple[Tensor, Tensor],
    weight_hh: Tensor,
    gate: Activation,
    candidate: Activation,
    weight_hr: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The next h and c.

    Args:
        projected: (B, 4 H) what the input and the biases add to the gates i, f, g, o, as in
            `nn.LSTM`.
        state: h (B, H or P) and c (B, H).
        weight_hh: (4 H, H or P).
        gate: of i, f and o, which it sees together as (B, 3 H).
        candidate: of g, and of c before it leaves the cell; (B, H) both times.
        weight_hr: (P, H), that h is projected by.
    """
    h, c = state
    size = c.shape[1]
    i_f, g, o = torch.addmm(projected, h, weight_hh.t()).split([2 * size, size, size], dim=1)
    # Together, since noise is drawn and laid over the sooner.
    input_gate, forget, output = gate(torch.cat([i_f, o], dim=1)).split(size, dim=1)
    c = torch.addcmul(forget * c, input_gate, candidate(g))
    h = output * candidate(c)
    return (h if weight_hr is None else F.linear(h, weight_hr)), c


def gru_step(
    projected: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    gate: Activation,
    candidate: Activation,
) -> Tensor:
    """The next h.

    Args:
        projected: (B, 3 H) what the input and its biases add to r, z and n, as in `nn.GRU`.
        h: (B, H).
        weight_hh: (3 H, H).
        bias_hh: (3 H,).
        gate: of r and z, which it sees together as (B, 2 H).
        candidate: of n.
    """
    size = h.shape[1]
    r_z, n = projected.split([2 * size, size], dim=1)
    of_r_z, of_n = F.linear(h, weight_hh, bias_hh).split([2 * size, size], dim=1)
    reset, update = gate(r_z + of_r_z).split(size, dim=1)
    return torch.lerp(candidate(torch.addcmul(n, reset, of_n)), h, update)
