"""The Neural Turing Machine: where its heads go, and that it learns."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.noisy import NeuralTuringMachine
from algorithms.noisy.ntm import Addressing, address
from arcadia.errors import UserError


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def wanted(**changes: Any) -> Addressing:
    """By content, and nothing else."""
    numbers: dict[str, Any] = dict(
        key=torch.zeros(1, 2),
        strength=torch.tensor([[1.0]]),
        interpolation=torch.tensor([[1.0]]),
        shift=torch.tensor([[0.0, 1.0, 0.0]]),
        sharpening=torch.tensor([[1.0]]),
    )
    return Addressing(**(numbers | changes))


MEMORY = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]])
FIRST = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def test_by_content_it_is_a_softmax_of_cosines():
    found = address(
        MEMORY, FIRST, wanted(key=torch.tensor([[0.0, 3.0]]), strength=torch.tensor([[2.0]]))
    )
    torch.testing.assert_close(found, torch.tensor([[0.0, 2, 0, -2]]).softmax(dim=1))


@pytest.mark.parametrize(("shift", "at"), [((1, 0, 0), 3), ((0, 1, 0), 0), ((0, 0, 1), 1)])
def test_by_location_it_moves_round_in_a_circle(shift: tuple[float, ...], at: int):
    found = address(
        MEMORY,
        FIRST,
        wanted(interpolation=torch.tensor([[0.0]]), shift=torch.tensor([shift]).float()),
    )
    torch.testing.assert_close(found, F.one_hot(torch.tensor([at]), 4).float(), atol=1e-6, rtol=0)


def test_sharpening_by_hand():
    before = torch.tensor([[0.5, 0.3, 0.2, 0.0]])
    found = address(
        MEMORY,
        before,
        wanted(interpolation=torch.tensor([[0.0]]), sharpening=torch.tensor([[2.0]])),
    )
    squares = before.square()
    torch.testing.assert_close(found, squares / squares.sum(), atol=1e-6, rtol=0)


def test_what_is_written_can_be_read():
    """A full erase and an add at one place; the rest of the memory stays."""
    machine = NeuralTuringMachine(3, 2, hidden_size=4, memory_slots=5, memory_width=2)
    first = machine.first_state(1)
    with torch.no_grad():
        machine.heads.weight.zero_()
        bias: Tensor = machine.heads.bias
        bias.zero_()
        # Both heads stay where they are: no interpolation with content, no shift.
        width, head = 2, 2 + 1 + 1 + 3 + 1
        for at in (0, head):
            bias[at + width + 1] = -50.0
            bias[at + width + 3] = 50.0
        bias[2 * head : 2 * head + width] = 50.0  # erase
        bias[2 * head + width :] = torch.tensor([50.0, -50.0])  # add
    after = machine.step(torch.zeros(1, 3), first)
    torch.testing.assert_close(after.memory[0, 0], torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(after.memory[0, 1:], first.memory[0, 1:])
    torch.testing.assert_close(after.read, torch.tensor([[1.0, -1.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_shapes_states_and_gradients(controller: Any):
    machine = NeuralTuringMachine(
        3, 2, controller=controller, hidden_size=6, memory_slots=7, memory_width=4
    )
    x = torch.randn(5, 2, 3)
    out, last = machine(x)
    assert out.shape == (5, 2, 2) and last.memory.shape == (2, 7, 4)
    for weights in (last.read_weights, last.write_weights):
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    out.square().sum().backward()
    without = [n for n, p in machine.named_parameters() if p.grad is None]
    assert without == ([] if controller == "lstm" else ["first_h", "first_c"])
    machine.eval()
    whole, _ = machine(x)
    half, state = machine(x[:3])
    rest, _ = machine(x[3:], state)
    torch.testing.assert_close(torch.cat([half, rest]), whole)


@pytest.mark.slow
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_it_learns_to_repeat_what_it_saw(controller: Any):
    """Two vectors of three bits, then a flag, then the two again."""
    machine = NeuralTuringMachine(
        4, 3, controller=controller, hidden_size=32, memory_slots=8, memory_width=6
    )
    optimiser = torch.optim.Adam(machine.parameters(), lr=5e-3)
    losses = []
    for _ in range(800):
        bits = torch.randint(0, 2, (2, 32, 3)).float()
        x = torch.zeros(5, 32, 4)
        x[:2, :, :3], x[2, :, 3] = bits, 1
        answers, _ = machine(x)
        loss = F.binary_cross_entropy_with_logits(answers[3:], bits)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(machine.parameters(), 5.0)
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < 0.1


def test_what_means_nothing_is_refused():
    with pytest.raises(UserError, match='controller "gru": must be lstm, feedforward'):
        NeuralTuringMachine(3, 2, controller="gru")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="memory_slots 2"):
        NeuralTuringMachine(3, 2, memory_slots=2)
