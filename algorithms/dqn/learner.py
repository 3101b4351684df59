"""The learner: RLlib builds, places, averages and saves; `QUpdates` learns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from algorithms.dqn.networks import DQNModule
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.updates import QUpdates, make_optimizer
from algorithms.replay.batch import Batch
from arcadia.cluster import quiet

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from algorithms.dqn.config import DQNConfig

# Batches that came through Ray's object store are read-only, and nothing here writes to them.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What a learner answers to the batches it was given."""

    metrics: dict[str, float]
    """As `QUpdates.update_minibatches`."""
    origin: np.ndarray
    """(B,) int64, the replay each transition is from."""
    id: np.ndarray
    """(B,) int64, its id there."""
    error: np.ndarray
    """(B,) float32, how wrong its value was."""


class DQNLearner(TorchLearner):
    """Updates Q-networks from minibatches of replayed transitions.

    Attributes:
        levels: By the name of a module, its updates; DQN has one.
    """

    config: DQNConfig  # type: ignore[assignment]
    levels: dict[str, QUpdates]

    def build(self) -> None:
        """Builds modules and optimizers on this learner's device."""
        quiet()
        self._level_options = self.level_options()  # once: the config checks them each time
        super().build()
        # With one learner there is nothing to average, and DDP only costs time.
        alone = self.config.options.num_learners <= 1
        self.levels = {
            name: QUpdates(
                options,
                self.q_module(name),
                (self.q_module(name) if alone else self.module[name]).forward_train,
                self.get_optimizer(name),
                torch.device(self._device or "cpu"),
            )
            for name, options in self._level_options.items()
        }

    def level_options(self) -> dict[str, DQNOptions]:
        """By the name of a module, how it is learned."""
        return {DEFAULT_MODULE_ID: self.config.options}

    def q_module(self, name: str = DEFAULT_MODULE_ID) -> DQNModule:
        """A module trained here, without its DDP wrapper."""
        module = self.module[name].unwrapped()
        assert isinstance(module, DQNModule)
        return module

    @property
    def dqn_module(self) -> DQNModule:
        """The module of the only level."""
        return self.q_module()

    @property
    def num_updates(self) -> int:
        """Minibatch updates made of all levels, since this was built or restored."""
        return sum(level.num_updates for level in self.levels.values())

    def configure_optimizers_for_module(
        self, module_id: str, config: AlgorithmConfig | None = None
    ) -> None:
        """Registers Adam or RMSProp over the online network."""
        options = self._level_options[module_id]
        params = list(self.q_module(module_id).online.parameters())
        self.register_optimizer(
            module_id=module_id,
            optimizer=make_optimizer(options, params),
            params=params,
            lr_or_lr_schedule=options.lr,
        )

    def update_minibatches(
        self, batch: Batch, num_minibatches: int, lr: float | None = None
    ) -> tuple[dict[str, float], np.ndarray]:
        """As `QUpdates.update_minibatches`, of the only level."""
        return self.levels[DEFAULT_MODULE_ID].update_minibatches(batch, num_minibatches, lr)

    def learn(
        self,
        *parts: Batch,
        num_minibatches: int,
        lr: float | None = None,
        order_seed: int | Sequence[int] = 0,
        level: str = DEFAULT_MODULE_ID,
    ) -> Learned:
        """As `QUpdates.update_minibatches`, from batches of several replays together.

        Args:
            *parts: Their rows are divided among the minibatches at random.
            num_minibatches: As there.
            lr: As there.
            order_seed: Of how they are divided.
            level: What learns from them.
        """
        order = None
        if len(parts) > 1:
            order = np.random.default_rng(order_seed).permutation(sum(map(len, parts)))
        batch = Batch.join(parts, order)
        metrics, errors = self.levels[level].update_minibatches(batch, num_minibatches, lr)
        return Learned(metrics=metrics, origin=batch.origin, id=batch.id, error=errors)

    def weights(self) -> tuple[dict[str, Any], int]:
        """By module, the network that acts, in arrays; and the number of updates they are from."""
        networks = {
            name: self.q_module(name).get_state(inference_only=True) for name in self.levels
        }
        return networks, self.num_updates

    def max_q(self, states: np.ndarray) -> float:
        """As `QUpdates.max_q`, of the only level."""
        return self.levels[DEFAULT_MODULE_ID].max_q(states)

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: AlgorithmConfig,
        batch: dict[str, Any],
        fwd_out: dict[str, Any],
    ) -> Tensor:
        """The same loss, for RLlib's own `update`."""
        losses, _, _ = self.levels[module_id].losses(batch, fwd_out)
        return losses.mean() if "weight" not in batch else (batch["weight"] * losses).mean()

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and the numbers of updates, on which target networks' copies hang."""
        counts = {name: level.num_updates for name, level in self.levels.items()}
        return super().get_state(*args, **kwargs) | {"num_updates": counts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        counts = state.get("num_updates", {})
        for name, level in self.levels.items():
            level.restored(counts.get(name, level.num_updates))
