"""A Neural Turing Machine (Graves, Wayne, Danihelka 2014) with one head that reads and one that
writes, and any activation functions in its controller.

    input, what was read before -> controller -> heads: where to write and what, where to read
                                       |                        |
                                       +--------> output <------+ what is read now
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.noisy.cells import NoisyLSTMCell
from algorithms.noisy.config import check_choice
from algorithms.noisy.recurrent import MakeActivation, noisy_candidate, noisy_gate

Controller = Literal["lstm", "feedforward"]

_SHIFTS = 3  # a head stays, or goes one place back or on


class NTMState(NamedTuple):
    """Between two steps."""

    memory: Tensor
    """(B, N, M)."""
    read_weights: Tensor
    """(B, N), at least 0 and 1 together."""
    write_weights: Tensor
    """(B, N), likewise."""
    read: Tensor
    """(B, M), what was read."""
    h: Tensor
    """(B, H), of an LSTM; a feed-forward controller leaves it as it is."""
    c: Tensor
    """(B, H), likewise."""


class Addressing(NamedTuple):
    """Where a head goes, as its controller wants it (section 3.3)."""

    key: Tensor
    """(B, M)."""
    strength: Tensor
    """(B, 1), beta, at least 0."""
    interpolation: Tensor
    """(B, 1), g from 0 (where the head was) to 1 (by content)."""
    shift: Tensor
    """(B, 3), how much of it goes one place back, stays, goes one on; 1 together."""
    sharpening: Tensor
    """(B, 1), gamma, at least 1."""


def address(memory: Tensor, before: Tensor, wanted: Addressing) -> Tensor:
    """The weights (B, N) of a head over the memory (B, N, M), from those before (B, N): by content
    (equations 5 and 6), then by location (7 to 9)."""
    similarity = F.cosine_similarity(memory, wanted.key.unsqueeze(1), dim=2, eps=1e-6)
    by_content = torch.softmax(wanted.strength * similarity, dim=1)
    gated = torch.lerp(before, by_content, wanted.interpolation)
    back, stay, on = wanted.shift.split(1, dim=1)
    moved = back * gated.roll(-1, 1) + stay * gated + on * gated.roll(1, 1)
    # As a softmax of logarithms: no power underflows.
    return torch.softmax(wanted.sharpening * moved.clamp_min(1e-16).log(), dim=1)


class NeuralTuringMachine(nn.Module):
    """Reads a sequence and answers at every step.

    Args:
        input_size: features of a step.
        output_size: of an answer; what it means is the caller's affair (logits, say).
        controller: lstm or feedforward.
        hidden_size: H of the controller.
        memory_slots: N.
        memory_width: M.
        gate: of the LSTM's gates; see `NoisyLSTM`.
        candidate: of the LSTM's candidate and cell, or of the feed-forward layer's units.

    Raises:
        ValueError: a size is below 1; fewer than 3 slots.
        UserError: no such controller.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        controller: Controller = "lstm",
        hidden_size: int = 100,
        memory_slots: int = 128,
        memory_width: int = 20,
        gate: MakeActivation = noisy_gate,
        candidate: MakeActivation = noisy_candidate,
    ):
        super().__init__()
        check_choice("controller", controller, Controller)
        sizes = (input_size, output_size, hidden_size, memory_width)
        if min(sizes) < 1 or memory_slots < _SHIFTS:
            raise ValueError(f"sizes {sizes} must be at least 1, memory_slots {memory_slots} at 3")
        self.memory_slots, self.memory_width = memory_slots, memory_width
        self.hidden_size = hidden_size
        seen = input_size + memory_width
        self.controller: nn.Module
        if controller == "lstm":
            self.controller = NoisyLSTMCell(seen, hidden_size, gate=gate, candidate=candidate)
        else:
            self.controller = nn.Sequential(nn.Linear(seen, hidden_size), candidate(hidden_size))
        # key, strength, interpolation, shift, sharpening of each head; erase and add.
        self._sizes = [memory_width, 1, 1, _SHIFTS, 1] * 2 + [memory_width] * 2
        self.heads = nn.Linear(hidden_size, sum(self._sizes))
        self.answer = nn.Linear(hidden_size + memory_width, output_size)
        self.first_read = nn.Parameter(torch.zeros(memory_width))
        self.first_h = nn.Parameter(torch.zeros(hidden_size))
        self.first_c = nn.Parameter(torch.zeros(hidden_size))
        for weight in (self.heads.weight, self.answer.weight):
            nn.init.xavier_uniform_(weight)
        for bias in (self.heads.bias, self.answer.bias):
            nn.init.zeros_(bias)

    def first_state(self, batch_size: int) -> NTMState:
        """Before the first step: an even memory, heads at its first place."""
        like = self.first_read
        weights = like.new_zeros(batch_size, self.memory_slots)
        weights[:, 0] = 1
        return NTMState(
            memory=like.new_full((batch_size, self.memory_slots, self.memory_width), 1e-6),
            read_weights=weights,
            write_weights=weights,
            read=self.first_read.tanh().expand(batch_size, -1),
            h=self.first_h.expand(batch_size, -1),
            c=self.first_c.expand(batch_size, -1),
        )

    def forward(self, sequence: Tensor, state: NTMState | None = None) -> tuple[Tensor, NTMState]:
        """Answers (T, B, output_size) to a sequence (T, B, input_size), and the last state."""
        if state is None:
            state = self.first_state(sequence.shape[1])
        seen = []
        for step in sequence:
            state = self.step(step, state)
            seen.append(torch.cat([state.h, state.read], dim=1))
        return self.answer(torch.stack(seen)), state

    def step(self, input: Tensor, state: NTMState) -> NTMState:
        """The state after one more step (B, input_size)."""
        seen = torch.cat([input, state.read], dim=1)
        if isinstance(self.controller, NoisyLSTMCell):
            h, c = self.controller(seen, (state.h, state.c))
        else:
            h, c = self.controller(seen), state.c
        wanted = self.heads(h).split(self._sizes, dim=1)
        erase, add = torch.sigmoid(wanted[10]), torch.tanh(wanted[11])
        write = address(state.memory, state.write_weights, _addressing(wanted[5:10]))
        over = write.unsqueeze(2)
        memory = state.memory * (1 - over * erase.unsqueeze(1)) + over * add.unsqueeze(1)
        weights = address(memory, state.read_weights, _addressing(wanted[:5]))
        read = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
        return NTMState(memory, weights, write, read, h, c)


def _addressing(raw: tuple[Tensor, ...]) -> Addressing:
    """What a head's numbers mean."""
    key, strength, interpolation, shift, sharpening = raw
    return Addressing(
        key=torch.tanh(key),
        strength=F.softplus(strength),
        interpolation=torch.sigmoid(interpolation),
        shift=torch.softmax(shift, dim=1),
        sharpening=1 + F.softplus(sharpening),
    )
