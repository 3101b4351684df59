"""Drop-ins for `nn.LSTM`, `nn.GRU` and their cells, with any activation functions.

Calls, shapes and the names of the weights are torch's, so that its weights can be loaded. With
`gate=lambda units: nn.Sigmoid()` and `candidate=lambda units: nn.Tanh()` they are torch's in every
value, too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from algorithms.noisy import fused
from algorithms.noisy.activations import NoisyHardSigmoid, NoisyHardTanh
from algorithms.noisy.functions import HARD_TANH
from algorithms.noisy.steps import gru_step, lstm_step

MakeActivation = Callable[[int], nn.Module]
"""Makes an activation for so many units."""


def noisy_gate(units: int) -> nn.Module:
    """What gates are by default: `NoisyHardSigmoid()`, one p for all units."""
    return NoisyHardSigmoid()


def noisy_candidate(units: int) -> nn.Module:
    """What candidates are by default: `NoisyHardTanh()`, one p for all units."""
    return NoisyHardTanh()


class _Recurrent(nn.Module, ABC):
    """Layers of one kind of cell, in one or both directions of time."""

    num_gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        gate: MakeActivation,
        candidate: MakeActivation,
    ):
        super().__init__()
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"input_size {input_size}, hidden_size {hidden_size}, num_layers {num_layers}: "
                "must be at least 1"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout {dropout}: must be from 0 to 1")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size {proj_size}: must be from 0 to below hidden_size")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.gates, self.candidates = nn.ModuleDict(), nn.ModuleDict()
        rows, out = self.num_gates * hidden_size, self._out
        for layer in range(num_layers):
            for name in self._directions(layer):
                wide = input_size if layer == 0 else out * (1 + bidirectional)
                shapes = {"weight_ih": (rows, wide), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for kind, shape in shapes.items():
                    self.register_parameter(f"{kind}_{name}", nn.Parameter(torch.empty(shape)))
                self.gates[name] = gate((self.num_gates - 1) * hidden_size)
                self.candidates[name] = candidate(hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew, as torch does; the activations' own stay."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters(recurse=False):
            nn.init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: there is no cuDNN to make ready for."""

    def extra_repr(self) -> str:
        """As it was made."""
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"

    @property
    def _out(self) -> int:
        """Length of a step's h."""
        return self.proj_size or self.hidden_size

    def _directions(self, layer: int) -> list[str]:
        return [f"l{layer}"] + ([f"l{layer}_reverse"] if self.bidirectional else [])

    def _carry_out(
        self, sequence: Tensor | PackedSequence, states: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """As `forward`, with the states as a tuple.

        A packed sequence holds the examples of a step behind those of the step before, the longest
        first; a padded one is made to look like it, with all of them in every step.
        """
        if isinstance(sequence, PackedSequence):
            data, batch_sizes, order, back = sequence
            self._check(data, 2)
            sizes, num = batch_sizes.tolist(), int(batch_sizes[0])
            is_single = False
        else:
            is_single = sequence.ndim == 2
            self._check(sequence, 2 if is_single else 3)
            order = back = None
            padded = sequence.unsqueeze(1) if is_single else sequence
            if self.batch_first and not is_single:
                padded = padded.transpose(0, 1)
            steps, num = padded.shape[:2]
            if steps == 0:
                raise ValueError(f"a sequence {tuple(sequence.shape)} has no steps")
            data, sizes = padded.reshape(steps * num, -1), [num] * steps
        at_first = self._first_states(states, num, data, order, is_single=is_single)
        out, last = self._through_layers(data, sizes, at_first)
        if back is not None:
            last = tuple(state.index_select(1, back) for state in last)
        if isinstance(sequence, PackedSequence):
            return PackedSequence(out, sequence.batch_sizes, order, back), last
        out = out.view(len(sizes), num, -1)
        if is_single:
            return out.squeeze(1), tuple(state.squeeze(1) for state in last)
        return (out.transpose(0, 1) if self.batch_first else out), last

    def _through_layers(
        self, data: Tensor, sizes: Sequence[int], at_first: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outs = []
            for name in self._directions(layer):
                state = tuple(first[len(last)] for first in at_first)
                out, state = self._through_time(name, data, sizes, state)
                outs.append(out)
                last.append(state)
            data = outs[0] if len(outs) == 1 else torch.cat(outs, dim=1)
            if layer < self.num_layers - 1:
                data = F.dropout(data, self.dropout, self.training)
        return data, tuple(torch.stack(states) for states in zip(*last, strict=True))

    def _through_time(
        self, name: str, data: Tensor, sizes: Sequence[int], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer in one direction. Examples end (or, backwards, begin) on the way."""
        chunks = self._projected(name, data).split(list(sizes))
        if name.endswith("_reverse"):
            outs, now = [], tuple(s[: sizes[-1]] for s in state)
            for chunk in reversed(chunks):
                if len(chunk) > len(now[0]):
                    pairs = zip(now, state, strict=True)
                    now = tuple(torch.cat([s, first[len(s) : len(chunk)]]) for s, first in pairs)
                now = self._step(name, chunk, now)
                outs.append(now[0])
            return torch.cat(outs[::-1]), now
        outs, now, ended = [], state, []
        for chunk in chunks:
            if len(chunk) < len(now[0]):
                ended.append(tuple(s[len(chunk) :] for s in now))
                now = tuple(s[: len(chunk)] for s in now)
            now = self._step(name, chunk, now)
            outs.append(now[0])
        if ended:
            now = tuple(torch.cat(parts) for parts in zip(now, *ended[::-1], strict=True))
        return torch.cat(outs), now

    def _projected(self, name: str, data: Tensor) -> Tensor:
        """What the inputs of all steps add, at once."""
        bias = self._weight("bias_ih", name) if self.bias else None
        return F.linear(data, self._weight("weight_ih", name), bias)

    def _weight(self, kind: str, name: str) -> Tensor:
        return getattr(self, f"{kind}_{name}")

    @abstractmethod
    def _step(self, name: str, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after one more step."""

    @abstractmethod
    def _state_sizes(self) -> tuple[int, ...]:
        """Lengths of the vectors that a state has."""

    def _first_states(
        self,
        states: tuple[Tensor, ...] | None,
        num: int,
        data: Tensor,
        order: Tensor | None,
        *,
        is_single: bool,
    ) -> tuple[Tensor, ...]:
        rows = self.num_layers * (1 + self.bidirectional)
        sizes = self._state_sizes()
        if states is None:
            return tuple(data.new_zeros(rows, num, size) for size in sizes)
        made = []
        for state, size in zip(states, sizes, strict=True):
            wanted = (rows, size) if is_single else (rows, num, size)
            if state.shape != wanted:
                raise ValueError(f"a first state is {tuple(state.shape)}: needs {wanted}")
            state = state.unsqueeze(1) if is_single else state
            made.append(state if order is None else state.index_select(1, order))
        return tuple(made)

    def _check(self, data: Tensor, ndim: int) -> None:
        if data.ndim != ndim or data.shape[-1] != self.input_size:
            raise ValueError(
                f"input {tuple(data.shape)}: needs {self.input_size} features in the last of 2 "
                "axes (one sequence) or 3"
            )


class NoisyLSTM(_Recurrent):
    """Takes the place of `nn.LSTM`.

    Args:
        input_size: features of a step.
        hidden_size: H.
        num_layers: each reads what the one before gives out.
        bias: two biases a gate, as torch has.
        batch_first: sequences are (B, T, features), not (T, B, features).
        dropout: of what goes from layer to layer, in training mode.
        bidirectional: half of the output is from a second one that reads backwards.
        proj_size: length that h is projected to; 0: it is not.
        gate: makes the activation of the gates i, f and o of a layer, for their 3 H units.
        candidate: makes the activation of the candidate, and of the cell as it leaves; for H units.

    Raises:
        ValueError: a size or the dropout is out of range.
    """

    num_gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        gate: MakeActivation = noisy_gate,
        candidate: MakeActivation = noisy_candidate,
    ):
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            gate,
            candidate,
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """As `nn.LSTM`: the outputs of all steps, packed when the input is, and the last (h, c)."""
        out, last = self._carry_out(input, hx)
        return out, (last[0], last[1])

    def _through_time(
        self, name: str, data: Tensor, sizes: Sequence[int], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        kernels = self._kernels(name, data)
        if kernels is None or sizes[0] != sizes[-1]:
            return super()._through_time(name, data, sizes, state)
        projected = self._projected(name, data).view(len(sizes), sizes[0], -1)
        if is_reverse := name.endswith("_reverse"):
            projected = projected.flip(0)
        weight_hh = self._weight("weight_hh", name)
        out, state = fused.lstm(projected, (state[0], state[1]), weight_hh, *kernels)
        return (out.flip(0) if is_reverse else out).flatten(0, 1), state

    def _kernels(self, name: str, data: Tensor) -> tuple[fused.Kernel, fused.Kernel] | None:
        """How the activations are computed over a whole sequence; None: step by step."""
        is_plain = data.dtype in (torch.float32, torch.float64) and not self.proj_size
        if (
            not is_plain
            or not torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or torch.is_autocast_enabled(data.device.type)
        ):
            return None
        gate = fused.kernel_of(self.gates[name])
        candidate = fused.kernel_of(self.candidates[name])
        # Its own output is what a cell's candidate is, too: a slope of 1 is taken for granted.
        if gate is None or candidate is None or candidate.hard != HARD_TANH:
            return None
        return gate, candidate

    def _step(self, name: str, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        weight_hr = self._weight("weight_hr", name) if self.proj_size else None
        weight_hh = self._weight("weight_hh", name)
        gate, candidate = self.gates[name], self.candidates[name]
        return lstm_step(projected, (state[0], state[1]), weight_hh, gate, candidate, weight_hr)

    def _projected(self, name: str, data: Tensor) -> Tensor:
        bias = None
        if self.bias:
            bias = self._weight("bias_ih", name) + self._weight("bias_hh", name)
        return F.linear(data, self._weight("weight_ih", name), bias)

    def _state_sizes(self) -> tuple[int, ...]:
        return self._out, self.hidden_size


class NoisyGRU(_Recurrent):
    """Takes the place of `nn.GRU`; the arguments are those of `NoisyLSTM`, where `gate` makes the
    activation of r and z, for 2 H units."""

    num_gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        gate: MakeActivation = noisy_gate,
        candidate: MakeActivation = noisy_candidate,
    ):
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            gate,
            candidate,
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """As `nn.GRU`: the outputs of all steps, packed when the input is, and the last h."""
        out, last = self._carry_out(input, None if hx is None else (hx,))
        return out, last[0]

    def _step(self, name: str, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        bias_hh = self._weight("bias_hh", name) if self.bias else None
        weight_hh = self._weight("weight_hh", name)
        gate, candidate = self.gates[name], self.candidates[name]
        return (gru_step(projected, state[0], weight_hh, bias_hh, gate, candidate),)

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)
