"""Drop-ins for `nn.Tanh` and `nn.Sigmoid`: hard functions with noise while a network learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from algorithms.noisy.config import Form, check_choice, check_strength
from algorithms.noisy.functions import (
    HALF_NORMAL_MEAN,
    HARD_SIGMOID,
    HARD_TANH,
    Hard,
    basic,
    noisy,
    noisy_input,
    noisy_saturated_input,
    sigma,
)


class Others(TypedDict, total=False):
    """What `NoisyHardTanh` and `NoisyHardSigmoid` take by name; see `NoisyActivation`."""

    form: Form
    num_units: int | None
    dim: int
    mean: float
    generator: torch.Generator | None


class NoisyActivation(nn.Module):
    """A hard function with noise; `NoisyHardTanh` and `NoisyHardSigmoid` are what to make.

    In training mode every call draws noise; in evaluation mode its mean takes its place, which for
    noise on the input means h(x).

    Args:
        hard: the function.
        alpha: of the formula, above 0. Above 1 the mean bends back where the function is flat,
            below 1 it goes on with a slope of 1 - alpha; at 1 it is the hard function, and has no
            noise in the form `output`.
        c: how much noise, at least 0: sigma is at most c / 4 in the forms `output` and `basic`. On
            the input it is the standard deviation itself; learned, it is c at the beginning and
            from 0 to 2 c later on.
        half_normal: take the noise's absolute value. On the input it then pushes towards 0.
        form: where the noise goes.
        num_units: how many p are learned, one for each index of `dim`; None: one for all.
        dim: axis of the units.
        mean: of the form `basic`, added always.
        generator: of the noise; None: torch's own. It belongs to no state: save it yourself.

    Attributes:
        c: 0-dimensional buffer; `set_c` and `Annealing` change it, checkpoints hold it.
        p: learned; uniform in -1 to 1 at first. Absent where nothing is learned.

    Raises:
        UserError: alpha, c or form is out of range.
    """

    p: nn.Parameter | None
    c: Tensor

    def __init__(
        self,
        hard: Hard,
        alpha: float,
        c: float,
        half_normal: bool,
        *,
        form: Form = "output",
        num_units: int | None = None,
        dim: int = -1,
        mean: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_choice("form", form, Form)
        check_strength(alpha, c)
        self.hard, self.alpha, self.half_normal, self.form = hard, alpha, half_normal, form
        self.dim, self.mean, self.generator = dim, mean, generator
        self.register_buffer("c", torch.tensor(float(c)))
        if form in ("output", "basic", "learned_input"):
            self.p = nn.Parameter(torch.empty(() if num_units is None else (num_units,)))
        else:
            self.register_parameter("p", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws p anew."""
        if self.p is None:
            return
        if self.form == "learned_input":
            nn.init.zeros_(self.p)  # 2 sigmoid(0) is 1: c itself
        else:
            nn.init.uniform_(self.p, -1, 1, generator=self.generator)

    @property
    def direction(self) -> int:
        """Of the noise in the form `output`: sgn(1 - alpha)."""
        return (self.alpha < 1) - (self.alpha > 1)

    def draw(self, noise: Tensor) -> Tensor:
        """Fills a tensor with noise, in place."""
        noise.normal_(generator=self.generator)
        return noise.abs_() if self.half_normal else noise

    def set_c(self, c: float) -> None:
        """Changes how much noise there is.

        Raises:
            UserError: it is below 0.
        """
        check_strength(self.alpha, c)
        self.c.fill_(c)

    def forward(self, x: Tensor) -> Tensor:
        """Of floats (*), as many; in float32 or finer inside, whatever x has."""
        if x.dtype in (torch.float16, torch.bfloat16):
            return self._of(x.float()).to(x.dtype)
        return self._of(x)

    def extra_repr(self) -> str:
        """As it was made, with the c of now."""
        units = "" if self.p is None or not self.p.shape else f", num_units={self.p.numel()}"
        return (
            f"alpha={self.alpha:g}, c={self.c.item():g}, half_normal={self.half_normal}, "
            f'form="{self.form}"{units}'
        )

    def _of(self, x: Tensor) -> Tensor:
        if not self.training:
            return self._expected(x)
        if self.form in ("output", "basic"):
            noise = self._noise(x)
            p, c = self._of_units(x), self.c.to(x.dtype)
            if self.form == "output":
                return noisy(x, p, noise, c, alpha=self.alpha, hard=self.hard)
            return basic(x, p, noise, c, mean=self.mean, hard=self.hard)
        noise, scale = self._noise(x), self.c.to(x.dtype)
        if self.half_normal:
            noise = -torch.sign(x) * noise
        if self.form == "saturated_input":
            return noisy_saturated_input(x, noise, scale, hard=self.hard)
        if self.form == "learned_input":
            scale = 2 * scale * torch.sigmoid(self._of_units(x))
        return noisy_input(x, noise, scale, hard=self.hard)

    def _expected(self, x: Tensor) -> Tensor:
        """In plain operations, which exporters know."""
        h = self.hard(x)
        if self.form not in ("output", "basic"):
            return h
        v = h - self.hard.expansion(x)
        # At alpha = 1 there is no noise in the form "output".
        direction = self.direction if self.form == "output" else 1
        pushed: Tensor | float = 0.0
        if self.half_normal and direction:
            push = direction * HALF_NORMAL_MEAN
            pushed = push * sigma(v, self._of_units(x), self.c.to(x.dtype))
            if self.form == "output":
                pushed = torch.sign(v) * pushed
        if self.form == "basic":
            return h + self.mean + pushed
        return h + (self.alpha - 1) * v + pushed

    def _noise(self, x: Tensor) -> Tensor:
        return self.draw(torch.empty_like(x))

    def _of_units(self, x: Tensor) -> Tensor:
        """p, where x has its units."""
        assert self.p is not None
        p = self.p.to(x.dtype)
        if not p.shape or self.dim in (-1, x.ndim - 1):
            return p
        shape = [1] * x.ndim
        shape[self.dim] = p.numel()
        return p.view(shape)


class NoisyHardTanh(NoisyActivation):
    """Takes the place of `nn.Tanh`; `NoisyActivation` says what the arguments are.

    The defaults are those of the authors' code.
    """

    def __init__(
        self,
        alpha: float = 1.15,
        c: float = 0.5,
        half_normal: bool = False,
        **others: Unpack[Others],
    ):
        super().__init__(HARD_TANH, alpha, c, half_normal, **others)


class NoisyHardSigmoid(NoisyActivation):
    """Takes the place of `nn.Sigmoid`; `NoisyActivation` says what the arguments are.

    The defaults are those of the authors' code.
    """

    def __init__(
        self,
        alpha: float = 1.1,
        c: float = 0.15,
        half_normal: bool = True,
        **others: Unpack[Others],
    ):
        super().__init__(HARD_SIGMOID, alpha, c, half_normal, **others)


class HardTanh(nn.Module):
    """`hard_tanh` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Of floats (*), as many."""
        return HARD_TANH(x)


class HardSigmoid(nn.Module):
    """`hard_sigmoid` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Of floats (*), as many."""
        return HARD_SIGMOID(x)


def noisy_parts(network: nn.Module) -> Iterator[NoisyActivation]:
    """The noisy activations in a network."""
    return (module for module in network.modules() if isinstance(module, NoisyActivation))


def set_c(network: nn.Module, c: float) -> None:
    """Changes how much noise all of a network has."""
    for module in noisy_parts(network):
        module.set_c(c)


@contextlib.contextmanager
def without_noise(*networks: nn.Module) -> Iterator[None]:
    """Lets the noisy activations of networks have their expectation for a while."""
    noisy = [m for network in networks for m in noisy_parts(network) if m.training]
    for module in noisy:
        module.training = False
    try:
        yield
    finally:
        for module in noisy:
            module.training = True


def set_generator(network: nn.Module, generator: torch.Generator | None) -> None:
    """Lets all noise of a network come from one generator."""
    for module in noisy_parts(network):
        module.generator = generator
