"""An LSTM over a whole sequence, forward and backward written out, for hard and noisy functions.

Autograd's chain of small steps takes most of the time of a small LSTM. Here a step is a dozen
operations on all gates together, and the weights' gradient is one product at the end.

Shapes: T steps, B examples, H units; the gates lie as i, f, g, o, as in `nn.LSTM`. Notation and
formulas are those of `functions`; t = tanh(abs(p) v / 2), so that sgn(v) sigma(v) = c t abs(t) / 4.
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
    parts = ((gate, 2 * size), (candidate, size), (gate, size))

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
    push = push_c = None
    if gate.direction or candidate.direction:
        noise = [_pushes(kernel, (steps, batch, units), like) for kernel, units in parts]
        push = torch.cat(noise, dim=2)
        push_c = _pushes(candidate, (steps, batch, size), like)
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


def _pushes(kernel: Kernel, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The noise as it enters: times c / 4, and signed."""
    if kernel.module is None or not kernel.direction:
        return like.new_zeros(shape)
    noise = kernel.module.draw(like.new_empty(shape))
    return noise.mul_(kernel.module.c.to(like.dtype) * (kernel.direction / 4))


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
        push: Tensor | None,
        push_c: Tensor | None,
        columns: tuple[Tensor, ...],
        hard: Hard,
        alpha_c: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, wide = projected.shape
        size = wide // 4
        slope, offset, low, high, alpha = columns
        p = _spread(p_gate, p_candidate, size)
        new = projected.new_empty
        # u holds the raw gates first; a the activated ones.
        u, v, a = (new(steps, batch, wide) for _ in range(3))
        v_c, h_c = (new(steps, batch, size) for _ in range(2))
        hs, cs = new(steps + 1, batch, size), new(steps + 1, batch, size)
        hs[0], cs[0] = h, c
        t, t_c = (new(0), new(0)) if push is None else (torch.empty_like(v), torch.empty_like(v_c))
        half, half_c = p.abs() / 2, p_candidate.abs() / 2
        weight = weight_hh.t()
        for at in range(steps):
            torch.addmm(projected[at], hs[at], weight, out=u[at])
            torch.addcmul(offset, u[at], slope, out=u[at])
            torch.clamp(u[at], low, high, out=v[at])
            v[at].sub_(u[at])
            torch.addcmul(u[at], v[at], alpha, out=a[at])
            if push is not None:
                torch.mul(v[at], half, out=t[at])
                t[at].tanh_()
                a[at].addcmul_(push[at], t[at].abs().mul_(t[at]))
            i, f, g, o = a[at].split(size, dim=1)
            torch.mul(f, cs[at], out=cs[at + 1])
            now = cs[at + 1].addcmul_(i, g)
            torch.clamp(now, hard.low, hard.high, out=v_c[at])
            v_c[at].sub_(now)
            torch.add(now, v_c[at], alpha=alpha_c, out=h_c[at])
            if push_c is not None:
                torch.mul(v_c[at], half_c, out=t_c[at])
                t_c[at].tanh_()
                h_c[at].addcmul_(push_c[at], t_c[at].abs().mul_(t_c[at]))
            torch.mul(o, h_c[at], out=hs[at + 1])
        ctx.save_for_backward(
            weight_hh, p_gate, p_candidate, push, push_c, v, a, t, v_c, h_c, t_c, hs, cs
        )
        ctx.columns, ctx.alpha_c = columns, alpha_c
        return hs[-1].clone(), cs[-1].clone(), hs[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:  # type: ignore[override]
        weight_hh, p_gate, p_candidate, push, push_c, v, a, t, v_c, h_c, t_c, hs, cs = (
            ctx.saved_tensors
        )
        slope, alpha, alpha_c = ctx.columns[0], ctx.columns[4], ctx.alpha_c
        steps, size = v.shape[0], v.shape[2] // 4
        p = _spread(p_gate, p_candidate, size)
        p_abs, p_c_abs = p.abs(), p_candidate.abs()
        grad_h, grad_c, grad_hs = grads
        grad_h, grad_c = grad_h.clone(), grad_c.clone()
        # By what a unit's gradient is multiplied that its noise does not see: alpha's share.
        kept, kept_c = torch.where(v != 0, 1 - alpha, 1.0), torch.where(v_c != 0, 1 - alpha_c, 1.0)
        raw = torch.empty_like(v)
        pushed = None if push is None else torch.empty_like(v)
        pushed_c = None if push_c is None else torch.empty_like(v_c)
        for at in reversed(range(steps)):
            grad_h.add_(grad_hs[at])
            i, f, g, o = a[at].split(size, dim=1)
            grad_out = grad_h * o
            grad_c.addcmul_(grad_out, kept_c[at])
            if push_c is not None and pushed_c is not None:
                through = torch.ops.aten.tanh_backward(grad_out, t_c[at])
                torch.mul(through.mul_(t_c[at].abs()), push_c[at], out=pushed_c[at])
                grad_c.addcmul_(pushed_c[at], p_c_abs, value=-1)
            grad_a = raw[at]
            torch.mul(grad_c, g, out=grad_a[:, :size])
            torch.mul(grad_c, cs[at], out=grad_a[:, size : 2 * size])
            torch.mul(grad_c, i, out=grad_a[:, 2 * size : 3 * size])
            torch.mul(grad_h, h_c[at], out=grad_a[:, 3 * size :])
            grad_c = grad_c * f
            if push is not None and pushed is not None:
                through = torch.ops.aten.tanh_backward(grad_a, t[at])
                torch.mul(through.mul_(t[at].abs()), push[at], out=pushed[at])
                grad_a.mul_(kept[at]).addcmul_(pushed[at], p_abs, value=-1).mul_(slope)
            else:
                grad_a.mul_(kept[at]).mul_(slope)
            grad_h = grad_a @ weight_hh
        grad_weight = raw.flatten(0, 1).t() @ hs[:-1].flatten(0, 1)
        of_gate = of_candidate = None
        if pushed is not None and pushed_c is not None:
            sums = (pushed * v).sum(dim=(0, 1))
            both = torch.cat([sums[: 2 * size], sums[3 * size :]])
            of_gate = both.sum_to_size(p_gate.shape) * p_gate.sign()
            own = sums[2 * size : 3 * size] + (pushed_c * v_c).sum(dim=(0, 1))
            of_candidate = own.sum_to_size(p_candidate.shape) * p_candidate.sign()
        return raw, grad_h, grad_c, grad_weight, of_gate, of_candidate, *([None] * 5)


def _spread(p_gate: Tensor, p_candidate: Tensor, size: int) -> Tensor:
    """p of the columns i, f, g, o, (4 H,)."""
    gate = p_gate.expand(3 * size)
    return torch.cat([gate[: 2 * size], p_candidate.expand(size), gate[2 * size :]])
