"""What Ray's autoscaler would start for a command, worked out by its own scheduler, without nodes.

Private parts of Ray 2.60: pyproject.toml pins it.
"""

from __future__ import annotations

import shlex
from typing import Any

from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from algorithms.dqn.job import TrainOptions
from algorithms.dqn.training import actor_cpus
from arcadia.options import parse


def demand_of(command: str) -> list[tuple[dict[str, float], int]]:
    """What the actors of `python -m arcadia train dqn ...` ask for, each with how many ask for it.

    Raises:
        UserError: for a word that the command does not take.
    """
    program, words = shlex.split(command)[:5], shlex.split(command)[5:]
    assert program == ["python", "-m", "arcadia", "train", "dqn"]
    options = parse(TrainOptions, words, "arcadia train dqn").options
    gpus = options.num_gpus_per_learner
    demand: list[tuple[dict[str, float], int]] = [({"CPU": 1}, int(actor_cpus(options)))]
    return [*demand, ({"GPU": gpus}, max(1, options.num_learners))] if gpus else demand


def launched(
    config: dict[str, Any], demand: list[tuple[dict[str, float], int]]
) -> tuple[dict[str, int], int]:
    """The nodes of each type that a cluster without any would start, and what fits on none.

    Args:
        config: as the autoscaler has it.
        demand: resources, and how many ask for them.
    """
    own = AutoscalingConfig(config, skip_content_hash=True)
    requests = [
        ResourceRequestUtil.make(resources) for resources, count in demand for _ in range(count)
    ]
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=own.get_node_type_configs(),
            max_num_nodes=own.get_max_num_worker_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count(requests),
        )
    )
    counts = {launch.instance_type: launch.count for launch in reply.to_launch}
    return counts, len(reply.infeasible_resource_requests)
