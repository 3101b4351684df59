"""An LSTM over a whole sequence, forward and backward written out, for hard and noisy functions.

Autograd's chain of small steps takes most of the time of a small LSTM. Here a step is a dozen
operations on all gates together, and the weights' gradient is one product at the end.

Shapes: T steps, B examples, H units; the gates lie as i, f, g, o, as in `nn.LSTM`. Notation and
formulas are those of `functions`, and s = sigmoid(abs(p) v) - 1/2, so that sgn(v) sigma(v) is
c s abs(s).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from algorithms.noisy.activations import HardSigmoid, HardTanh, NoisyActivation
from algorithms.noisy.functions import HARD_SIGMOID, HARD_TANH, Hard


class Kernel(NamedTuple):
    """An activation as `lstm` computes it."""

    hard: Hard
    alpha: float
    direction: int
    """Of the noise: sgn(1 - alpha); 0: there is none."""
    module: NoisyActivation | None
    """Whose p, c and noise it has; None: it is the hard function."""


def kernel_of(module: nn.Module) -> Kernel | None:
    """How an activation is computed here; None: it cannot be."""
    if isinstance(module, HardTanh):
        return Kernel(HARD_TANH, 1.0, 0, None)
    if isinstance(module, HardSigmoid):
        return Kernel(HARD_SIGMOID, 1.0, 0, None)
    if (
        isinstance(module, NoisyActivation)
        and module.training
        and module.form == "output"
        and module.dim == -1
    ):
        return Kernel(module.hard, module.alpha, module.direction, module)
    return None


def lstm(
    projected: Tensor,
    state: tuple[Tensor, Tensor],
    weight_hh: Tensor,
    gate: Kernel,
    candidate: Kernel,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """As many steps of `steps.lstm_step`.

    Args:
        projected: (T, B, 4 H).
        state: h and c, (B, H) both.
        weight_hh: (4 H, H).
        gate: of i, f and o.
        candidate: of g, and of c before it leaves the cell.

    Returns:
        All h, (T, B, H), and the last h and c.
    """
    steps, batch, wide = projected.shape
    size = wide // 4
    like = projected
    # Per column of i, f, g, o.

    def columns(of_gate: float, of_candidate: float) -> Tensor:
        values = like.new_empty(wide).fill_(of_gate)
        values[2 * size : 3 * size] = of_candidate
        return values

    hards = (gate.hard, candidate.hard)
    slope = columns(*(hard.slope for hard in hards))
    offset = columns(*(hard.offset for hard in hards))
    low, high = columns(*(h.low for h in hards)), columns(*(h.high for h in hards))
    alpha = columns(gate.alpha, candidate.alpha)
    p_gate, p_candidate = (_p(kernel, like) for kernel in (gate, candidate))
    push: list[Tensor] | None = None
    push_c: list[Tensor] | None = None
    if gate.direction or candidate.direction:
        push = [_pushes(gate, candidate, like.new_empty(batch, wide)) for _ in range(steps)]
        push_c = [_pushed(candidate, like.new_empty(batch, size)) for _ in range(steps)]
    h, c, hs = _LSTM.apply(  # type: ignore[misc]
        projected,
        *state,
        weight_hh,
        p_gate,
        p_candidate,
        push,
        push_c,
        (slope, offset, low, high, alpha),
        candidate.hard,
        candidate.alpha,
    )
    return hs, (h, c)


def _p(kernel: Kernel, like: Tensor) -> Tensor:
    if kernel.module is None or kernel.module.p is None:
        return like.new_zeros(())
    return kernel.module.p.to(like.dtype)


def _pushes(gate: Kernel, candidate: Kernel, out: Tensor) -> Tensor:
    """The noise of i, f, g, o as it enters, (B, 4 H)."""
    size = out.shape[1] // 4
    _pushed(gate, out)
    out[:, 2 * size : 3 * size] = _pushed(candidate, out.new_empty(len(out), size))
    return out


def _pushed(kernel: Kernel, out: Tensor) -> Tensor:
    """The noise as it enters: times c, and signed."""
    if kernel.module is None or not kernel.direction:
        return out.zero_()
    kernel.module.draw(out)
    return out.mul_(kernel.module.c.to(out.dtype) * kernel.direction)


class _LSTM(torch.autograd.Function):
    """See `lstm`."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        h: Tensor,
        c: Tensor,
        weight_hh: Tensor,
        p_gate: Tensor,
        p_candidate: Tensor,
        push: list[Tensor] | None,
        push_c: list[Tensor] | None,
        columns: tuple[Tensor, ...],
        hard: Hard,
        alpha_c: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, wide = projected.shape
        size = wide // 4
        slope, offset, low, high, alpha = columns
        p, p_c = _spread(p_gate, p_candidate, size).abs(), p_candidate.abs()
        weight = weight_hh.t()
        u, s, s_c = (projected.new_empty(batch, n) for n in (wide, wide, size))
        hs = projected.new_empty(steps + 1, batch, size)
        hs[0] = h
        # Of each step small tensors, not of all one large: those would be new memory every time.
        kept: list[tuple[Tensor, ...]] = []
        for at, (raw, h, h_next) in enumerate(
            zip(projected.unbind(), hs.unbind(), hs[1:].unbind(), strict=False)
        ):
            torch.addmm(raw, h, weight, out=u)
            torch.addcmul(offset, u, slope, out=u)
            v = u.clamp(low, high).sub_(u)
            a = torch.addcmul(u, v, alpha)
            if push is not None:
                torch.mul(v, p, out=s).sigmoid_().sub_(0.5)
                a.addcmul_(push[at], torch.abs(s, out=u).mul_(s))
            i, f, g, o = a.split(size, dim=1)
            before, c = c, torch.mul(f, c).addcmul_(i, g)
            v_c = c.clamp(hard.low, hard.high).sub_(c)
            out = torch.add(c, v_c, alpha=alpha_c)
            if push_c is not None:
                torch.mul(v_c, p_c, out=s_c).sigmoid_().sub_(0.5)
                out.addcmul_(push_c[at], s_c.abs().mul_(s_c))
            torch.mul(o, out, out=h_next)
            kept.append((v, a, before, v_c, out))
        ctx.save_for_backward(weight_hh, p_gate, p_candidate, hs)
        # Of this function's own making: nobody else changes them.
        ctx.kept, ctx.push, ctx.push_c = kept, push, push_c
        ctx.columns, ctx.alpha_c = columns, alpha_c
        return hs[-1].clone(), c, hs[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:  # type: ignore[override]
        weight_hh, p_gate, p_candidate, hs = ctx.saved_tensors
        push, push_c = ctx.push, ctx.push_c
        slope, alpha, alpha_c = ctx.columns[0], ctx.columns[4], ctx.alpha_c
        grad_h, grad_c, grad_hs = grads
        grad_h, grad_c = grad_h.clone(), grad_c.clone()
        steps, batch, size = grad_hs.shape
        p, p_c = _spread(p_gate, p_candidate, size).abs(), p_candidate.abs()
        raw = hs.new_empty(steps, batch, 4 * size)
        s, flat, by_p = (hs.new_zeros(batch, 4 * size) for _ in range(3))
        s_c, flat_c, by_p_c = (hs.new_zeros(batch, size) for _ in range(3))
        views = list(zip(ctx.kept, raw.unbind(), grad_hs.unbind(), strict=True))
        for at in reversed(range(steps)):
            (v, a, before, v_c, out), grad_a, grad_out = views[at]
            i, f, g, o = a.split(size, dim=1)
            grad_i, grad_f, grad_g, grad_o = grad_a.split(size, dim=1)
            grad_h.add_(grad_out)
            through = grad_h * o
            torch.sign(v_c, out=flat_c).abs_()
            grad_c.add_(through).add_(flat_c.mul_(through), alpha=-alpha_c)
            if push_c is not None:
                torch.mul(v_c, p_c, out=s_c).sigmoid_().sub_(0.5)
                through.mul_(_steepness(s_c, push_c[at]))
                grad_c.addcmul_(through, p_c, value=-1)
                by_p_c.addcmul_(through, v_c)
            torch.mul(grad_c, g, out=grad_i)
            torch.mul(grad_c, before, out=grad_f)
            torch.mul(grad_c, i, out=grad_g)
            torch.mul(grad_h, out, out=grad_o)
            grad_c.mul_(f)
            torch.sign(v, out=flat).abs_().mul_(grad_a)
            if push is not None:
                torch.mul(v, p, out=s).sigmoid_().sub_(0.5)
                through = _steepness(s, push[at]).mul_(grad_a)
                grad_a.addcmul_(through, p, value=-1)
                by_p.addcmul_(through, v)
            grad_a.addcmul_(flat, alpha, value=-1).mul_(slope)
            torch.mm(grad_a, weight_hh, out=grad_h)
        grad_weight = raw.flatten(0, 1).t() @ hs[:-1].flatten(0, 1)
        of_gate = of_candidate = None
        if push is not None:
            sums = by_p.sum(dim=0)
            both = torch.cat([sums[: 2 * size], sums[3 * size :]])
            of_gate = both.sum_to_size(p_gate.shape) * p_gate.sign()
            own = sums[2 * size : 3 * size] + by_p_c.sum(dim=0)
            of_candidate = own.sum_to_size(p_candidate.shape) * p_candidate.sign()
        return raw, grad_h, grad_c, grad_weight, of_gate, of_candidate, *([None] * 5)


def _steepness(s: Tensor, push: Tensor) -> Tensor:
    """Of push s abs(s) by abs(p) v; the sigmoid's own slope is 1/4 - s^2. Overwrites s."""
    return (s * s).sub_(0.25).mul_(s.abs_()).mul_(push).mul_(-2)


def _spread(p_gate: Tensor, p_candidate: Tensor, size: int) -> Tensor:
    """p of the columns i, f, g, o, (4 H,)."""
    gate = p_gate.expand(3 * size)
    return torch.cat([gate[: 2 * size], p_candidate.expand(size), gate[2 * size :]])
