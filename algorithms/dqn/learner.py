"""The learner: several minibatches a call, everything counted per minibatch.

RLlib's `Learner.update` costs as much as a small network's update itself, and moves a target
network once a call, however many minibatches the call held. `update_minibatches` is the thin loop
instead; building, devices, optimizers, state and DDP stay RLlib's.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from algorithms.dqn.losses import LOSSES, categorical_q_learning, q_learning_td
from algorithms.dqn.networks import DQNModule
from algorithms.replay.batch import Batch
from arcadia.cluster import quiet

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from algorithms.dqn.config import DQNConfig

_MAX_Q_BATCH = 128  # states a forward pass, so that many states need little memory
_ROWS = ("planes_tm1", "planes_t", "a_tm1", "r_t", "discount_t", "weight")

# Batches that came through Ray's object store are read-only, and nothing here writes to them.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What a learner answers to the batches it was given."""

    metrics: dict[str, float]
    """As `DQNLearner.update_minibatches`."""
    origin: np.ndarray
    """(B,) int64, the replay each transition is from."""
    id: np.ndarray
    """(B,) int64, its id there."""
    error: np.ndarray
    """(B,) float32, how wrong its value was."""


class DQNLearner(TorchLearner):
    """Updates the Q-network from minibatches of replayed transitions."""

    config: DQNConfig  # type: ignore[assignment]
    num_updates: int

    def build(self) -> None:
        """Builds module and optimizer on this learner's device."""
        quiet()
        self.options = options = self.config.options  # once: the config checks them each time
        super().build()
        self.num_updates = 0
        device = torch.device(self._device or "cpu")
        self._device_type = device.type
        self._autocast = options.autocast == "bf16" or (
            options.autocast == "auto" and _computes_in_bfloat16(device)
        )
        if options.channels_last:
            for parameter in self.dqn_module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if options.compile:
            for network in self.dqn_module.children():
                network.compile()

    @property
    def dqn_module(self) -> DQNModule:
        """The module trained here, without its DDP wrapper."""
        module = self.module[DEFAULT_MODULE_ID].unwrapped()
        assert isinstance(module, DQNModule)
        return module

    def configure_optimizers_for_module(
        self, module_id: str, config: AlgorithmConfig | None = None
    ) -> None:
        """Registers Adam or RMSProp over the online network."""
        options = self.options
        params = list(self.dqn_module.online.parameters())
        if options.optimizer == "adam":
            optimizer = torch.optim.Adam(
                params, lr=options.lr, eps=options.optimizer_eps, fused=True
            )
        else:
            optimizer = torch.optim.RMSprop(
                params,
                lr=options.lr,
                alpha=options.rmsprop_decay,
                eps=options.optimizer_eps,
                centered=options.rmsprop_centered,
            )
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=options.lr
        )

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
            it; and `lr` and `num_updates`, made since the learner was built or restored.
            (num_minibatches * M,) float32, how wrong the value of each transition was, at least 0:
            |target - prediction|, with several atoms the divergence from the target.

        Raises:
            FloatingPointError: the loss is no finite number any more.
        """
        options = self.options
        # With one learner there is nothing to average, and DDP only costs time.
        alone = options.num_learners <= 1
        module = self.dqn_module if alone else self.module[DEFAULT_MODULE_ID]
        optimizer = self.get_optimizer(DEFAULT_MODULE_ID)
        frames, rows = self._to_device(batch)
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr
        chunks = {name: t.chunk(num_minibatches) for name, t in rows.items()}
        params = optimizer.param_groups[0]["params"]
        told: dict[str, list[Tensor]] = defaultdict(list)
        for i in range(num_minibatches):
            minibatch = {name: parts[i] for name, parts in chunks.items()}
            minibatch["s_tm1"] = _stacked(frames, minibatch["planes_tm1"])
            minibatch["s_t"] = _stacked(frames, minibatch["planes_t"])
            with torch.autocast(self._device_type, torch.bfloat16, enabled=self._autocast):
                values = module.forward_train(minibatch)
            losses, error, td_error = self._losses(minibatch, values)
            loss = (minibatch["weight"] * losses).mean()
            for parameter in params:  # zero_grad takes a tenth of a millisecond for its hooks
                parameter.grad = None
            loss.backward()
            if options.max_gradient_norm is not None:
                norm = torch.nn.utils.clip_grad_norm_(params, options.max_gradient_norm)
                told["grad_norm"].append(norm)
            optimizer.step()
            self.num_updates += 1
            if options.target_update_period and (
                self.num_updates % options.target_update_period == 0
            ):
                self.dqn_module.update_target(options.target_update_rate)
            told["loss"].append(loss.detach())
            told["td_error"].append(td_error.detach())
            told["q"].append(values["q_tm1"].detach())
            told["error"].append(error)
        done = self._told(told, rows["a_tm1"])
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
        rate = float(optimizer.param_groups[0]["lr"])
        return metrics | {"lr": rate, "num_updates": self.num_updates}, done["error"]

    @staticmethod
    def _told(told: dict[str, list[Tensor]], a_tm1: Tensor) -> dict[str, np.ndarray]:
        """What the minibatches of a call told, in one copy: each would wait for the device.

        Args:
            told: Of each minibatch a scalar or (M,) or, as `q`, (M, A) values of all actions.
            a_tm1: (B,) int64, the actions taken.
        """
        q = torch.cat(told["q"]).gather(1, a_tm1.unsqueeze(1)).squeeze(1)
        whole = {
            name: torch.stack(v) if v[0].dim() == 0 else torch.cat(v) for name, v in told.items()
        }
        whole["q"] = q
        values = torch.cat(list(whole.values())).cpu().numpy()
        ends = np.cumsum([len(value) for value in whole.values()])
        return dict(zip(whole, np.split(values, ends[:-1]), strict=True))

    def _to_device(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch's frames and rows on this learner's device, where stacks are made."""
        frames = torch.from_numpy(batch.frames)
        rows = {name: torch.from_numpy(getattr(batch, name)) for name in _ROWS}
        if self._device_type != "cpu":
            # From pinned memory, so that the copies run beside the work already queued.
            frames = frames.pin_memory().to(self._device, non_blocking=True)
            rows = {
                name: t.pin_memory().to(self._device, non_blocking=True) for name, t in rows.items()
            }
        return frames, rows

    def learn(
        self,
        *parts: Batch,
        num_minibatches: int,
        lr: float | None = None,
        order_seed: int | Sequence[int] = 0,
    ) -> Learned:
        """As `update_minibatches`, from batches of several replays together.

        Args:
            *parts: Their rows are divided among the minibatches at random.
            num_minibatches: As there.
            lr: As there.
            order_seed: Of how they are divided.
        """
        order = None
        if len(parts) > 1:
            order = np.random.default_rng(order_seed).permutation(sum(map(len, parts)))
        batch = Batch.join(parts, order)
        metrics, errors = self.update_minibatches(batch, num_minibatches, lr)
        return Learned(metrics=metrics, origin=batch.origin, id=batch.id, error=errors)

    def weights(self) -> tuple[dict[str, Any], int]:
        """The network that acts, in arrays, and the number of updates it is from."""
        return self.dqn_module.get_state(inference_only=True), self.num_updates

    def max_q(self, states: np.ndarray) -> float:
        """Mean over states, (n, *observation_shape), of the greatest Q-value."""
        greatest = []
        for i in range(0, len(states), _MAX_Q_BATCH):
            part = torch.from_numpy(states[i : i + _MAX_Q_BATCH]).to(self._device)
            greatest.append(self.dqn_module.q_values(part).amax(dim=1))
        return float(torch.cat(greatest).mean())

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: AlgorithmConfig,
        batch: dict[str, Any],
        fwd_out: dict[str, Any],
    ) -> Tensor:
        """The same loss, for RLlib's own `update`."""
        losses, _, _ = self._losses(batch, fwd_out)
        return losses.mean() if "weight" not in batch else (batch["weight"] * losses).mean()

    def _losses(
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
            support=self.dqn_module.online.support,
        )
        return losses, divergence, td_error

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and the number of updates, on which the target network's copies hang."""
        return super().get_state(*args, **kwargs) | {"num_updates": self.num_updates}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        self.num_updates = state.get("num_updates", self.num_updates)
        # Copies: the arrays of a state may lie in Ray's object store, where all learners of a
        # machine would write to the same ones. The fused optimizers walk through memory: averages
        # must lie there as their parameters do, which with channels_last a saved array does not.
        for parameter, averages in self.get_optimizer(DEFAULT_MODULE_ID).state.items():
            for name, value in averages.items():
                like = parameter.detach() if value.shape == parameter.shape else value
                averages[name] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def _stacked(frames: Tensor, planes: Tensor) -> Tensor:
    """States (B, stack, *frame_shape) of rows (B, stack) of frames (U, *frame_shape)."""
    return frames.index_select(0, planes.flatten()).unflatten(0, planes.shape)


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own; emulating it would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
