"""One step of training on one device, alone or as one of several workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from algorithms.noisy import Annealing
from arcadia.nested_files import on_cpu
from arcadia.precision import dtype_on
from pipelines.colorization.losses import class_loss, color_loss, total
from pipelines.colorization.networks import Colorizer, Prediction
from pipelines.colorization.options import LEARNING_RATES, ColorizerOptions
from pipelines.colorization.spaces import split

_NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """Of one step, of this worker's pictures; scalars on the device."""

    total: Tensor
    """What was gone down: color + alpha x class."""
    color: Tensor
    classes: Tensor


class Learner:
    """A colorizer, its optimiser, and their state.

    Args:
        num_classes: of the classifier; 0: there is none.
        options: how it is trained.
        device: where.
        seed: of the first weights, the same on all workers.
        num_workers: that train together, over torch's process group.
    """

    def __init__(
        self,
        num_classes: int,
        options: ColorizerOptions,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        num_workers: int = 1,
    ):
        self.options, self.device = options, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Colorizer(num_classes, options.network)
        network = network.to(self.device)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if on_gpu and num_workers > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.network: Any = network
        self._trained: Any = network
        if num_workers > 1:
            self._trained = DistributedDataParallel(
                network, device_ids=[self.device] if on_gpu else None
            )
        self._optimiser = _optimiser(network, options)
        self._dtype = dtype_on(self.device, options.precision)
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=self._dtype == torch.float16 and on_gpu
        )
        schedule = options.schedule(options.steps)
        self.annealing = None if schedule is None else Annealing(network, schedule)
        self._steps = 0  # that the mean is of
        self._mean: dict[str, Tensor] | None = None
        if options.ema_decay is not None:
            self._mean = {name: value.clone() for name, value in network.state_dict().items()}
        self.train()

    def train(self) -> None:
        """Makes ready for steps."""
        self._trained.train()
        if self.options.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, _NORMALISATION):
                    module.eval()

    def step(self, images: np.ndarray | Tensor, labels: np.ndarray | Tensor) -> StepLosses:
        """Goes one step down the losses of a batch.

        Args:
            images: uint8 (B, S, S, 3) RGB.
            labels: int64 (B,), -1 for none.
        """
        rgb = self.pictures(images)
        wanted = torch.as_tensor(labels).to(self.device, non_blocking=True)
        lightness, color = split(rgb, self.options.network.colorspace)
        with self._autocast():
            prediction: Prediction = self._trained(lightness)
        colors, classes = color_loss(prediction.color, color), None
        if prediction.logits is not None:
            classes = class_loss(prediction.logits.float(), wanted)
        loss = total(colors, classes, self.options.alpha).mean()
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self.annealing is not None:
            self.annealing.step()
        self._update_mean()
        return StepLosses(
            total=loss.detach(),
            color=colors.detach().mean(),
            classes=loss.new_zeros(()) if classes is None else classes.detach().mean(),
        )

    def pictures(self, images: np.ndarray | Tensor) -> Tensor:
        """Pictures on the device: (B, 3, H, W) float32 in 0..1, of uint8 (B, H, W, 3)."""
        held = torch.as_tensor(images)
        if self.device.type == "cuda":
            held = held.pin_memory()
        moved = held.to(self.device, non_blocking=True)
        return moved.permute(0, 3, 1, 2).to(torch.float32).div_(255)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[Colorizer]:
        """Lends the network as it is judged: in evaluation mode, with the mean of the weights where
        one is kept."""
        with self._lent_mean(), torch.no_grad(), self._autocast():
            self.network.eval()
            yield self.network

    def settle_mean(self, batches: Iterable[np.ndarray]) -> None:
        """Gives the mean of the weights batch normalisation's statistics of its own.

        Those of the weights themselves are far off: weights that jump about have a mean that is
        smaller than they are. Nothing happens where no mean is kept, or the statistics are frozen.

        Args:
            batches: of pictures to take them over, uint8 (B, S, S, 3) with B at least 2.
        """
        if self._mean is None or self.options.freeze_batch_norm:
            return
        with self._lent_mean():
            normalisations = [m for m in self.network.modules() if isinstance(m, _NORMALISATION)]
            momenta = [module.momentum for module in normalisations]
            for module in normalisations:
                module.reset_running_stats()
                module.momentum = None  # plain means
            self.network.train()
            with torch.no_grad(), self._autocast():
                for images in batches:
                    self.network(split(self.pictures(images), self.options.network.colorspace)[0])
            for module, momentum in zip(normalisations, momenta, strict=True):
                module.momentum = momentum
            self._mean = {name: t.clone() for name, t in self.network.state_dict().items()}

    @contextlib.contextmanager
    def _lent_mean(self) -> Iterator[None]:
        """Puts the mean of the weights in the network's place, where one is kept."""
        own = None
        if self._mean is not None:
            own = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.network.load_state_dict(self._mean)
        try:
            yield
        finally:
            if own is not None:
                self.network.load_state_dict(own)
            self.train()

    def state(self) -> dict[str, Any]:
        """All that going on takes, tensors on the CPU."""
        return {
            "network": on_cpu(self.network.state_dict()),
            "mean": None if self._mean is None else on_cpu(self._mean),
            "optimiser": on_cpu(self._optimiser.state_dict()),
            "scaler": self._scaler.state_dict(),
            "steps": self._steps,
            "annealing": None if self.annealing is None else self.annealing.get_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._steps = state["steps"]
        if self.annealing is not None:
            self.annealing.set_state(state["annealing"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        if self._mean is not None and state["mean"] is not None:
            self._mean = {name: t.to(self.device) for name, t in state["mean"].items()}

    def start_from(self, network: Colorizer, *, with_classifier: bool) -> None:
        """Takes the weights of a network of the same options, of the classifier, too, or not."""
        own = self.network.state_dict()
        taken = {
            name: value
            for name, value in network.state_dict().items()
            if with_classifier or not name.startswith("classifier.")
        }
        self.network.load_state_dict(own | taken)
        if self.annealing is not None:
            self.annealing.set_state(self.annealing.get_state())  # the noise is its own
        if self._mean is not None:
            self._mean = {name: t.clone() for name, t in self.network.state_dict().items()}

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._dtype)

    def _update_mean(self) -> None:
        if self._mean is None or self.options.ema_decay is None:
            return
        self._steps += 1
        # The first weights, which are random, soon count no more.
        decay = min(self.options.ema_decay, (1 + self._steps) / (10 + self._steps))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self._mean[name].lerp_(value, 1 - decay)
            else:
                self._mean[name].copy_(value)


def _optimiser(network: nn.Module, options: ColorizerOptions) -> torch.optim.Optimizer:
    rate = options.learning_rate or LEARNING_RATES[options.optimizer]
    decay = options.weight_decay
    parameters = list(network.parameters())
    if options.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, eps=options.epsilon, weight_decay=decay)
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.Adadelta(
        parameters, lr=rate, rho=options.rho, eps=options.epsilon, weight_decay=decay
    )
