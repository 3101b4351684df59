"""One step of training on one device, alone or as one of several workers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from algorithms.noisy import Annealing
from arcadia.nested_files import on_cpu
from arcadia.precision import dtype_on
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.task import Batch, Carry, Task, moved, summed_totals


class Learner:
    """A task's network, its optimiser, the schedule of its noise, and their state.

    Noise and dropout are drawn from seeds of the step's own, so that a training that goes on draws
    what the straight one does.

    Args:
        task: what is learnt, and how: its options.
        device: where.
        seed: of the first weights, the same on all workers, and of the noise.
        worker: which of the workers this is.
        num_workers: that train together, over torch's process group.
    """

    def __init__(
        self,
        task: Task,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        worker: int = 0,
        num_workers: int = 1,
    ):
        options = task.options
        self._task, self._options = task, options
        self.device = torch.device(device)
        self._seed, self._worker = seed, worker
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network: nn.Module = task.make_network()
        self.network.to(self.device)
        self._trained = self.network
        if num_workers > 1:
            on_gpu = self.device.type == "cuda"
            self._trained = DistributedDataParallel(
                self.network, device_ids=[self.device] if on_gpu else None
            )
        assert options.steps is not None
        schedule = options.schedule(options.steps)
        self.annealing = None if schedule is None else Annealing(self.network, schedule)
        self._optimiser = _optimiser(self.network, options)
        self._dtype = dtype_on(self.device, options.precision)
        self._scaler = torch.amp.GradScaler(
            self.device.type,
            enabled=self._dtype == torch.float16 and self.device.type == "cuda",
        )
        self._trained.train()
        self.carry: Carry | None = None
        """What this worker's examples go on with."""

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """Goes one step down the losses of this worker's examples.

        Args:
            number: of the step, from 0 on.
            batch: the examples.

        Returns:
            `loss`, their mean, and `gradient_norm`, before it was scaled down; scalars on the
            device.
        """
        options, optimiser, scaler = self._options, self._optimiser, self._scaler
        assert options.learning_rate is not None and options.max_gradient_norm is not None
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * self._rate(number)
        if self._task.begins_anew(number):
            self.carry = None
        with self._drawing(number), self._autocast():
            losses, carry = self._task.losses_from(
                self._trained, moved(batch, self.device), self.carry
            )
        self.carry = carry or None
        loss = losses.mean()
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), options.max_gradient_norm)
        scaler.step(optimiser)
        scaler.update()
        if self.annealing is not None:
            self.annealing.step()
        return {"loss": loss.detach(), "gradient_norm": norm.detach()}

    def totals(self, batches: Iterator[Batch]) -> Tensor:
        """The task's totals of examples, added up, on the CPU; without noise."""
        self._trained.eval()
        try:
            with torch.no_grad(), self._autocast():
                return summed_totals(
                    self._task, self.network, (moved(batch, self.device) for batch in batches)
                ).cpu()
        finally:
            self._trained.train()

    def state(self) -> dict[str, Any]:
        """All that going on takes."""
        return {
            "network": on_cpu(self.network.state_dict()),
            "optimiser": on_cpu(self._optimiser.state_dict()),
            "scaler": self._scaler.state_dict(),
            "annealing": None if self.annealing is None else self.annealing.get_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        if self.annealing is not None:
            self.annealing.set_state(state["annealing"])

    def _rate(self, number: int) -> float:
        """Share of the learning rate that a step has."""
        assert self._options.steps is not None
        done = number / self._options.steps
        if self._options.lr_schedule == "linear":
            return 1 - done
        if self._options.lr_schedule == "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        return 1.0

    @contextlib.contextmanager
    def _drawing(self, number: int) -> Iterator[None]:
        """Lets torch's random numbers be those of a step of this worker."""
        on_gpu = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if on_gpu else []):
            words = np.random.SeedSequence((self._seed, self._worker, number)).generate_state(1)
            torch.manual_seed(int(words[0]))
            yield

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._dtype)


def _optimiser(network: nn.Module, options: SequenceOptions) -> torch.optim.Optimizer:
    assert options.learning_rate is not None
    kind = torch.optim.Adam if options.optimizer == "adam" else torch.optim.SGD
    return kind(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
