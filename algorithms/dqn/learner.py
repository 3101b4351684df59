"""The learner: several minibatches a call, everything counted per minibatch.

RLlib's `Learner.update` costs as much as a small network's update itself, and moves a target
network once a call, however many minibatches the call held. `update_minibatches` is the thin loop
instead; building, devices, optimizers, state and DDP stay RLlib's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from algorithms.dqn.losses import LOSSES, q_learning_td
from algorithms.dqn.networks import DQNModule

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from algorithms.dqn.config import DQNConfig
    from algorithms.replay import Batch

_FIELDS = ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t")


class DQNLearner(TorchLearner):
    """Updates the Q-network from minibatches of replayed transitions."""

    config: DQNConfig  # type: ignore[assignment]
    num_updates: int

    def build(self) -> None:
        """Builds module and optimizer on this learner's device."""
        super().build()
        self.num_updates = 0
        options, device = self.config.options, torch.device(self._device or "cpu")
        self._device_type = device.type
        self._autocast = options.autocast == "bf16" or (
            options.autocast == "auto" and _computes_in_bfloat16(device)
        )
        if options.channels_last:
            for parameter in self.dqn_module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

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
        options = self.config.options
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

    def update_minibatches(self, batch: Batch, num_minibatches: int) -> dict[str, float]:
        """Makes `num_minibatches` updates, one after another, from equal parts of `batch`.

        Args:
            batch: num_minibatches * M transitions.
            num_minibatches: how many updates.

        Returns:
            Means over the call: `loss`, `td_error_abs` (|target - prediction|), `q` (value of the
            actions taken); and `num_updates`, made since the learner was built or restored.
        """
        options = self.config.options
        module = self.module[DEFAULT_MODULE_ID]
        optimizer = self.get_optimizer(DEFAULT_MODULE_ID)
        tensors = {name: torch.from_numpy(getattr(batch, name)) for name in _FIELDS}
        if self._device is not None and self._device.type != "cpu":
            # One pinned copy a call; stacking was done by the replay, scaling is the network's.
            tensors = {
                name: t.pin_memory().to(self._device, non_blocking=True)
                for name, t in tensors.items()
            }
        chunks = {name: t.chunk(num_minibatches) for name, t in tensors.items()}
        totals = torch.zeros(3, device=self._device)
        for i in range(num_minibatches):
            minibatch = {name: parts[i] for name, parts in chunks.items()}
            with torch.autocast(self._device_type, torch.bfloat16, enabled=self._autocast):
                values = module.forward_train(minibatch)
            td_error, q = self._td_error(minibatch, values)
            loss = LOSSES[options.loss](td_error).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            self.num_updates += 1
            if options.target_update_period and (
                self.num_updates % options.target_update_period == 0
            ):
                self.dqn_module.update_target()
            with torch.no_grad():
                totals += torch.stack([loss, td_error.abs().mean(), q.mean()])
        loss, td_error_abs, q = (totals / num_minibatches).tolist()
        return {
            "loss": loss,
            "td_error_abs": td_error_abs,
            "q": q,
            "num_updates": self.num_updates,
        }

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: AlgorithmConfig,
        batch: dict[str, Any],
        fwd_out: dict[str, Any],
    ) -> Tensor:
        """The same loss, for RLlib's own `update`."""
        td_error, _ = self._td_error(batch, fwd_out)
        return LOSSES[self.config.options.loss](td_error).mean()

    @staticmethod
    def _td_error(batch: dict[str, Tensor], values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        td_error = q_learning_td(
            a_tm1=batch["a_tm1"], r_t=batch["r_t"], discount_t=batch["discount_t"], **values
        )
        return td_error, values["q_tm1"].detach().gather(1, batch["a_tm1"].unsqueeze(1))

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and the number of updates, on which the target network's copies hang."""
        return super().get_state(*args, **kwargs) | {"num_updates": self.num_updates}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        self.num_updates = state.get("num_updates", self.num_updates)


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own; emulating it would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
