"""Workers that train together, seen from one of them, over torch's process group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The workers of a training, seen from one of them."""

    worker: int = 0
    num_workers: int = 1

    @property
    def is_first(self) -> bool:
        return self.worker == 0

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Of all workers, of each value."""
        if self.num_workers == 1:
            return dict(values)
        summed = self.sum(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, (summed / self.num_workers).tolist(), strict=True))

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Of all workers."""
        if self.num_workers == 1:
            return values
        held = values.to(_device_of_group())
        dist.all_reduce(held)
        return held.cpu()

    def rows(self, values: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """Of all workers, one behind the other."""
        if self.num_workers == 1:
            return values
        held = values.contiguous().to(_device_of_group())
        parts = [torch.empty_like(held) for _ in range(self.num_workers)]
        dist.all_gather(parts, held)
        return torch.cat(parts, dim=dim).to(values.device)

    def share(self, values: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """This worker's part of what `rows` gave, or of anything else that divides evenly."""
        return values.chunk(self.num_workers, dim=dim)[self.worker]

    def agree(self, value: bool) -> bool:
        """What the first one says."""
        if self.num_workers == 1:
            return value
        held = torch.tensor([int(value)], device=_device_of_group())
        dist.broadcast(held, 0)
        return bool(held.item())


def _device_of_group() -> torch.device:
    """Where tensors must be for the process group to move them."""
    is_nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")
