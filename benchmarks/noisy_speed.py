"""How fast a noisy LSTM learns, against loops over torch's own cells, in one run.

- **lstm**: forward and backward passes of `NoisyLSTM` with noise on, over sequences, against a loop
  over `nn.LSTMCell`, and of `NoisyGRU` against `nn.GRUCell`, in turns.
- **activation**: `NoisyHardTanh`, forward and backward, against `nn.Tanh`.

    python -m benchmarks.noisy_speed --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from algorithms.noisy import NoisyGRU, NoisyHardTanh, NoisyLSTM
from benchmarks.replay import machine

GOALS = {"lstm": "at most 2", "gru": "at most 2"}


def loop(cell: nn.LSTMCell | nn.GRUCell, sequence: Tensor) -> Tensor:
    """Outputs (T, B, H) of a cell, step by step."""
    state: Any = None
    outs = []
    for step in sequence:
        state = cell(step, state)
        outs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outs)


def recurrent(kind: str, sizes: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Seconds of a pass, forward and backward.

    Args:
        kind: lstm or gru.
        sizes: steps, examples, units (as many features go in).
        rounds: turns.
    """
    steps, batch, units = sizes
    torch.manual_seed(0)
    cell = nn.LSTMCell(units, units) if kind == "lstm" else nn.GRUCell(units, units)
    noisy = (NoisyLSTM if kind == "lstm" else NoisyGRU)(units, units)
    sequence = torch.randn(steps, batch, units)
    return _ratio(
        lambda: noisy(sequence)[0].sum().backward(),
        lambda: loop(cell, sequence).sum().backward(),
        rounds,
    )


def activation(rounds: int) -> dict[str, Any]:
    """Seconds of a million units, forward and backward."""
    x = torch.randn(1000, 1000, requires_grad=True)
    noisy, plain = NoisyHardTanh(), nn.Tanh()
    return _ratio(lambda: noisy(x).sum().backward(), lambda: plain(x).sum().backward(), rounds)


def _ratio(own: Callable[[], Any], other: Callable[[], Any], rounds: int) -> dict[str, Any]:
    turns = []
    for at in range(rounds + 1):
        pair = []
        for work in (own, other):
            began = time.perf_counter()
            work()
            pair.append(time.perf_counter() - began)
        if at:  # the first does not count
            turns.append(pair)
    return {
        "arcadia_s": statistics.median(own for own, _ in turns),
        "torch_s": statistics.median(other for _, other in turns),
        "ratio": statistics.median(own / other for own, other in turns),
    }


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns (default: 15)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = machine() | {"torch": torch.__version__, "threads": 1}
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    found: dict[str, dict[str, Any]] = {}
    for kind in ("lstm", "gru"):
        for sizes in ((26, 64, 64), (35, 20, 200), (35, 64, 512)):
            name = f"{kind}_{'x'.join(map(str, sizes))}"
            found[name] = recurrent(kind, sizes, options.rounds)
    found["activation"] = activation(options.rounds)
    for name, values in found.items():
        goal = GOALS.get(name.partition("_")[0])
        shown = ", ".join(f"{k} {v:.4g}" for k, v in values.items())
        print(f"{name}: {shown}" + (f" (goal: {goal})" if goal else ""))
    if options.json:
        ratios = {name: values["ratio"] for name, values in found.items()}
        print(json.dumps({"machine": where, "noisy": found, "ratios": ratios}))


if __name__ == "__main__":
    main()
