"""Drop-ins for `nn.LSTMCell` and `nn.GRUCell`, for what decides after each step what comes next."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.noisy.recurrent import MakeActivation, noisy_candidate, noisy_gate
from algorithms.noisy.steps import gru_step, lstm_step


class _Cell(nn.Module):
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(
        self,
        num_gates: int,
        input_size: int,
        hidden_size: int,
        bias: bool,
        gate: MakeActivation,
        candidate: MakeActivation,
    ):
        super().__init__()
        if min(input_size, hidden_size) < 1:
            raise ValueError(
                f"input_size {input_size}, hidden_size {hidden_size}: must be at least 1"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, nn.Parameter(torch.empty(rows)) if bias else None)
        self.gate = gate((num_gates - 1) * hidden_size)
        self.candidate = candidate(hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew, as torch does; the activations' own stay."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters(recurse=False):
            nn.init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """As it was made."""
        return f"{self.input_size}, {self.hidden_size}"

    def _check(self, input: Tensor) -> None:
        if input.ndim != 2 or input.shape[1] != self.input_size:
            raise ValueError(f"input {tuple(input.shape)}: needs (B, {self.input_size})")


class NoisyLSTMCell(_Cell):
    """Takes the place of `nn.LSTMCell`; `gate` and `candidate` as in `NoisyLSTM`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        gate: MakeActivation = noisy_gate,
        candidate: MakeActivation = noisy_candidate,
    ):
        super().__init__(4, input_size, hidden_size, bias, gate, candidate)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next (h, c), (B, H) both, of an input (B, features)."""
        self._check(input)
        if hx is None:
            zeros = input.new_zeros(len(input), self.hidden_size)
            hx = (zeros, zeros)
        bias = None
        if self.bias_ih is not None and self.bias_hh is not None:
            bias = self.bias_ih + self.bias_hh
        projected = F.linear(input, self.weight_ih, bias)
        return lstm_step(projected, hx, self.weight_hh, self.gate, self.candidate)


class NoisyGRUCell(_Cell):
    """Takes the place of `nn.GRUCell`; `gate` and `candidate` as in `NoisyGRU`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        gate: MakeActivation = noisy_gate,
        candidate: MakeActivation = noisy_candidate,
    ):
        super().__init__(3, input_size, hidden_size, bias, gate, candidate)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next h, (B, H), of an input (B, features)."""
        self._check(input)
        if hx is None:
            hx = input.new_zeros(len(input), self.hidden_size)
        projected = F.linear(input, self.weight_ih, self.bias_ih)
        return gru_step(projected, hx, self.weight_hh, self.bias_hh, self.gate, self.candidate)
