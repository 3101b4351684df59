"""Noisy activation functions as pure functions of tensors (Gulcehre et al. 2016, section 4).

A hard function h is u, its first-order expansion at 0, cut off at `low` and `high`:

| h            | u(x)         | low | high | saturates where |
|--------------|--------------|-----|------|-----------------|
| hard tanh    | x            | -1  | 1    | abs(x) > 1      |
| hard sigmoid | x / 4 + 1/2  | 0   | 1    | abs(x) > 2      |

With v = h - u, which is 0 where h does not saturate, the paper's formula

    phi(x) = alpha h(x) + (1 - alpha) u(x) + d(x) sigma(x) noise
    d(x) = -sgn(x) sgn(1 - alpha),  sigma(x) = c (sigmoid(p v) - 1/2)^2

is `u + alpha v + sgn(1 - alpha) sgn(v) sigma noise`: where h saturates, sgn(v) is -sgn(x). So
nothing happens where it does not, whatever alpha and the noise. At alpha = 1 it is h without noise,
as sgn(0) is 0. (The authors' code takes d = -sgn(x) there.)

Shapes are `(*)` of any number of axes; p, c and noise broadcast.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)
"""Of abs(z) with z from the normal distribution: 0.79788."""


class Hard(NamedTuple):
    """A function that is linear between two bounds: `clamp(slope x + offset, low, high)`."""

    slope: float
    offset: float
    low: float
    high: float

    @property
    def threshold(self) -> float:
        """The abs(x) past which it is flat."""
        return (self.high - self.offset) / self.slope

    def expansion(self, x: Tensor) -> Tensor:
        """u(x)."""
        if self.slope == 1 and self.offset == 0:
            return x
        return torch.add(x.new_tensor(self.offset), x, alpha=self.slope)

    def __call__(self, x: Tensor) -> Tensor:
        """h(x)."""
        return self.expansion(x).clamp(self.low, self.high)


HARD_TANH = Hard(1.0, 0.0, -1.0, 1.0)
HARD_SIGMOID = Hard(0.25, 0.5, 0.0, 1.0)


def hard_tanh(x: Tensor) -> Tensor:
    """`clamp(x, -1, 1)`, of floats (*)."""
    return HARD_TANH(x)


def hard_sigmoid(x: Tensor) -> Tensor:
    """`clamp(x / 4 + 1/2, 0, 1)`, of floats (*); its slope is the sigmoid's at 0. (That of
    `torch.nn.Hardsigmoid` is 1/6.)"""
    return HARD_SIGMOID(x)


def noisy(x: Tensor, p: Tensor, noise: Tensor, c: Tensor, *, alpha: float, hard: Hard) -> Tensor:
    """The paper's phi(x); the formula stands at the top of this module.

    Args:
        x: (*) floating point.
        p: of sigma, broadcast to x; its sign does not matter.
        noise: broadcast to x; from the normal distribution, of its absolute value, or the mean of
            either.
        c: of sigma, which never exceeds c / 4; a scalar, no gradient goes to it.
        alpha: of h; above 1 phi's mean bends back where h is flat, and half-normal noise, which
            has one direction, pushes against that.
        hard: which h.

    Returns:
        As x.
    """
    direction = (alpha < 1) - (alpha > 1)
    u = hard.expansion(x)
    phi: Tensor = _Noisy.apply(u, p, noise, c, alpha, direction, hard.low, hard.high)[0]
    return phi


def basic(x: Tensor, p: Tensor, noise: Tensor, c: Tensor, *, mean: float, hard: Hard) -> Tensor:
    """h(x) + mean + sigma(x) noise: the form that the paper begins with. Arguments as in `noisy`.

    Where h is flat, sigma alone lets a gradient through.
    """
    h = hard(x)
    return h + mean + sigma(h - hard.expansion(x), p, c) * noise


def noisy_input(x: Tensor, noise: Tensor, scale: Tensor, *, hard: Hard) -> Tensor:
    """h(x + scale noise): with a constant scale the paper's NANI, with a learned one NANIL."""
    return hard(x + scale * noise)


def noisy_saturated_input(x: Tensor, noise: Tensor, scale: Tensor, *, hard: Hard) -> Tensor:
    """h(x + scale noise) where h(x) is flat, h(x) elsewhere: NANIS."""
    return hard(x + torch.where(x.abs() > hard.threshold, scale * noise, 0.0))


def sigma(v: Tensor, p: Tensor, c: Tensor) -> Tensor:
    """Standard deviation of the noise: c (sigmoid(p v) - 1/2)^2, with v = h - u."""
    return c * (torch.sigmoid(p * v) - 0.5).square()


class _Noisy(torch.autograd.Function):
    """`u + alpha v + direction sgn(v) sigma(v) noise`, with v = clamp(u, low, high) - u.

    Written out, since autograd's own chain of a dozen small steps takes several times as long. With
    s = sigmoid(abs(p) v) - 1/2, which has the sign of v, sgn(v) sigma(v) is c s abs(s). (A tanh
    would do as well, and takes PyTorch eight times as long on a CPU.)
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        u: Tensor,
        p: Tensor,
        noise: Tensor,
        c: Tensor,
        alpha: float,
        direction: int,
        low: float,
        high: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        v = u.clamp(low, high).sub_(u)
        s = (v * p.abs()).sigmoid_().sub_(0.5)
        push = noise * (c * direction)
        phi = torch.add(u, v, alpha=alpha).addcmul_(push, s.abs().mul_(s))
        return phi, v, s, push

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, p, _, _, alpha, _, _, _ = inputs
        _, v, s, push = output
        ctx.mark_non_differentiable(v, s, push)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(p, v, s, push)
        ctx.alpha = alpha

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad = grads[0]
        if grad is None:
            return (None,) * 8
        p, v, s, push = ctx.saved_tensors
        # Of push s abs(s) by abs(p) v; the sigmoid's own slope is 1/4 - s^2.
        slope = (s * s).sub_(0.25).mul_(s.abs()).mul_(push).mul_(grad).mul_(-2)
        grad_p = None
        if ctx.needs_input_grad[1]:  # summed over what p was broadcast to
            grad_p = (slope * v).sum_to_size(p.shape) * torch.sign(p)
        # v falls by 1 with u where it is not 0, and does not change elsewhere.
        is_flat = v.sign().abs_()
        grad_u = torch.addcmul(grad, grad, is_flat, value=-ctx.alpha)
        return grad_u.addcmul_(slope, p.abs(), value=-1), grad_p, *([None] * 6)
