"""Finding the picture of least loss: L-BFGS as in the paper, or Adam where memory is short.

Ruder et al. 2016, section 5.1 and the authors' code: L-BFGS with a history of 100 and a step of 1
without line search, ended when the loss has changed by less than 1e-4 of itself over 50 iterations.
`torch.optim.LBFGS` knows absolute tolerances only, and in float32 those end a frame after two
iterations: both are 0 here, and the rule is applied between calls, over which its history lasts.

Without line search a step of L-BFGS may leap far away. A search that is far away at the end of a
window of iterations, or after its last step, gives the best picture that it came by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.stylization.config import OptimiserName

Backward = Callable[[Tensor], Tensor]
"""Of a picture that requires a gradient: adds to its `.grad`, answers the loss, a scalar."""

LEAP = 10.0
"""A loss of L-BFGS this many times what it was before is no step of a search any more."""


@dataclass(frozen=True, kw_only=True)
class OptimiserOptions:
    """How a picture is searched for."""

    name: OptimiserName = "lbfgs"
    history: int = 100
    """Pairs of vectors that L-BFGS keeps, each of the picture's size in float32."""
    learning_rate: float = 1.0
    """Step of L-BFGS; for Adam in units of the pictures' 0..255."""
    stop_change: float = 1e-4
    """Relative change of the loss over `stop_window` iterations below which a picture is done; 0
    never."""
    stop_window: int = 50


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the search ended."""

    image: Tensor
    """(1, 3, H, W) float32, not clipped."""
    iterations: int
    """Gradients that steps were made from."""
    losses: list[float]
    """The loss at each."""
    diverged: bool
    """Whether the loss ceased to be finite or leapt: the picture is then that of the least loss."""


def minimise(
    backward: Backward,
    start: Tensor,
    iterations: int,
    options: OptimiserOptions,
    check: Callable[[int], None] = lambda iteration: None,
) -> Found:
    """Searches from `start`.

    The last call of `backward` is of the picture where the search ended, unless it diverged.

    Args:
        backward: the loss and its gradient.
        start: (1, 3, H, W) float32, not changed.
        iterations: at most so many.
        options: how.
        check: called before each iteration with its number; what it raises ends the search.
    """
    image = start.detach().clone().contiguous().requires_grad_(True)
    optimiser = _optimiser(image, options)
    history: list[Tensor] = []
    best, least = start.detach().clone(), torch.full((), math.inf, device=start.device)

    def closure() -> Tensor:
        check(len(history))
        image.grad = None
        loss = backward(image).detach()
        history.append(loss)
        # Without asking what it is, which would have a GPU wait.
        best.copy_(torch.where(loss < least, image.detach(), best))
        least.copy_(torch.fmin(loss, least))
        return loss

    losses: list[float] = []
    while len(losses) < iterations and not has_settled(losses, options):
        since = len(losses)
        _advance(optimiser, closure, min(options.stop_window, iterations - since))
        losses += torch.stack(history[since:]).tolist()
        if _is_lost(losses[since:], options):
            return Found(image=best, iterations=len(losses), losses=losses, diverged=True)
    # Where the last step led is not known yet.
    image.grad = None
    diverged = _is_lost([losses[-1], float(backward(image).detach())], options)
    found = best if diverged else image.detach()
    return Found(image=found, iterations=len(losses), losses=losses, diverged=diverged)


def _is_lost(losses: list[float], options: OptimiserOptions) -> bool:
    """Whether a search is over with these losses, one after another."""
    has_leapt = options.name == "lbfgs" and losses[-1] > LEAP * losses[0]
    return has_leapt or not math.isfinite(sum(losses))


def has_settled(losses: list[float], options: OptimiserOptions) -> bool:
    """Whether the loss has changed by less than `stop_change` of itself over the last window."""
    if len(losses) <= options.stop_window:
        return False
    earlier, now = losses[-1 - options.stop_window], losses[-1]
    return abs(now - earlier) < options.stop_change * abs(earlier)


def _optimiser(image: Tensor, options: OptimiserOptions) -> torch.optim.Optimizer:
    if options.name == "adam":
        return torch.optim.Adam([image], lr=options.learning_rate)
    return torch.optim.LBFGS(
        [image],
        lr=options.learning_rate,
        history_size=options.history,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn=None,
    )


def _advance(
    optimiser: torch.optim.Optimizer, closure: Callable[[], Tensor], iterations: int
) -> None:
    if isinstance(optimiser, torch.optim.LBFGS):
        # One gradient an iteration: the last of a call is computed by the next one.
        group = optimiser.param_groups[0]
        group["max_iter"], group["max_eval"] = iterations, 2 * iterations
        optimiser.step(closure)
        return
    for _ in range(iterations):
        closure()
        optimiser.step()
