"""The RLModule that holds the Q-network beside its target."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor
from torch.utils import deterministic

from algorithms.dqn.q_network import QNetwork
from algorithms.noisy.activations import noisy_parts, without_noise

_ARGUMENTS = ("network", "hidden_size", "dueling", "num_atoms", "v_min", "v_max", "activation")


class DQNModule(TorchRLModule, InferenceOnlyAPI):
    """The Q-network and, on a learner whose options ask for one, its target network.

    `model_config` holds the `QNetwork`'s keyword arguments, `double` and `use_target`.

    Attributes:
        arguments: All that makes a `QNetwork` like the one here, by name, as JSON has it.
    """

    def setup(self) -> None:
        """Builds the networks; the target starts as a copy and never takes gradients."""
        # RLlib makes torch deterministic where there is a seed, and torch then fills all memory
        # that it is about to overwrite: a fifth of an update, for code that would read it unset.
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        config: dict[str, Any] = dict(self.model_config)  # type: ignore[arg-type]
        self.double = config["double"]

        self.arguments: dict[str, Any] = {
            "observation_shape": list(self.observation_space.shape),  # type: ignore[arg-type, union-attr]
            "num_actions": int(self.action_space.n),  # type: ignore[union-attr]
            **{name: config[name] for name in _ARGUMENTS if name in config},
        }
        self.online = QNetwork(**self.arguments)
        self._is_noisy = any(True for _ in noisy_parts(self.online))
        if config["use_target"]:
            self.target = QNetwork(**self.arguments).requires_grad_(False)
            self.update_target()

    def get_non_inference_attributes(self) -> list[str]:
        """Names what acting does not need."""
        return ["target"]

    @torch.no_grad()
    def update_target(self, rate: float = 1.0) -> None:
        """Moves the target network to the online one; nothing to do without one.

        Args:
            rate: Share of the way, above 0, to 1 (a copy); small ones make a Polyak average.
        """
        if (target := getattr(self, "target", None)) is None:
            return
        if rate == 1.0:
            target.load_state_dict(self.online.state_dict())
        else:
            for ours, theirs in zip(target.parameters(), self.online.parameters(), strict=True):
                ours.lerp_(theirs, rate)
            for ours, theirs in zip(target.buffers(), self.online.buffers(), strict=True):
                ours.copy_(theirs)  # such as c, which the expectation of noise may depend on

    @torch.no_grad()
    def q_values(self, observation: Tensor) -> Tensor:
        """Q-values (B, A) of observations (B, *observation_shape), without gradients; of noisy
        activations the expectation."""
        with self._expecting():
            return self.online(observation)

    def _expecting(self) -> contextlib.AbstractContextManager[None]:
        """Lets noisy activations have their expectation for a while."""
        return without_noise(*self.children()) if self._is_noisy else contextlib.nullcontext()

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Greedy actions, for RLlib's own callers; the runner adds the exploration."""
        q = self.q_values(batch[Columns.OBS])
        return {Columns.ACTIONS: q.argmax(dim=1), "q_values": q}

    def see(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """What the networks are shown of a batch: the states acted on, and those after them."""
        return batch["s_tm1"], batch["s_t"]

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Values a loss needs.

        Returns:
            `q_tm1` (B, A) with gradients; `q_t_value` (B, A), the values bootstrapped from;
            `q_t_selector` (B, A), the values that choose the action bootstrapped from. With several
            atoms also `logits_tm1` (B, A, Z) with gradients, which `q_tm1` then has none of, and
            `logits_t_value` (B, A, Z).
        """
        s_tm1, s_t = self.see(batch)
        bootstrap = getattr(self, "target", self.online)
        if self.online.num_atoms == 1:
            q_tm1 = self.online(s_tm1)
            with torch.no_grad(), self._expecting():
                q_t_value = bootstrap(s_t)
                q_t_selector = self.online(s_t) if self.double else q_t_value
            values = {"q_tm1": q_tm1}
        else:
            logits_tm1 = self.online.outputs(s_tm1)
            with torch.no_grad(), self._expecting():
                logits_t_value = bootstrap.outputs(s_t)
                q_t_value = self.online.mean(logits_t_value)
                q_t_selector = self.online(s_t) if self.double else q_t_value
                q_tm1 = self.online.mean(logits_tm1)
            values = {"q_tm1": q_tm1, "logits_tm1": logits_tm1, "logits_t_value": logits_t_value}
        return values | {"q_t_value": q_t_value, "q_t_selector": q_t_selector}
