"""Minibatch updates of one Q-network: what a learner does for each network that it trains."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from algorithms.dqn.losses import LOSSES, categorical_q_learning, q_learning_td
from algorithms.dqn.networks import DQNModule
from algorithms.noisy.activations import set_c
from algorithms.replay.batch import Batch

if TYPE_CHECKING:
    from algorithms.dqn.options import DQNOptions

_MAX_Q_BATCH = 128  # states a forward pass, so that many states need little memory
_ROWS = ("planes_tm1", "planes_t", "a_tm1", "r_t", "discount_t", "goal", "weight")


class QUpdates:
    """Makes updates, several minibatches a call, everything counted per minibatch.

    RLlib's `Learner.update` costs as much as a small network's update itself, and moves a target
    network once a call, however many minibatches the call held. This is the thin loop instead.

    Args:
        options: How the network is learned.
        module: The network and its target.
        forward_train: Calls the module, through DDP where several learners average gradients.
        optimizer: Of the online network.
        device: Where the module is.

    Attributes:
        num_updates: Minibatch updates made since it was built or restored.
    """

    def __init__(
        self,
        options: DQNOptions,
        module: DQNModule,
        forward_train: Any,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
    ) -> None:
        self.options, self.module, self.optimizer = options, module, optimizer
        self._forward_train, self._device = forward_train, device
        self._autocast = options.autocast == "bf16" or (
            options.autocast == "auto" and _computes_in_bfloat16(device)
        )
        self.num_updates = 0
        self._schedule = options.schedule(options.num_updates)
        self._set_noise()
        if options.channels_last:
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if options.compile:
            for network in module.children():
                network.compile()
                if network.num_atoms > 1:  # which the loss takes apart, and calls itself
                    network.outputs = torch.compile(network.outputs)

    def update_minibatches(
        self, batch: Batch, num_minibatches: int, lr: float | None = None
    ) -> tuple[dict[str, float], np.ndarray]:
        """Makes `num_minibatches` updates, one after another, from equal parts of `batch`.

        Args:
            batch: num_minibatches * M transitions; each counts by its `weight`.
            num_minibatches: how many updates.
            lr: the learning rate from now on; None: as it is.

        Returns:
            Means over the call: `loss`, `td_error_abs` (|target - prediction| of the mean returns),
            `q` (value of the actions taken) and, where gradients are clipped, `grad_norm` before
            it; and `lr`, `num_updates`, made since the learner was built or restored, and, where it
            falls, `noise_c`, of the activations.
            (num_minibatches * M,) float32, how wrong the value of each transition was, at least 0:
            |target - prediction|, with several atoms the divergence from the target.

        Raises:
            FloatingPointError: the loss is no finite number any more.
        """
        options, optimizer = self.options, self.optimizer
        frames, rows = self._to_device(batch)
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr
        chunks = {name: t.chunk(num_minibatches) for name, t in rows.items()}
        params = optimizer.param_groups[0]["params"]
        told: dict[str, list[Tensor]] = defaultdict(list)
        for i in range(num_minibatches):
            minibatch = {name: parts[i] for name, parts in chunks.items()}
            minibatch["s_tm1"] = stacked(frames, minibatch["planes_tm1"])
            minibatch["s_t"] = stacked(frames, minibatch["planes_t"])
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
                values = self._forward_train(minibatch)
            losses, error, td_error = self.losses(minibatch, values)
            loss = (minibatch["weight"] * losses).mean()
            for parameter in params:  # zero_grad takes a tenth of a millisecond for its hooks
                parameter.grad = None
            loss.backward()
            if options.max_gradient_norm is not None:
                norm = torch.nn.utils.clip_grad_norm_(params, options.max_gradient_norm)
                told["grad_norm"].append(norm)
            optimizer.step()
            self.num_updates += 1
            self._set_noise()
            if options.target_update_period and (
                self.num_updates % options.target_update_period == 0
            ):
                self.module.update_target(options.target_update_rate)
            told["loss"].append(loss.detach())
            told["td_error"].append(td_error.detach())
            told["q"].append(values["q_tm1"].detach())
            told["error"].append(error)
        done = _told(told, rows["a_tm1"])
        metrics = {
            "loss": float(done["loss"].mean()),
            "td_error_abs": float(np.abs(done["td_error"]).mean()),
            "q": float(done["q"].mean()),
        }
        if "grad_norm" in done:
            metrics["grad_norm"] = float(done["grad_norm"].mean())
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(
                f"the loss is {metrics['loss']} after {self.num_updates} updates: lower lr, or set "
                "max_gradient_norm"
            )
        if self._schedule is not None:
            metrics["noise_c"] = self._schedule(self.num_updates)
        rate = float(optimizer.param_groups[0]["lr"])
        return metrics | {"lr": rate, "num_updates": self.num_updates}, done["error"]

    def _to_device(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch's frames and rows on the network's device, where stacks are made."""
        frames = torch.from_numpy(batch.frames)
        rows = {name: torch.from_numpy(getattr(batch, name)) for name in _ROWS}
        if self._device.type != "cpu":
            # From pinned memory, so that the copies run beside the work already queued.
            frames = frames.pin_memory().to(self._device, non_blocking=True)
            rows = {
                name: t.pin_memory().to(self._device, non_blocking=True) for name, t in rows.items()
            }
        return frames, rows

    def max_q(self, states: np.ndarray) -> float:
        """Mean over states, (n, *observation_shape), of the greatest Q-value."""
        greatest = []
        for i in range(0, len(states), _MAX_Q_BATCH):
            part = torch.from_numpy(states[i : i + _MAX_Q_BATCH]).to(self._device)
            greatest.append(self.module.q_values(part).amax(dim=1))
        return float(torch.cat(greatest).mean())

    def losses(
        self, batch: dict[str, Tensor], values: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each example: the loss, how wrong its value was, and the temporal-difference error."""
        taken = {name: batch[name] for name in ("a_tm1", "r_t", "discount_t")}
        means = {name: values[name] for name in ("q_tm1", "q_t_value", "q_t_selector")}
        td_error = q_learning_td(**taken, **means)
        if "logits_tm1" not in values:
            return LOSSES[self.options.loss](td_error), td_error.detach().abs(), td_error
        losses, divergence = categorical_q_learning(
            **taken,
            logits_tm1=values["logits_tm1"],
            logits_t_value=values["logits_t_value"],
            q_t_selector=values["q_t_selector"],
            support=self.module.online.support,
        )
        return losses, divergence, td_error

    def restored(self, num_updates: int) -> None:
        """Goes on behind so many updates, after module and optimizer were restored."""
        self.num_updates = num_updates
        self._set_noise()
        self._own_averages()

    def _set_noise(self) -> None:
        """How much noise the next update has."""
        if self._schedule is not None:
            set_c(self.module.online, self._schedule(self.num_updates))

    def _own_averages(self) -> None:
        """Copies the optimizer's averages, after they were restored.

        The arrays of a state may lie in Ray's object store, where all learners of a machine would
        write to the same ones. The fused optimizers walk through memory: averages must lie there
        as their parameters do, which with channels_last a saved array does not.
        """
        for parameter, averages in self.optimizer.state.items():
            for name, value in averages.items():
                like = parameter.detach() if value.shape == parameter.shape else value
                averages[name] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def make_optimizer(options: DQNOptions, params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Adam or RMSProp, as the options say."""
    if options.optimizer == "adam":
        return torch.optim.Adam(params, lr=options.lr, eps=options.optimizer_eps, fused=True)
    return torch.optim.RMSprop(
        params,
        lr=options.lr,
        alpha=options.rmsprop_decay,
        eps=options.optimizer_eps,
        centered=options.rmsprop_centered,
    )


def stacked(frames: Tensor, planes: Tensor) -> Tensor:
    """States (B, stack, *frame_shape) of rows (B, stack) of frames (U, *frame_shape)."""
    return frames.index_select(0, planes.flatten()).unflatten(0, planes.shape)


def _told(told: dict[str, list[Tensor]], a_tm1: Tensor) -> dict[str, np.ndarray]:
    """What the minibatches of a call told, in one copy: each would wait for the device.

    Args:
        told: Of each minibatch a scalar or (M,) or, as `q`, (M, A) values of all actions.
        a_tm1: (B,) int64, the actions taken.
    """
    q = torch.cat(told["q"]).gather(1, a_tm1.unsqueeze(1)).squeeze(1)
    whole = {name: torch.stack(v) if v[0].dim() == 0 else torch.cat(v) for name, v in told.items()}
    whole["q"] = q
    values = torch.cat(list(whole.values())).cpu().numpy()
    ends = np.cumsum([len(value) for value in whole.values()])
    return dict(zip(whole, np.split(values, ends[:-1]), strict=True))


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own; emulating it would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
