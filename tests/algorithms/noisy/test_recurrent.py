"""LSTM and GRU against torch's own and against a step written out."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from algorithms.noisy import (
    HardSigmoid,
    HardTanh,
    NoisyActivation,
    NoisyGRU,
    NoisyGRUCell,
    NoisyHardSigmoid,
    NoisyHardTanh,
    NoisyLSTM,
    NoisyLSTMCell,
    noisy_parts,
    set_generator,
)
from algorithms.noisy.functions import hard_sigmoid, hard_tanh

SOFT: dict[str, Any] = dict(gate=lambda units: nn.Sigmoid(), candidate=lambda units: nn.Tanh())
HARD: dict[str, Any] = dict(gate=lambda units: HardSigmoid(), candidate=lambda units: HardTanh())
KINDS = pytest.mark.parametrize(("own", "torchs"), [(NoisyLSTM, nn.LSTM), (NoisyGRU, nn.GRU)])
SHAPES = pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(num_layers=2),
        dict(bidirectional=True),
        dict(num_layers=3, bidirectional=True, bias=False),
    ],
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pair(own: Any, torchs: Any, **options: Any) -> tuple[Any, Any]:
    """Ours and torch's, with the same weights."""
    theirs = torchs(5, 7, **options).double()
    ours = own(5, 7, **options, **SOFT).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, PackedSequence):
        found, wanted = tuple(found), tuple(wanted)
    if isinstance(wanted, tuple):
        for one, other in zip(found, wanted, strict=True):
            if other is not None:
                same(one, other)
    else:
        torch.testing.assert_close(found, wanted)


def state(kind: Any, *shape: int) -> Any:
    h = torch.randn(*shape, dtype=torch.float64)
    return (h, torch.randn_like(h)) if kind is NoisyLSTM else h


@KINDS
@SHAPES
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_with_soft_functions_it_is_torchs(
    own: Any, torchs: Any, options: dict[str, Any], batch_first: bool, with_state: bool
):
    ours, theirs = pair(own, torchs, batch_first=batch_first, **options)
    x = torch.randn(*((3, 6) if batch_first else (6, 3)), 5, dtype=torch.float64)
    rows = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    first = state(own, rows, 3, 7) if with_state else None
    same(ours(x, first), theirs(x, first))


@KINDS
@SHAPES
@pytest.mark.parametrize("sorted_already", [True, False])
def test_packed_sequences_are_torchs(
    own: Any, torchs: Any, options: dict[str, Any], sorted_already: bool
):
    ours, theirs = pair(own, torchs, **options)
    lengths = [6, 4, 4, 1] if sorted_already else [4, 1, 6, 4]
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=sorted_already)
    rows = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    for first in (None, state(own, rows, 4, 7)):
        found, wanted = ours(packed, first), theirs(packed, first)
        same(found, wanted)
        same(pad_packed_sequence(found[0]), pad_packed_sequence(wanted[0]))


@KINDS
def test_a_sequence_alone_is_torchs(own: Any, torchs: Any):
    ours, theirs = pair(own, torchs, num_layers=2, batch_first=True)
    x = torch.randn(6, 5, dtype=torch.float64)
    same(ours(x), theirs(x))
    first = state(own, 2, 7)
    same(ours(x, first), theirs(x, first))


@pytest.mark.parametrize("options", [dict(), dict(num_layers=2, bidirectional=True)])
def test_a_projected_lstm_is_torchs(options: dict[str, Any]):
    ours, theirs = pair(NoisyLSTM, nn.LSTM, proj_size=3, **options)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    same(ours(x), theirs(x))


@KINDS
def test_gradients_are_torchs(own: Any, torchs: Any):
    ours, theirs = pair(own, torchs, num_layers=2, bidirectional=True)
    x = torch.randn(5, 3, 5, dtype=torch.float64)
    for module in (ours, theirs):
        module(x)[0].square().sum().backward()
    for (name, one), (_, other) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def lstm_by_hand(x: Tensor, network: NoisyLSTM) -> Tensor:
    """The LSTM's equations with hard functions, one sequence (T, 5) after another unit."""
    size = network.hidden_size
    w_x, w_h = network.weight_ih_l0, network.weight_hh_l0
    bias = network.bias_ih_l0 + network.bias_hh_l0
    h = c = torch.zeros(size)
    outs = []
    for step in x:
        raw = w_x @ step + w_h @ h + bias
        i = hard_sigmoid(raw[:size])
        f = hard_sigmoid(raw[size : 2 * size])
        g = hard_tanh(raw[2 * size : 3 * size])
        o = hard_sigmoid(raw[3 * size :])
        c = f * c + i * g
        h = o * hard_tanh(c)
        outs.append(h)
    return torch.stack(outs)


def gru_by_hand(x: Tensor, network: NoisyGRU) -> Tensor:
    size = network.hidden_size
    h = torch.zeros(size)
    outs = []
    for step in x:
        a = network.weight_ih_l0 @ step + network.bias_ih_l0
        b = network.weight_hh_l0 @ h + network.bias_hh_l0
        r = hard_sigmoid(a[:size] + b[:size])
        z = hard_sigmoid(a[size : 2 * size] + b[size : 2 * size])
        n = hard_tanh(a[2 * size :] + r * b[2 * size :])
        h = (1 - z) * n + z * h
        outs.append(h)
    return torch.stack(outs)


@pytest.mark.parametrize(("kind", "by_hand"), [(NoisyLSTM, lstm_by_hand), (NoisyGRU, gru_by_hand)])
def test_with_hard_functions_it_is_the_step_written_out(kind: Any, by_hand: Any):
    network = kind(5, 4, **HARD)
    for weight in network.parameters():
        nn.init.normal_(weight)  # so that gates saturate
    x = torch.randn(9, 3, 5)
    out, _ = network(x)
    for at in range(3):
        torch.testing.assert_close(out[:, at], by_hand(x[:, at], network))


@pytest.mark.parametrize(
    ("cell", "sequence", "torchs"),
    [(NoisyLSTMCell, NoisyLSTM, nn.LSTMCell), (NoisyGRUCell, NoisyGRU, nn.GRUCell)],
)
def test_a_cell_is_a_step(cell: Any, sequence: Any, torchs: Any):
    ours, theirs = cell(5, 7, **SOFT), torchs(5, 7)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5)
    same(ours(x), theirs(x))
    h = torch.randn(3, 7)
    now = (h, torch.randn(3, 7)) if cell is NoisyLSTMCell else h
    same(ours(x, now), theirs(x, now))
    with pytest.raises(ValueError, match=r"input \(3, 4\): needs \(B, 5\)"):
        ours(x[:, :4])


@pytest.mark.parametrize("kind", [NoisyLSTM, NoisyGRU])
def test_noise_in_training_none_in_evaluation(kind: Any):
    network = kind(5, 7, num_layers=2)
    for module in noisy_parts(network):
        module.set_c(5.0)
    for weight in network.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight)
    x = torch.randn(6, 3, 5)
    assert not torch.equal(network(x)[0], network(x)[0])
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])


def test_each_layer_and_direction_has_activations_of_its_own():
    made: list[int] = []

    def candidate(units: int) -> nn.Module:
        made.append(units)
        return NoisyHardTanh(num_units=units)

    network = NoisyLSTM(5, 7, 2, bidirectional=True, candidate=candidate)
    assert made == [7] * 4
    assert len(list(noisy_parts(network))) == 8


def test_dropout_is_between_layers_only():
    one = NoisyLSTM(5, 7, dropout=0.9, **SOFT)
    x = torch.randn(4, 2, 5)
    assert torch.equal(one(x)[0], one(x)[0])
    two = NoisyLSTM(5, 7, 2, dropout=0.5, **SOFT)
    assert not torch.equal(two(x)[0], two(x)[0])
    assert torch.equal(two.eval()(x)[0], two(x)[0])


def test_what_does_not_fit_is_refused():
    network = NoisyLSTM(5, 7)
    with pytest.raises(ValueError, match=r"input \(4, 2, 6\): needs 5 features"):
        network(torch.zeros(4, 2, 6))
    with pytest.raises(ValueError, match=r"first state is \(1, 3, 7\): needs \(1, 2, 7\)"):
        network(torch.zeros(4, 2, 5), (torch.zeros(1, 3, 7), torch.zeros(1, 3, 7)))
    with pytest.raises(ValueError, match="has no steps"):
        network(torch.zeros(0, 2, 5))
    with pytest.raises(ValueError, match="hidden_size 0"):
        NoisyGRU(5, 0)
    with pytest.raises(ValueError, match="dropout 2"):
        NoisyGRU(5, 3, dropout=2)


def stepwise(network: NoisyLSTM) -> NoisyLSTM:
    """The same network, which goes step by step."""
    other = copy.deepcopy(network)
    other._kernels = lambda name, data: None  # type: ignore[method-assign]
    return other


@pytest.mark.parametrize("options", [dict(), dict(num_layers=2, bidirectional=True)])
@pytest.mark.parametrize(
    ("gate", "candidate"),
    [
        (NoisyHardSigmoid, NoisyHardTanh),
        (HardSigmoid, HardTanh),
        (HardSigmoid, NoisyHardTanh),
        (
            lambda: NoisyHardSigmoid(0.8, c=4, num_units=21),
            lambda: NoisyHardTanh(1.3, c=4, half_normal=True, num_units=7),
        ),
        (lambda: NoisyHardTanh(1.2), lambda: NoisyHardTanh(1.0, c=9)),
    ],
)
def test_a_whole_sequence_is_its_steps(
    gate: Any, candidate: Any, options: dict[str, Any], monkeypatch: Any
):
    """In values and in all gradients, noise being the same everywhere."""
    monkeypatch.setattr(NoisyActivation, "draw", lambda self, noise: noise.fill_(0.7))
    make: dict[str, Any] = dict(gate=lambda units: gate(), candidate=lambda units: candidate())
    whole = NoisyLSTM(5, 7, **options, **make).double()
    for weight in whole.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=0.5)  # so that units saturate, and nothing explodes
    steps = stepwise(whole)
    rows = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    inputs = [torch.randn(6, 3, 5), torch.randn(rows, 3, 7), torch.randn(rows, 3, 7)]
    found = []
    for network in (whole, steps):
        x, h, c = (one.double().clone().requires_grad_() for one in inputs)
        out, last = network(x, (h, c))
        # Also through the states, and not all of the outputs.
        (out[1:5].square().sum() + last[0].sum() + 2 * last[1].square().sum()).backward()
        grads = [one.grad for one in (x, h, c, *network.parameters())]
        found.append([out, *last, *grads])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_whole_sequence_has_noise_of_each_step_and_unit():
    network = NoisyLSTM(5, 7, candidate=lambda units: NoisyHardTanh(c=9, generator=seeded(1)))
    for weight in network.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=3)
    x = torch.randn(1, 1, 5).expand(6, 4, 5)
    first = network(x)[0]
    assert not torch.equal(first, network(x)[0])
    assert not torch.equal(first[:, 0], first[:, 1])
    set_generator(network, seeded(2))
    again = network(x)[0]
    set_generator(network, seeded(2))
    assert torch.equal(network(x)[0], again)


def test_sequences_of_several_lengths_have_noise_too():
    network = NoisyLSTM(5, 7)
    packed = pack_padded_sequence(torch.randn(6, 3, 5), torch.tensor([6, 3, 2]))
    out, _ = network(packed)
    out.data.sum().backward()
    assert all(p.grad is not None for p in network.parameters())
